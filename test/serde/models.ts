import type { Draft, ModelProto, NodeProto, TensorProto, ValueInfoProto } from "../../src/serde/proto.js";
import { encodeModel } from "../../src/serde/schema.js";

type Graph = NonNullable<Draft<ModelProto>["graph"]>;

export const info = (name: string, dims: (number | string)[] = [2], elemType = 1): Draft<ValueInfoProto> => ({
  name,
  type: {
    tensorType: {
      elemType,
      shape: { dim: dims.map((d) => (typeof d === "number" ? { dimValue: d } : { dimParam: d })) },
    },
  },
});

export const node = (
  opType: string,
  input: string[],
  output: string[],
  rest: Draft<NodeProto> = {},
): Draft<NodeProto> => ({
  opType,
  input,
  output,
  ...rest,
});

export const floats = (name: string, values: number[], rest: Draft<TensorProto> = {}): Draft<TensorProto> => ({
  name,
  dataType: 1,
  dims: [values.length],
  rawData: new Uint8Array(Float32Array.from(values).buffer),
  ...rest,
});

/** `y = x + w`, with parts replaced. */
export const model = (graph: Graph = {}, rest: Draft<ModelProto> = {}): Draft<ModelProto> => ({
  irVersion: 10,
  opsetImport: [{ domain: "", version: 21 }],
  ...rest,
  graph: {
    name: "g",
    node: [node("Add", ["x", "w"], ["y"], { name: "add" })],
    input: [info("x")],
    output: [info("y")],
    initializer: [floats("w", [1, 2])],
    ...graph,
  },
});

export const bytesOf = (message: Draft<ModelProto>): Uint8Array => encodeModel(message);
