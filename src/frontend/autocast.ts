import type { Builder } from "../ir/builder.js";
import type { Retype, Rewrite } from "../ir/copy.js";
import { tensorType, type Graph, type Node, type Value } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import * as e from "../ops/emit.js";
import { halfFollowers, halfProducts, typeBlind } from "../passes/half.js";

/** What training graphs compute in: float32, or products in float16 (`autocast`). */
export type Precision = "float32" | "mixed";

/**
 * Operators that are computed in float32, and give float16 where they are given it: their results are of a size that float16 holds, but
 * not what they compute on the way. PyTorch's kernels do the same within.
 */
const wideWithin: ReadonlySet<string> = new Set([
  ...["Gelu", "Erf", "Elu", "Selu", "Celu", "Mish", "HardSigmoid", "HardSwish", "Softsign"],
  ...["BatchNormalization", "InstanceNormalization", "MaxPool", "AveragePool", "GlobalMaxPool", "GlobalAveragePool"],
]);

/** Constants of these sizes keep their digits in float16. */
const [least, largest] = [2 ** -14, 65504];

const dtypeOf = (v: Value | null): string | null => (v?.type?.kind === "tensor" ? v.dtype : null);

/**
 * Copies nodes in the precision that PyTorch's autocast gives them: matrix products and convolutions in float16, their float32
 * operands cast (the master weights among them); what is safe element by element, and what only moves elements, in the widest
 * type of its operands, where constant numbers and the bias of a product adapt; all else in float32: losses, softmax, norms,
 * sums, exponentials, and graphs within. Casts are differentiated like any node, so that backward passes and tangents compute in the
 * types of the forward pass, and gradients come out in float32. `rewrite` sees nodes with the operands that they get.
 */
export function autocast(graph: Graph, parameters: ReadonlySet<Value>, rewrite: Rewrite): Rewrite {
  const captured = new Set(graph.nodes.flatMap((node) => [...node.captures()]));
  return (node, inputs, b, copy) => {
    if (b.outer || typeBlind.has(node.op)) return rewrite(node, inputs, b, copy);
    const half = computesInHalf(node, inputs, b, parameters);
    const given = inputs.map((v) => v && inPrecision(b, v, half));
    const copied: typeof copy = () => copy(given, half ? halved : undefined);
    const [first = null, ...others] = rewrite(node, given, b, copied) ?? copied().outputs;
    const back = wideWithin.has(node.op) && dtypeOf(inputs[0] ?? null) === "float16";
    const made = [back && first ? e.cast(b, first, "float16") : first, ...others];
    return made.map((v, i) => {
      const to = node.outputs[i];
      return v && to && captured.has(to) ? inPrecision(b, v, false) : v;
    });
  };
}

/** The type of what is computed in float16. */
const halved: Retype = (type) =>
  type?.kind === "tensor" && type.dtype === "float32" ? tensorType("float16", type.shape) : type;

function computesInHalf(
  node: Node,
  inputs: readonly (Value | null)[],
  b: Builder,
  parameters: ReadonlySet<Value>,
): boolean {
  if (node.domain !== "") return false;
  const types = inputs.map(dtypeOf);
  if (halfProducts.has(node.op)) return types.every((t) => t === null || t === "float32" || t === "float16");
  if (!halfFollowers.has(node.op) || !types.includes("float16")) return false;
  // A quotient grows, and a square: only what a constant divides, and what another value multiplies.
  if (node.op === "Div" && !(inputs[1] && b.constantOf(inputs[1]))) return false;
  if (node.op === "Mul" && inputs[0] === inputs[1]) return false;
  return inputs.every((v, i) => types[i] !== "float32" || isBias(node, i, parameters) || adapts(b, v));
}

/** Whether operand `i` is the bias that is added to a product. */
function isBias(node: Node, i: number, parameters: ReadonlySet<Value>): boolean {
  const of = node.inputs[1 - i]?.producer;
  const v = node.inputs[i];
  return node.op === "Add" && !!v && parameters.has(v) && !!of && halfProducts.has(of.op);
}

/** Whether `v` is a constant number that float16 holds. */
function adapts(b: Builder, v: Value | null): boolean {
  const tensor = v && b.constantOf(v);
  const size = tensor?.size === 1 ? Math.abs(tensor.numbers()[0] ?? NaN) : NaN;
  return size === 0 || (size >= least && size <= largest);
}

/** `v` in float16 or float32, where it is one of them. */
export function inPrecision(b: Builder, v: Value, half: boolean): Value {
  const [from, to] = half ? (["float32", "float16"] as const) : (["float16", "float32"] as const);
  if (dtypeOf(v) !== from) return v;
  const tensor = b.constantOf(v);
  return tensor?.size === 1 ? b.constant(Tensor.of(to, tensor.dims, tensor.numbers()), v.name) : e.cast(b, v, to);
}
