import * as e from "../ops/emit.js";
import type { Measure, ScoreNoise } from "./measure.js";

/**
 * ĝ = Jᵀu, J the derivative of the logits and u a random score: the weight of the loss times ĝ ⊙ ĝ estimates the diagonal of the
 * Gauss-Newton matrix. With drawn labels (Gauss-Newton-Bartlett; Liu et al. 2024, Sophia) u is their score; with signs, a root of
 * the loss's own second derivative times these, which varies less. Kind: sampled_grad. On the whole batch it shares the
 * forward pass with the gradient.
 */
export const gnbMeasure = (noise: ScoreNoise, share = 1): Measure => ({
  graph: "gnb",
  probes: [],
  noise,
  gives: [{ kind: "sampled_grad" }],
  emit: (c) => {
    const { b } = c;
    const rows = c.rows(share);
    const { at } = rows;
    const score = at.randomScore(noise, rows.noise(noise));
    if (share === 1) return new Map([["sampled_grad", at.pull(score)]]);
    // The refresh multiplies by the weight of the whole batch, where that of these rows is meant.
    const factor = e.sqrt(b, e.div(b, at.weight, c.at.weight));
    return new Map([["sampled_grad", at.pull(e.mul(b, factor, score))]]);
  },
});
