import { z } from "zod";
import * as e from "../../ops/emit.js";
import { must } from "../../util/assert.js";
import { at, mapParams, oneMinus } from "../arithmetic.js";
import { emptyState, type Base } from "../part.js";

const options = z.object({
  momentum: z.boolean().default(false).describe("keep a momentum buffer"),
  nesterov: z.boolean().default(false).describe("look ahead along the momentum (needs momentum)"),
  decoupled: z.boolean().default(false).describe("weight decay apart from the gradient, instead of L2"),
});

/**
 * g ← g + λ w (L2; decoupled instead: w ← w − η λ w)
 * u ← μ u + (1 − τ) g, and u ← g at the first step;   w ← w − η u, or w − η (g + μ u) for Nesterov's.
 *
 * As in PyTorch: the first buffer is g, undamped. Sutskever et al. 2013, without their change of variables.
 */
export const sgd: Base<typeof options> = {
  name: "sgd",
  summary: "stochastic gradient descent, with momentum, Nesterov's look-ahead and weight decay",
  reference: "Sutskever et al. 2013, On the importance of initialization and momentum in deep learning",
  options,
  hyper: (o) => [
    { name: "lr", default: 0.01, description: "learning rate η" },
    { name: "weight_decay", default: 0, description: "weight decay λ" },
    ...(o.momentum
      ? [
          { name: "momentum", default: 0.9, description: "momentum μ" },
          { name: "dampening", default: 0, description: "dampening τ of the gradient in the momentum" },
        ]
      : []),
  ],
  state: (o) => ({ tensors: o.momentum ? [{ kind: "momentum", fill: 0 }] : [], scalars: [] }),
  descend: ({ b, hyper, step }, o, w, g, s) => {
    const decayed = mapParams(g, (x, name) =>
      o.decoupled ? x : e.add(b, x, e.mul(b, hyper("weight_decay", name), at(w, name))),
    );
    const start = mapParams(w, (x, name) =>
      o.decoupled ? e.mul(b, x, oneMinus(b, e.mul(b, hyper("lr", name), hyper("weight_decay", name)))) : x,
    );
    if (!o.momentum) {
      const next = mapParams(start, (x, name) => e.sub(b, x, e.mul(b, hyper("lr", name), at(decayed, name))));
      return { next, state: emptyState };
    }
    const mu = hyper("momentum");
    const first = e.equal(b, step, e.scalarLike(b, 0, step));
    const share = e.where(b, first, e.scalarLike(b, 1, step), oneMinus(b, hyper("dampening")));
    const buffers = must(s.tensors.get("momentum"), "the momentum buffers");
    const updated = mapParams(buffers, (u, name) => e.add(b, e.mul(b, mu, u), e.mul(b, share, at(decayed, name))));
    const direction = o.nesterov
      ? mapParams(updated, (u, name) => e.add(b, at(decayed, name), e.mul(b, mu, u)))
      : updated;
    const next = mapParams(start, (x, name) => e.sub(b, x, e.mul(b, hyper("lr", name), at(direction, name))));
    return { next, state: { tensors: new Map([["momentum", updated]]), scalars: new Map() } };
  },
};
