import { float } from "../ir/graph.js";
import { UserError } from "../util/assert.js";
import * as e from "./emit.js";

/** The activation that a fused operator names, on `x`; `parameters` are the activation's own, in its order. */
export function activate(b: e.B, x: e.V, name: string, parameters: readonly number[], where: string): e.V {
  const [first, second] = parameters;
  switch (name) {
    case "":
      return x;
    case "Relu":
    case "Tanh":
    case "Sigmoid":
      return b.op(name, [x]);
    case "LeakyRelu":
      return b.op(name, [x], { alpha: float(first ?? 0.01) });
    case "HardSigmoid":
      return b.op(name, [x], { alpha: float(first ?? 0.2), beta: float(second ?? 0.5) });
    case "Clip":
      return b.op(name, [x, e.scalarLike(b, first ?? -3.4e38, x), e.scalarLike(b, second ?? 3.4e38, x)]);
    default:
      throw new UserError(`${where}: the activation ${name} has no derivative here`);
  }
}

/** y = x·Φ(x), or its approximation by tanh. */
export const gelu = (b: e.B, x: e.V, approximate: "none" | "tanh" = "none"): e.V =>
  b.op("Gelu", [x], approximate === "tanh" ? { approximate: { type: "string", value: "tanh" } } : {});
