import { z } from "zod";
import { signedHutchinson } from "../../curvature/estimator.js";
import { hvpMeasure } from "../../curvature/hvp.js";
import * as e from "../../ops/emit.js";
import { at, mapParams } from "../arithmetic.js";
import type { Base, ParameterInfo } from "../part.js";
import { hyper, hyperOf, ranges } from "../schema.js";
import { averageMeasured, descendByMeasured, measuredScalars } from "./adaptive.js";

const options = z.object({
  frequency: z.int().positive().default(1).describe("steps between measurements of the Hessian diagonal"),
  probe: z.enum(["normal", "rademacher"]).default("rademacher").describe("distribution of the probe z"),
  spatial: z.boolean().default(true).describe("average the diagonal over the inputs of matrices and over kernels"),
  average: z
    .enum(["signed", "absolute"])
    .default("signed")
    .describe("what is averaged: z ⊙ Hz (the paper), or its absolute value (both official codes)"),
  hessian_power: z
    .number()
    .min(0)
    .max(1)
    .default(1)
    .describe("power k of the root mean square of the diagonal; 0 is the gradient alone"),
  lr: hyper(0.15, "learning rate η", ranges.rate),
  beta1: hyper(0.9, "weight of the past in the mean of the gradient", ranges.average),
  beta2: hyper(0.999, "weight of the past in the mean of the squared diagonal", ranges.average),
  eps: hyper(1e-4, "added to the Hessian's power", ranges.stabilizer),
  weight_decay: hyper(0, "decoupled weight decay λ", ranges.decay),
});

/**
 * D = z ⊙ Hz, averaged spatially;  m ← β₁ m + (1 − β₁) g;  v ← β₂ v + (1 − β₂) D²
 * w ← (1 − η λ) w − η (m/c₁) / ((√(v/c₂))ᵏ + ϵ)
 *
 * H is of the point where the gradient is. z is Rademacher; c₁, c₂ as in AdamW, c₂ counting refreshes of D. Spatial averaging:
 * over the inputs of a matrix, the features of an embedding's row, the kernel of a convolution. An HVP that is not finite keeps v.
 * Yao et al. 2021, Algorithm 1 and eq. 10.
 */
export const adahessian: Base<typeof options> = {
  name: "adahessian",
  summary: "Adam with the Hessian's diagonal in the place of the gradient's square",
  reference: "Yao et al. 2021, ADAHESSIAN: An Adaptive Second Order Optimizer for Machine Learning",
  options,
  hyper: (o) => hyperOf(options, o),
  state: (o) => ({
    tensors: [
      { kind: "adahessian_m", fill: 0 },
      { kind: "adahessian_v", fill: 0, shape: (p) => averagedShape(p, o.spatial ? spatialAxes(p) : []) },
    ],
    scalars: measuredScalars("adahessian"),
  }),
  gradients: (o) => 2 / o.frequency,
  curvature: (o) => ({
    estimator: "hvp",
    frequency: o.frequency,
    measure: hvpMeasure(o.probe),
    refresh: (c, _, measured, s) => {
      const { b } = c;
      const squares = mapParams(signedHutchinson(b, measured, 1), (x, name) => {
        const axes = o.spatial ? spatialAxes(at(c.parameters, name)) : [];
        const averaged = o.average === "absolute" && axes.length > 0 ? e.abs(b, x) : x;
        return e.square(b, axes.length > 0 ? e.reduceMean(b, averaged, axes) : x);
      });
      return { next: averageMeasured(c, s, "adahessian", squares), diagnostics: new Map() };
    },
  }),
  descend: (c, o, w, g, s) => descendByMeasured(c, w, g, s, "adahessian", o.hessian_power / 2),
};

const averagedShape = ({ shape }: ParameterInfo, axes: readonly number[]): number[] =>
  shape.map((d, i) => (axes.includes(i) ? 1 : d));

/** The axes that the diagonal is averaged over; the result is broadcast back over them. */
export function spatialAxes({ role, shape }: ParameterInfo): number[] {
  switch (role) {
    case "matmul":
      return [0];
    case "linear":
    case "embedding":
      return [1];
    case "conv":
      return [...shape.keys()].slice(2);
    case null:
      return [];
  }
}
