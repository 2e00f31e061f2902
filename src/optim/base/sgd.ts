import { z } from "zod";
import * as e from "../../ops/emit.js";
import { must } from "../../util/assert.js";
import { at, mapParams, oneMinus } from "../arithmetic.js";
import { emptyState, noState, type Base } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";

/** The hyper-parameters of a momentum buffer, for the schema of a base. */
export const momentumFields = {
  momentum: hyper(0, "momentum μ; 0 keeps no buffer", {
    min: 0,
    below: 1,
    reason: "from 1 on, the past would never fade",
  }),
  dampening: hyper(0, "dampening τ of the gradient in the momentum", {
    min: 0,
    max: 1,
    reason: "it takes a share of the gradient away",
  }),
};

const options = z.object({
  nesterov: z.boolean().default(false).describe("look ahead along the momentum (needs momentum)"),
  decoupled: z.boolean().default(false).describe("weight decay apart from the gradient, instead of L2"),
  lr: hyper(0.01, "learning rate η", ranges.rate),
  weight_decay: hyper(0, "weight decay λ", ranges.decay),
  ...momentumFields,
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
  check: (o) => (o.nesterov && o.momentum === 0 ? "nesterov needs momentum; give momentum a value above 0" : null),
  hyper: (o) => hyperOf(options, o, o.momentum > 0 ? undefined : ["lr", "weight_decay"]),
  state: (o) => (o.momentum > 0 ? { tensors: [{ kind: "momentum", fill: 0 }], scalars: [] } : noState),
  descend: ({ b, hyper: value, step }, o, w, g, s) => {
    const decayed = mapParams(g, (x, name) =>
      o.decoupled ? x : e.add(b, x, e.mul(b, value("weight_decay", name), at(w, name))),
    );
    const start = mapParams(w, (x, name) =>
      o.decoupled ? e.mul(b, x, oneMinus(b, e.mul(b, value("lr", name), value("weight_decay", name)))) : x,
    );
    if (o.momentum === 0) {
      const next = mapParams(start, (x, name) => e.sub(b, x, e.mul(b, value("lr", name), at(decayed, name))));
      return { next, state: emptyState };
    }
    const mu = value("momentum");
    const first = e.equal(b, step, e.scalarLike(b, 0, step));
    const share = e.where(b, first, e.scalarLike(b, 1, step), oneMinus(b, value("dampening")));
    const buffers = must(s.tensors.get("momentum"), "the momentum buffers");
    const updated = mapParams(buffers, (u, name) => e.add(b, e.mul(b, mu, u), e.mul(b, share, at(decayed, name))));
    const direction = o.nesterov
      ? mapParams(updated, (u, name) => e.add(b, at(decayed, name), e.mul(b, mu, u)))
      : updated;
    const next = mapParams(start, (x, name) => e.sub(b, x, e.mul(b, value("lr", name), at(direction, name))));
    return { next, state: { tensors: new Map([["momentum", updated]]), scalars: new Map() } };
  },
};
