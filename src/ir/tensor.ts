import { closeSync, fstatSync, openSync } from "node:fs";
import { check, invariant } from "../util/assert.js";
import { byteLength, type DType } from "../util/dtype.js";
import { readFully } from "../util/files.js";
import { bfloatToNumber, halfToNumber, numberToBfloat, numberToHalf } from "../util/half.js";
import { sizeOf } from "../util/shape.js";

/** Bytes that stay in a file until someone reads them. */
export interface ExternalBytes {
  file: string;
  offset: number;
  length: number;
}

type Storage = { bytes: Uint8Array } | { strings: readonly Uint8Array[] } | { external: ExternalBytes };

type NumberArray =
  Float32Array | Float64Array | Int32Array | Int16Array | Int8Array | Uint8Array | Uint16Array | Uint32Array;
const arrays = {
  float32: Float32Array,
  float64: Float64Array,
  int32: Int32Array,
  int16: Int16Array,
  int8: Int8Array,
  uint8: Uint8Array,
  uint16: Uint16Array,
  uint32: Uint32Array,
  bool: Uint8Array,
} as const;

/**
 * A constant tensor: little-endian packed elements (ONNX `raw_data` order, sub-byte types packed low nibble first),
 * strings as UTF-8 bytes, or a lazy slice of a file.
 */
export class Tensor {
  constructor(
    readonly dtype: DType,
    readonly dims: readonly number[],
    readonly storage: Storage,
    /** Name, documentation and metadata of the tensor itself, where a file gave them. */
    readonly info: { name?: string; doc?: string; metadata?: ReadonlyMap<string, string> } = {},
  ) {
    if ("bytes" in storage) {
      const expected = byteLength(dtype, sizeOf(dims));
      invariant(
        storage.bytes.byteLength === expected,
        `tensor ${dtype}[${dims.join(",")}] of ${storage.bytes.byteLength} bytes; ${expected} expected`,
      );
    }
  }

  get size(): number {
    return sizeOf(this.dims);
  }

  /** Bytes that the elements take, without reading them. */
  get byteLength(): number {
    if ("strings" in this.storage) return this.storage.strings.reduce((n, s) => n + s.byteLength, 0);
    return byteLength(this.dtype, this.size);
  }

  /** The packed elements; reads the file when they lie in one. */
  bytes(): Uint8Array {
    if ("bytes" in this.storage) return this.storage.bytes;
    invariant(!("strings" in this.storage), "a string tensor has no packed bytes");
    const { file, offset, length } = this.storage.external;
    const buffer = new Uint8Array(length);
    const fd = openSync(file, "r");
    try {
      check(
        fstatSync(fd).size >= offset + length,
        `${file}: external data ends before byte ${offset + length}; the file is truncated`,
      );
      readFully(fd, buffer, offset, () => `${file}: external data ended while reading`);
    } finally {
      closeSync(fd);
    }
    return buffer;
  }

  /** Elements as JavaScript numbers: int64 and uint64 too, where they are safe integers; float16 and bfloat16 widened. */
  numbers(): number[] {
    const bytes = this.bytes();
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const n = this.size;
    switch (this.dtype) {
      case "int64":
        return Array.from({ length: n }, (_, i) => Number(view.getBigInt64(8 * i, true)));
      case "uint64":
        return Array.from({ length: n }, (_, i) => Number(view.getBigUint64(8 * i, true)));
      case "float16":
        return Array.from({ length: n }, (_, i) => halfToNumber(view.getUint16(2 * i, true)));
      case "bfloat16":
        return Array.from({ length: n }, (_, i) => bfloatToNumber(view.getUint16(2 * i, true)));
      default: {
        check(this.dtype in arrays, `a tensor of ${this.dtype} has no numeric view`);
        const type = arrays[this.dtype as keyof typeof arrays];
        const aligned = bytes.slice();
        return Array.from(new type(aligned.buffer, 0, n) as NumberArray);
      }
    }
  }

  /** The float32 elements, copied only where alignment requires it. */
  float32(): Float32Array {
    invariant(this.dtype === "float32", `float32 elements of a ${this.dtype} tensor`);
    const bytes = this.bytes();
    const aligned = bytes.byteOffset % 4 === 0 ? bytes : bytes.slice();
    return new Float32Array(aligned.buffer, aligned.byteOffset, this.size);
  }

  static of(dtype: DType, dims: readonly number[], values: readonly number[] | Float32Array | Float64Array): Tensor {
    invariant(values.length === sizeOf(dims), `${values.length} values for shape [${dims.join(",")}]`);
    if (dtype === "int64" || dtype === "uint64") {
      const type = dtype === "int64" ? BigInt64Array : BigUint64Array;
      const data = type.from(Array.from(values, (v) => BigInt(v)));
      return new Tensor(dtype, dims, { bytes: new Uint8Array(data.buffer) });
    }
    if (dtype === "float16" || dtype === "bfloat16") {
      const data = Uint16Array.from(values, dtype === "float16" ? numberToHalf : numberToBfloat);
      return new Tensor(dtype, dims, { bytes: new Uint8Array(data.buffer) });
    }
    check(dtype in arrays, `cannot make a ${dtype} tensor from numbers`);
    const type = arrays[dtype as keyof typeof arrays];
    const data = type.from(values);
    return new Tensor(dtype, dims, { bytes: new Uint8Array(data.buffer) });
  }

  static int64s(values: readonly number[]): Tensor {
    return Tensor.of("int64", [values.length], values);
  }
}
