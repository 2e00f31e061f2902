import onnxProto from "onnx-proto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "./root.js";

const { onnx } = onnxProto;
type Graph = Parameters<typeof onnx.GraphProto.encode>[0];
type Tensor = Parameters<typeof onnx.TensorProto.encode>[0];

const { FLOAT } = onnx.TensorProto.DataType;
const vector = (n: number) => ({ tensorType: { elemType: FLOAT, shape: { dim: [{ dimValue: n }] } } });

/** A file around `graph`, whatever it says. */
const file = (graph: Graph): Uint8Array =>
  onnx.ModelProto.encode({
    irVersion: 8,
    opsetImport: [{ domain: "", version: 17 }],
    graph: { name: "g", ...graph },
  }).finish();

/** y = x + w, with a `w` that may lie. */
const withWeight = (w: Tensor): Uint8Array =>
  file({
    input: [{ name: "x", type: vector(4) }],
    output: [{ name: "y", type: vector(4) }],
    initializer: [{ name: "w", dataType: FLOAT, dims: [4], ...w }],
    node: [{ name: "sum", opType: "Add", input: ["x", "w"], output: ["y"] }],
  });

const external = (entries: Record<string, string>): Tensor => ({
  dataLocation: onnx.TensorProto.DataLocation.EXTERNAL,
  externalData: Object.entries(entries).map(([key, value]) => ({ key, value })),
});

const raw = new Uint8Array(16);

/** Files that are no sound ONNX model, and what their message must say. */
export const hostileModels: Readonly<Record<string, { bytes: () => Uint8Array; says: RegExp }>> = {
  "text that is not ONNX": { bytes: () => Buffer.from("input_ids,label\n1,2\n"), says: /not an ONNX model/ },
  "an empty file": { bytes: () => new Uint8Array(), says: /empty/ },
  "a truncated model": {
    bytes: () => {
      const bytes = readFileSync(join(root, "models", "roberta-mini", "model.onnx"));
      return bytes.subarray(0, bytes.length >> 1);
    },
    says: /truncated/,
  },
  "external data outside of the folder": {
    bytes: () => withWeight(external({ location: "../../../../etc/passwd" })),
    says: /\.\.\/.*etc\/passwd/,
  },
  "external data by an absolute path": {
    bytes: () => withWeight(external({ location: "/etc/passwd" })),
    says: /\/etc\/passwd/,
  },
  "external data that is not there": {
    bytes: () => withWeight(external({ location: "absent.bin" })),
    says: /absent\.bin/,
  },
  "external data shorter than its tensor": {
    bytes: () => withWeight(external({ location: "hostile.onnx", offset: "0", length: "4" })),
    says: /"w"/,
  },
  "external data past the end of its file": {
    bytes: () => withWeight(external({ location: "hostile.onnx", offset: "1000000", length: "16" })),
    says: /"w"/,
  },
  "a tensor of 10⁹ elements in 16 bytes": { bytes: () => withWeight({ dims: [1e9], rawData: raw }), says: /"w"/ },
  "a tensor of 10²⁴ elements": { bytes: () => withWeight({ dims: [1e8, 1e8, 1e8], rawData: raw }), says: /"w"/ },
  "a negative size": { bytes: () => withWeight({ dims: [-4], rawData: raw }), says: /"w"/ },
  "an element type of no one": { bytes: () => withWeight({ dataType: 99, rawData: raw }), says: /99/ },
  "a cycle": {
    bytes: () =>
      file({
        output: [{ name: "a", type: vector(4) }],
        node: [
          { name: "first", opType: "Identity", input: ["b"], output: ["a"] },
          { name: "second", opType: "Identity", input: ["a"], output: ["b"] },
        ],
      }),
    says: /cycle/,
  },
  "two values of one name": {
    bytes: () =>
      file({
        input: [{ name: "x", type: vector(4) }],
        output: [{ name: "y", type: vector(4) }],
        node: [
          { name: "first", opType: "Identity", input: ["x"], output: ["y"] },
          { name: "second", opType: "Neg", input: ["x"], output: ["y"] },
        ],
      }),
    says: /"y"/,
  },
  "a value that nothing makes": {
    bytes: () =>
      file({
        output: [{ name: "y", type: vector(4) }],
        node: [{ name: "only", opType: "Identity", input: ["nowhere"], output: ["y"] }],
      }),
    says: /"nowhere"/,
  },
  "no graph": {
    bytes: () => onnx.ModelProto.encode({ irVersion: 8, opsetImport: [{ domain: "", version: 17 }] }).finish(),
    says: /graph/,
  },
};
