import { instantiate, type Rewrite } from "../ir/copy.js";
import type { Constants } from "../ir/builder.js";
import { randomOperators, type Graph, type Node, type Type, type Value } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { check } from "../util/assert.js";
import * as e from "./emit.js";
import { elementAt } from "./iteration.js";
import type { Residuals } from "./residuals.js";
import type { RuleBuilder } from "./rule.js";
import { constantScalar } from "./shapes.js";

/** n − 1 − (n − 1 − i) is i: the way back of a way back goes forward. */
const twiceReversed: Rewrite = (node, [last, index]) => {
  const before = index?.producer;
  if (node.op !== "Sub" || node.domain !== "" || before?.op !== "Sub" || before.inputs[0] !== last) return null;
  return index?.type?.kind === "tensor" && index.dtype === "int64" ? [before.input(1)] : null;
};

/** Throws where a body draws at random: its iterations could not be computed again. */
export function refuseRandom(constants: Constants, node: Node, body: Graph): void {
  for (const inner of body.nodes) {
    const drops = inner.op === "Dropout" && (!inner.inputs[2] || constantScalar(constants, inner.inputs[2]) === 0);
    check(
      drops || !randomOperators.has(inner.op),
      () =>
        `${inner.label} draws at random in a body of ${node.label}, which has no derivative here; take it out of there`,
    );
    for (const graph of inner.graphs()) refuseRandom(constants, node, graph);
  }
}

/** The type of a carry: that of the body, or the one it starts with where the body does not say. */
export function carryType(node: Node, body: Graph, k: number): Type | null {
  const [inner, outer] = [body.inputs[2 + k]?.type ?? null, node.inputs[2 + k]?.type ?? null];
  return inner?.kind === "tensor" && inner.shape === null && outer?.kind === "tensor" ? outer : (inner ?? outer);
}

/**
 * Emits in `b` what the body of a Loop computed in iteration `at` for some of its outputs, its carries being read from
 * `residuals`. Returns the copy of every value.
 */
export function replay(
  b: RuleBuilder,
  node: Node,
  residuals: Residuals,
  at: Value,
  outputs: readonly Value[],
): Map<Value, Value> {
  const { body } = residuals;
  refuseRandom(b, node, body);
  const [index, going] = body.inputs;
  const bindings = new Map<Value, Value>();
  if (index) bindings.set(index, index.shape ? e.reshape(b, at, index.shape) : at);
  if (going) bindings.set(going, b.constant(Tensor.of("bool", going.shape?.length === 1 ? [1] : [], [1])));
  body.inputs.slice(2).forEach((carry, k) => {
    bindings.set(carry, elementAt(b, residuals.of(carry), at, carryType(node, body, k)));
  });
  return instantiate(b, body, bindings, outputs, twiceReversed);
}
