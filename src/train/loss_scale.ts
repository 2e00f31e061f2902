import type { Manifest } from "../format/manifest.js";
import { check } from "../util/assert.js";

/** The loss is scaled by a factor that follows the gradients: as large as they bear, so that small ones do not vanish. */
export interface DynamicLossScale {
  /** Steps in a row without an overflow, after which the factor doubles; default 2,000. */
  growthInterval?: number | undefined;
}

/** Where a dynamic scale stands. */
export interface LossScaleState {
  scale: number;
  /** Steps taken since it last changed. */
  good: number;
}

const name = "hyper/loss_scale";
/** It is not halved below this: what is not finite then overflows without a scale too. */
export const leastLossScale = 1;

/**
 * The scale after a step: half of it where a gradient of either pass was not finite (the whole step was skipped), twice after
 * `growthInterval` steps without that. Powers of two, so that gradients lose no digits. Micikevicius et al. 2018, Mixed
 * Precision Training, section 3.2.
 */
export function nextLossScale(
  { scale, good }: LossScaleState,
  wasSkipped: boolean,
  { growthInterval = 2000 }: DynamicLossScale,
): LossScaleState {
  if (wasSkipped) return { scale: Math.max(scale / 2, Math.min(scale, leastLossScale)), good: 0 };
  return good + 1 < growthInterval ? { scale, good: good + 1 } : { scale: 2 * scale, good: 0 };
}

/** How the scale of a run moves; in mixed precision it does so unless the run fixes it. Null where it stays. */
export function dynamicLossScale({
  lossScale,
  runtime,
  hyper = {},
}: {
  lossScale?: DynamicLossScale | undefined;
  runtime: { manifest: Pick<Manifest, "precision"> };
  hyper?: Readonly<Record<string, number>> | undefined;
}): DynamicLossScale | null {
  const isFixed = "loss_scale" in hyper || name in hyper;
  return lossScale ?? (runtime.manifest.precision === "mixed" && !isFixed ? {} : null);
}

/** Where a dynamic scale starts: at the run's `loss_scale`, or the package's. Throws where the package has none. */
export function firstLossScale(
  { hyper }: Pick<Manifest, "hyper">,
  given: Readonly<Record<string, number>>,
): LossScaleState {
  const known = hyper[name];
  check(known, "the package scales no loss; patch the model with a loss scale (--loss-scale 65536)");
  return { scale: given["loss_scale"] ?? given[name] ?? known.default, good: 0 };
}

/** The hyper-parameter that the step is fed. */
export const lossScaleHyper = ({ scale }: LossScaleState): Record<string, number> => ({ [name]: scale });
