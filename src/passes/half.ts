import { int, Node, tensorType, Value, type Graph } from "../ir/graph.js";
import { substitute } from "../ir/edit.js";
import { dtypeCodes, type DType } from "../util/dtype.js";

/** Matrix products and convolutions: what mixed precision is for. */
export const halfProducts: ReadonlySet<string> = new Set(["MatMul", "Gemm", "Conv", "ConvTranspose", "Einsum"]);

/** Operators that are safe in float16 element by element, and those that move elements: they follow their operands. */
export const halfFollowers: ReadonlySet<string> = new Set([
  ...["Add", "Sub", "Mul", "Div", "Neg", "Abs", "Relu", "LeakyRelu", "Clip", "Max", "Min", "Tanh", "Sigmoid", "Where"],
  ...["Identity", "Dropout", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Transpose", "Concat", "Split", "Slice"],
  ...["Gather", "Expand", "Tile", "Pad", "DepthToSpace", "SpaceToDepth"],
]);

/** Operators that look at no digits, or at whole numbers alone. */
export const typeBlind: ReadonlySet<string> = new Set(["Shape", "Size", "Cast"]);

/** What derivatives of the others emit beside them. */
const compared = ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Sign"];
const kept: ReadonlySet<string> = new Set([...halfProducts, ...halfFollowers, ...typeBlind, ...compared]);

const isOf = (dtype: DType, v: Value | null): v is Value => v?.type?.kind === "tensor" && v.dtype === dtype;

/**
 * Computes in float32 what a graph of mixed precision would compute in float16 and should not: sums over a batch (gradients of
 * biases), scattered sums, and whatever else derivatives of products and of pointwise operators emit that is neither. What then
 * goes through float16 and back between two of these stays as it was. A graph without float16 is left alone.
 */
export function widenSums(graph: Graph): { modified: boolean } {
  let casts = 0;
  const cast = (from: Value, to: Value): Node =>
    new Node("Cast", [from], [to], { to: int(dtypeCodes[to.dtype]) }, {}, "", `${to.name}/Cast`);
  const half = (v: Value | null): v is Value => isOf("float16", v);
  const wide = (v: Value): Value => new Value(`${v.name}/float32_${casts++}`, tensorType("float32", v.shape));
  graph.nodes = graph.nodes.flatMap((node) => {
    if (kept.has(node.op) || !(node.inputs.some(half) || node.outputs.some(half))) return [node];
    const before: Node[] = [];
    const inputs = node.inputs.map((v) => {
      if (!half(v)) return v;
      const widened = wide(v);
      before.push(cast(v, widened));
      return widened;
    });
    const after: Node[] = [];
    const outputs = node.outputs.map((v) => {
      if (!half(v)) return v;
      const widened = wide(v);
      after.push(cast(widened, v));
      return widened;
    });
    return [
      ...before,
      new Node(node.op, inputs, outputs, node.attributes, node.bodies, node.domain, node.name),
      ...after,
    ];
  });
  return { modified: dropRoundTrips(graph) || casts > 0 };
}

/** Reads x for float32(float16(x)): the way through float16 loses digits for nothing. */
function dropRoundTrips(graph: Graph): boolean {
  const origins = new Map<Value, Value>();
  for (const node of graph.nodes) {
    if (node.op !== "Cast" || !isOf("float32", node.output())) continue;
    const through = node.input(0);
    const origin = through.producer?.op === "Cast" && isOf("float16", through) ? through.producer.input(0) : null;
    if (isOf("float32", origin)) origins.set(node.output(), origins.get(origin) ?? origin);
  }
  for (const output of graph.outputs) origins.delete(output);
  substitute(graph, origins);
  return origins.size > 0;
}
