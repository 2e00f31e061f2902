/** ONNX's messages as protobufjs decodes them: absent scalars read as their defaults, absent messages as null. */

export interface Long {
  low: number;
  high: number;
  unsigned?: boolean;
}
export type Int64 = Long | number;

export interface Entry {
  key: string;
  value: string;
}
export interface OperatorSetId {
  domain: string;
  version: Int64;
}
export interface TensorProto {
  dims: Int64[];
  dataType: number;
  segment: object | null;
  floatData: number[];
  int32Data: number[];
  stringData: Uint8Array[];
  int64Data: Int64[];
  name: string;
  rawData: Uint8Array;
  doubleData: number[];
  uint64Data: Int64[];
  docString: string;
  externalData: Entry[];
  dataLocation: number;
  metadataProps: Entry[];
}
export interface SparseTensorProto {
  values: TensorProto | null;
  indices: TensorProto | null;
  dims: Int64[];
}
export interface DimensionProto {
  /** Which of the two is set. */
  value?: "dimValue" | "dimParam";
  dimValue: Int64;
  dimParam: string;
  denotation: string;
}
export interface ShapedType {
  elemType: number;
  shape: { dim: DimensionProto[] } | null;
}
export interface TypeProto {
  /** Which of the kinds is set. */
  value?: "tensorType" | "sequenceType" | "mapType" | "opaqueType" | "sparseTensorType" | "optionalType";
  tensorType: ShapedType | null;
  sparseTensorType: ShapedType | null;
  sequenceType: { elemType: TypeProto | null } | null;
  optionalType: { elemType: TypeProto | null } | null;
  mapType: { keyType: number; valueType: TypeProto | null } | null;
  opaqueType: { domain: string; name: string } | null;
  denotation: string;
}
export interface ValueInfoProto {
  name: string;
  type: TypeProto | null;
  docString: string;
  metadataProps: Entry[];
}
export interface AttributeProto {
  name: string;
  f: number;
  i: Int64;
  s: Uint8Array;
  t: TensorProto | null;
  g: GraphProto | null;
  floats: number[];
  ints: Int64[];
  strings: Uint8Array[];
  tensors: TensorProto[];
  graphs: GraphProto[];
  docString: string;
  tp: TypeProto | null;
  typeProtos: TypeProto[];
  type: number;
  refAttrName: string;
  sparseTensor: SparseTensorProto | null;
  sparseTensors: SparseTensorProto[];
}
export interface NodeProto {
  input: string[];
  output: string[];
  name: string;
  opType: string;
  attribute: AttributeProto[];
  docString: string;
  domain: string;
  overload: string;
  metadataProps: Entry[];
  deviceConfigurations: object[];
}
export interface GraphProto {
  node: NodeProto[];
  name: string;
  initializer: TensorProto[];
  docString: string;
  input: ValueInfoProto[];
  output: ValueInfoProto[];
  valueInfo: ValueInfoProto[];
  quantizationAnnotation: object[];
  sparseInitializer: SparseTensorProto[];
  metadataProps: Entry[];
}
export interface FunctionProto {
  name: string;
  input: string[];
  output: string[];
  attribute: string[];
  node: NodeProto[];
  docString: string;
  opsetImport: OperatorSetId[];
  domain: string;
  attributeProto: AttributeProto[];
  valueInfo: ValueInfoProto[];
  overload: string;
  metadataProps: Entry[];
}
export interface ModelProto {
  irVersion: Int64;
  producerName: string;
  producerVersion: string;
  domain: string;
  modelVersion: Int64;
  docString: string;
  graph: GraphProto | null;
  opsetImport: OperatorSetId[];
  metadataProps: Entry[];
  trainingInfo: object[];
  functions: FunctionProto[];
  configuration: object[];
}

/** A message to encode: what is left out is absent from the file. */
export type Draft<T> = T extends Uint8Array | Int64 | string | number | null
  ? T
  : T extends (infer U)[]
    ? Draft<U>[]
    : T extends object
      ? { [K in keyof T]?: Draft<T[K]> | undefined }
      : T;

export const toBigInt = (x: Int64): bigint => {
  if (typeof x === "number") return BigInt(x);
  const bits = (BigInt(x.high >>> 0) << 32n) | BigInt(x.low >>> 0);
  return x.unsigned ? bits : BigInt.asIntN(64, bits);
};

/** As a JavaScript number; beyond 2^53 it is inexact, still far outside of every size that is accepted. */
export const toNumber = (x: Int64): number => (typeof x === "number" ? x : Number(toBigInt(x)));

export const toLong = (x: bigint): Long => ({
  low: Number(BigInt.asIntN(32, x)),
  high: Number(BigInt.asIntN(32, x >> 32n)),
  unsigned: false,
});

export const toMap = (entries: readonly Entry[]): Map<string, string> =>
  new Map(entries.map(({ key, value }) => [key, value]));
export const toEntries = (map: ReadonlyMap<string, string>): Entry[] =>
  Array.from(map, ([key, value]) => ({ key, value }));

/** A name of a file's choosing, for a one-line message. */
export const quote = (name: string): string => JSON.stringify(name.length > 120 ? `${name.slice(0, 117)}...` : name);
