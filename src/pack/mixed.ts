import type { Source } from "../frontend/objective.js";
import type { Optimizer } from "../optim/compose.js";
import { check, UserError } from "../util/assert.js";

/** The scale of the loss that mixed precision begins with: that of PyTorch's GradScaler. */
export const firstLossScale = 2 ** 16;

/** `source`, read from `file`, with training graphs in mixed precision. Throws a UserError where a parameter is no float32. */
export function inMixedPrecision(source: Source, file: string): Source {
  for (const { name, value } of source.parameters) {
    if (value.dtype === "float32") continue;
    throw new UserError(
      `${file}: parameter "${name}" is ${value.dtype}; precision mixed makes float16 of float32 parameters: export the model in float32`,
    );
  }
  return { ...source, precision: "mixed" };
}

/** Refuses optimizers that mixed precision makes meaningless. */
export function refuseInMixed({ base, curvature }: Optimizer): void {
  check(
    base.name !== "kfac",
    "precision mixed: kfac reads activations and cotangents inside the model, which are float16 then; take another base, or float32",
  );
  const estimators = [curvature.ascent?.estimator, curvature.base?.estimator];
  check(
    !estimators.includes("finite-difference"),
    "precision mixed: the finite difference of two gradients is lost in float16's rounding; take the estimator hvp, or float32",
  );
}
