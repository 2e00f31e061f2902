import type { Attributes, Graph, Value } from "../ir/graph.js";
import { sameShape } from "../util/shape.js";
import { Replacement, replace } from "./replacement.js";

/** A slope at which HardSigmoid is 1 from the smallest normal number on. */
const steep: Attributes = { alpha: { type: "float", value: 1.7e38 }, beta: { type: "float", value: 0 } };

/**
 * Where(x > 0, d, 0), what the derivative of a ReLU is, as d·min(max(αx, 0), 1) for a huge α: the kernel of Where goes over all
 * elements three times in one thread. Differs where d is infinite behind the mask, NaN instead of 0; such a step is not taken.
 */
export function multiplyByMasks(graph: Graph): { modified: boolean } {
  const isZero = (v: Value | null | undefined): boolean => {
    const constant = v && graph.constantOf(v);
    return constant?.dtype === "float32" && constant.size === 1 && constant.numbers()[0] === 0;
  };
  return replace(graph, (node) => {
    const [condition, d, other] = node.inputs;
    const greater = node.op === "Where" && node.domain === "" ? condition?.producer : null;
    const x = greater?.op === "Greater" && greater.domain === "" ? greater.input(0) : null;
    if (!x || !d || !isZero(greater?.inputs[1]) || !isZero(other) || !sameShape(x.shape, d.shape)) return null;
    const made = new Replacement(graph, node);
    made.op("Mul", [made.op("HardSigmoid", [x], steep), d]);
    return made.done();
  });
}
