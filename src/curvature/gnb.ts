import * as e from "../ops/emit.js";
import type { Measure } from "./measure.js";

/**
 * ĝ, the gradient at labels drawn from the model's own distribution (Gauss-Newton-Bartlett; Liu et al. 2024, Sophia): the
 * weight of the loss times ĝ ⊙ ĝ estimates the diagonal of the Gauss-Newton matrix. Kind: sampled_grad. On the whole batch it
 * shares the forward pass with the gradient.
 */
export const gnbMeasure = (share = 1): Measure => ({
  graph: "gnb",
  probes: [],
  samplesLabels: true,
  gives: [{ kind: "sampled_grad" }],
  emit: (c) => {
    const { b } = c;
    const rows = c.rows(share);
    const { at } = rows;
    const score = at.sampledScore(rows.labelNoise());
    if (share === 1) return new Map([["sampled_grad", at.pull(score)]]);
    // The refresh multiplies by the weight of the whole batch, where that of these rows is meant.
    const factor = e.sqrt(b, e.div(b, at.weight, c.at.weight));
    return new Map([["sampled_grad", at.pull(e.mul(b, factor, score))]]);
  },
});
