import { tensorType, type Attribute, type Graph, type Node } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";

/** Makes initializers of the `Constant` nodes of `graph` and of the graphs within it. */
export function constantsToInitializers(graph: Graph): { modified: boolean } {
  let modified = false;
  const kept: Node[] = [];
  for (const node of graph.nodes) {
    for (const body of Object.values(node.bodies)) if (constantsToInitializers(body).modified) modified = true;
    const tensor = node.op === "Constant" && node.domain === "" ? constantTensor(node) : null;
    if (!tensor) {
      kept.push(node);
      continue;
    }
    const value = node.output();
    value.producer = null;
    value.type = tensorType(tensor.dtype, tensor.dims);
    graph.initializers.set(value, tensor);
    modified = true;
  }
  graph.nodes = kept;
  return { modified };
}

/** The tensor of a `Constant` node; null for sparse constants and references to a function's attributes. */
export function constantTensor(node: Node): Tensor | null {
  const found = Object.entries(node.attributes)[0];
  return found ? tensorOf(found[1]) : null;
}

const encoder = new TextEncoder();
const bytesOf = (s: string | Uint8Array): Uint8Array => (typeof s === "string" ? encoder.encode(s) : s);

function tensorOf(a: Attribute): Tensor | null {
  switch (a.type) {
    case "tensor":
      return a.value;
    case "float":
      return Tensor.of("float32", [], [a.value]);
    case "floats":
      return Tensor.of("float32", [a.value.length], a.value);
    case "int":
      return int64s([], [a.value]);
    case "ints":
      return int64s([a.value.length], a.value);
    case "string":
      return new Tensor("string", [], { strings: [bytesOf(a.value)] });
    case "strings":
      return new Tensor("string", [a.value.length], { strings: a.value.map(bytesOf) });
    default:
      return null;
  }
}

const int64s = (dims: readonly number[], values: readonly bigint[]): Tensor =>
  new Tensor("int64", dims, { bytes: new Uint8Array(BigInt64Array.from(values).buffer) });
