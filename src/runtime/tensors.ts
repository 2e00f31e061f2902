import { Tensor } from "onnxruntime-node";
import { check, invariant, UserError } from "../util/assert.js";
import { byteLength, type DType } from "../util/dtype.js";
import { sizeOf } from "../util/shape.js";

const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  float16: Uint16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  bool: Uint8Array,
  int16: Int16Array,
  uint16: Uint16Array,
  int32: Int32Array,
  uint32: Uint32Array,
  int64: BigInt64Array,
  uint64: BigUint64Array,
} as const satisfies Partial<Record<DType, unknown>>;

/** Element types that the binding takes as numbers. */
export type HostDType = keyof typeof arrays;
export type HostData =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

/** A tensor in this process's memory: `data` holds the elements of `dims` in row-major order (float16 as its bits). */
export interface HostTensor {
  dtype: DType;
  dims: readonly number[];
  data: HostData;
}

export const isHostDType = (dtype: DType): dtype is HostDType => Object.hasOwn(arrays, dtype);

/** A zeroed array of `length` elements; `what` names it in messages. */
export function allocate(dtype: DType, length: number, what: string): HostData {
  check(isHostDType(dtype), `${what} is ${dtype}, which the binding of ONNX Runtime does not take`);
  try {
    return new arrays[dtype](length);
  } catch {
    throw new UserError(`${what}: not enough memory for ${length} elements of ${dtype}`);
  }
}

/** Whether `data` is the kind of array that holds `dtype`. */
export const holds = (data: HostData, dtype: DType): boolean => isHostDType(dtype) && data instanceof arrays[dtype];

/** The bytes under `data`, not copied. */
export const bytesOf = (data: HostData): Uint8Array => new Uint8Array(data.buffer, data.byteOffset, data.byteLength);

/** A tensor of the runtime over `data`, not copied. */
export function wrap(dtype: DType, data: HostData, dims: readonly number[]): Tensor {
  invariant(byteLength(dtype, sizeOf(dims)) === data.byteLength, `${data.length} elements for [${dims.join(",")}]`);
  return new Tensor(dtype as Tensor.Type, data, dims);
}

/** A tensor of the runtime as plain data, not copied. */
export function unwrap(tensor: Tensor): HostTensor {
  const data = tensor.data;
  invariant(!Array.isArray(data), "a string tensor where numbers were expected");
  return { dtype: tensor.type, dims: tensor.dims, data: data };
}

/** The single number in a tensor, whatever its type. */
export const scalarOf = (tensor: HostTensor): number => Number(tensor.data[0]);
