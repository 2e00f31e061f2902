import type { SparseTensor } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { byteLength, dtypeCodes, dtypeOfCode, type DType } from "../util/dtype.js";
import { sizeOf } from "../util/shape.js";
import type { Source } from "./context.js";
import { readExternal } from "./external.js";
import {
  quote,
  toEntries,
  toMap,
  toNumber,
  type Draft,
  type Int64,
  type SparseTensorProto,
  type TensorProto,
} from "./proto.js";
import { DataLocation } from "./schema.js";

export function readDType(source: Source, code: number, what: string): DType {
  return dtypeOfCode(code) ?? source.fail(`${what} has element type ${code}, which ONNX does not define`);
}

export function readDims(source: Source, dims: readonly Int64[], what: string): number[] {
  const sizes = dims.map(toNumber);
  const bad = sizes.find((d) => d < 0);
  source.check(bad === undefined, () => `${what} has the dimension ${bad ?? 0}; dimensions are 0 or more`);
  source.check(
    Number.isSafeInteger(sizeOf(sizes)) && sizes.every(Number.isSafeInteger),
    () => `${what} has shape [${sizes.join(",")}]: too many elements to exist`,
  );
  return sizes;
}

// A Buffer's slice() is a view where a Uint8Array's is a copy: the IR holds plain arrays.
const plain = (bytes: Uint8Array): Uint8Array => new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);

function words(values: readonly Int64[]): Uint8Array {
  const data = new Int32Array(2 * values.length);
  values.forEach((v, i) => {
    const long = typeof v === "number" ? { low: v | 0, high: Math.floor(v / 2 ** 32) | 0 } : v;
    data[2 * i] = long.low;
    data[2 * i + 1] = long.high;
  });
  return new Uint8Array(data.buffer);
}

function narrow(dtype: DType, values: readonly number[]): Uint8Array {
  const width = byteLength(dtype, 1);
  const type = width === 4 ? Int32Array : width === 2 ? Int16Array : Int8Array;
  return new Uint8Array(type.from(values).buffer);
}

/** The typed field that holds elements of `dtype` where raw_data does not, as packed bytes. */
function typedBytes(dtype: DType, t: TensorProto): Uint8Array {
  switch (dtype) {
    case "float32":
    case "complex64":
      return new Uint8Array(Float32Array.from(t.floatData).buffer);
    case "float64":
    case "complex128":
      return new Uint8Array(Float64Array.from(t.doubleData).buffer);
    case "int64":
      return words(t.int64Data);
    case "uint64":
      return words(t.uint64Data);
    case "uint32":
      return new Uint8Array(Int32Array.from(t.uint64Data, (v) => (typeof v === "number" ? v : v.low)).buffer);
    default:
      return narrow(dtype, t.int32Data);
  }
}

const typedFields = ["floatData", "int32Data", "stringData", "int64Data", "doubleData", "uint64Data"] as const;
const fieldOf = (dtype: DType): (typeof typedFields)[number] => {
  if (dtype === "string") return "stringData";
  if (dtype === "float32" || dtype === "complex64") return "floatData";
  if (dtype === "float64" || dtype === "complex128") return "doubleData";
  if (dtype === "int64") return "int64Data";
  return dtype === "uint64" || dtype === "uint32" ? "uint64Data" : "int32Data";
};

/** The tensor of a message. Bytes are views of the file's; external data is checked for its place and size only. */
export function readTensor(source: Source, t: TensorProto, what: string): Tensor {
  const dtype = readDType(source, t.dataType, what);
  const dims = readDims(source, t.dims, what);
  const count = sizeOf(dims);
  const expected = byteLength(dtype, count);
  source.check(t.segment === null, () => `${what} is one segment of a tensor; segmented tensors are not supported`);
  const info = {
    ...(t.name && { name: t.name }),
    ...(t.docString && { doc: t.docString }),
    ...(t.metadataProps.length > 0 && { metadata: toMap(t.metadataProps) }),
  };
  const shape = `${dtype}[${dims.join(",")}]`;
  const raw = Object.hasOwn(t, "rawData") && t.rawData.byteLength > 0;
  const filled = typedFields.filter((f) => t[f].length > 0);
  if (t.dataLocation === DataLocation.EXTERNAL) {
    source.check(!raw && filled.length === 0, () => `${what} has both external data and data of its own`);
    source.check(dtype !== "string", () => `${what} holds strings, which cannot be external data`);
    return new Tensor(dtype, dims, { external: readExternal(source, t.externalData, expected, what) }, info);
  }
  source.check(
    t.dataLocation === DataLocation.DEFAULT,
    () => `${what} has the unknown data location ${t.dataLocation}`,
  );
  const field = fieldOf(dtype);
  const stray = filled.find((f) => f !== field || raw);
  source.check(
    stray === undefined,
    () => `${what} is ${shape}, yet has elements in ${stray ?? ""}${raw ? " beside raw_data" : ""}`,
  );
  if (dtype === "string") {
    source.check(!raw, () => `${what} holds strings, which cannot be raw data`);
    source.check(
      t.stringData.length === count,
      () => `${what} is ${shape} with ${t.stringData.length} strings; ${count} expected`,
    );
    return new Tensor(dtype, dims, { strings: t.stringData.map(plain) }, info);
  }
  const bytes = raw ? plain(t.rawData) : typedBytes(dtype, t);
  source.check(
    bytes.byteLength === expected,
    () => `${what} is ${shape} with ${bytes.byteLength} bytes of data; ${expected} expected`,
  );
  return new Tensor(dtype, dims, { bytes }, info);
}

export function readSparse(source: Source, s: SparseTensorProto, what: string): SparseTensor {
  source.check(s.values && s.indices, () => `${what} lacks its values or indices`);
  const values = readTensor(source, s.values, `the values of ${what}`);
  const indices = readTensor(source, s.indices, `the indices of ${what}`);
  const dims = readDims(source, s.dims, what);
  const n = values.dims[0] ?? 0;
  const linear = indices.dims.length === 1 && indices.dims[0] === n;
  const coordinates = indices.dims.length === 2 && indices.dims[0] === n && indices.dims[1] === dims.length;
  source.check(
    indices.dtype === "int64" && values.dims.length === 1 && (linear || coordinates),
    () =>
      `${what} has values [${values.dims.join(",")}] and indices ${indices.dtype}[${indices.dims.join(",")}], which do not fit shape [${dims.join(",")}]`,
  );
  return { values, indices, dims };
}

/** How the writer puts the elements of a tensor into its message: inline, or as a reference to a data file. */
export type Place = (tensor: Tensor) => Draft<TensorProto>;

export const inline: Place = (tensor) =>
  "strings" in tensor.storage ? { stringData: [...tensor.storage.strings] } : { rawData: tensor.bytes() };

export function writeTensor(tensor: Tensor, name: string, place: Place = inline): Draft<TensorProto> {
  const { doc, metadata } = tensor.info;
  return {
    dims: [...tensor.dims],
    dataType: dtypeCodes[tensor.dtype],
    ...(name && { name }),
    ...(doc && { docString: doc }),
    ...(metadata && { metadataProps: toEntries(metadata) }),
    ...place(tensor),
  };
}

export const writeSparse = (s: SparseTensor, name: string): Draft<SparseTensorProto> => ({
  values: writeTensor(s.values, name),
  indices: writeTensor(s.indices, s.indices.info.name ?? ""),
  dims: [...s.dims],
});

export const describeTensor = (t: TensorProto, index: number): string =>
  t.name ? `initializer ${quote(t.name)}` : `initializer ${index}`;
