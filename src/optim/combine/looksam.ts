import { z } from "zod";
import type { Value } from "../../ir/graph.js";
import * as e from "../../ops/emit.js";
import { must } from "../../util/assert.js";
import { at, dot, guardedRatio, mapParams, sumOver, sumSquares } from "../arithmetic.js";
import { emptyState, noState, type Combine, type Params, type StepContext } from "../part.js";
import { hyper, hyperOf } from "../schema.js";

const options = z.object({
  period: z.int().positive().default(5).describe("steps from one second gradient to the next (k)"),
  scope: z.enum(["global", "tensor"]).default("global").describe("norms and angles over all parameters, or per tensor"),
  alpha: hyper(0.7, "weight α of the kept direction on steps without a second gradient", {
    min: 0,
    reason: "a negative weight would turn from the flat direction",
  }),
});

/**
 * Every k steps SAM's gradient g_s, and g_v = g_s − ‖g_s‖cosθ·ĝ, its part orthogonal to g, is kept; on the other steps, which need one
 * gradient, g + α (‖g‖/‖g_v‖) g_v. A zero or overflowing norm gives no such part (ours). Liu et al. 2022, Algorithm 1.
 */
export const looksam: Combine<typeof options> = {
  name: "looksam",
  summary: "a second gradient only every k steps; its flat direction is reused in between",
  reference: "Liu et al. 2022, Towards Efficient and Scalable Sharpness-Aware Minimization",
  options,
  hyper: (o) => (o.period > 1 ? hyperOf(options, o) : []),
  state: (o) => (o.period > 1 ? { tensors: [{ kind: "look_v", fill: 0 }], scalars: [] } : noState),
  period: (o) => o.period,
  gradients: (o) => 1 / o.period,
  combine: (c, o, g, second) => {
    if (o.period === 1) return { descent: second, state: emptyState };
    const { b } = c;
    const inner = overScope(c, o.scope, g, (x, name) => dot(b, x, at(second, name)));
    const squared = overScope(c, o.scope, g, (x) => sumSquares(b, x));
    const kept = mapParams(second, (x, name) => {
      const along = guardedRatio(b, inner(name), squared(name));
      return e.sub(b, x, e.mul(b, along, at(g, name)));
    });
    return { descent: second, state: { tensors: new Map([["look_v", kept]]), scalars: new Map() } };
  },
  reuse: (c, o, g, s) => {
    const { b } = c;
    const kept = must(s.tensors.get("look_v"), "the kept direction");
    const size = overScope(c, o.scope, g, (x) => sumSquares(b, x));
    const own = overScope(c, o.scope, kept, (x) => sumSquares(b, x));
    const descent = mapParams(g, (x, name) => {
      const ratio = guardedRatio(b, e.sqrt(b, size(name)), e.sqrt(b, own(name)));
      return e.add(b, x, e.mul(b, e.mul(b, c.hyper("alpha"), ratio), at(kept, name)));
    });
    return { descent, state: emptyState };
  },
};

/** Σ f over all parameters, or f of each. */
function overScope(
  { b }: StepContext,
  scope: "global" | "tensor",
  params: Params,
  f: (x: Value, name: string) => Value,
): (name: string) => Value {
  if (scope === "tensor") return (name) => f(at(params, name), name);
  const total = sumOver(b, params, f);
  return () => total;
}
