import { z } from "zod";
import * as e from "../ops/emit.js";
import { globalNorm, mapParams } from "./arithmetic.js";
import type { HyperSpec, Params, StepContext } from "./part.js";
import { hyper, hyperOf } from "./schema.js";

const bound = { above: 0, reason: "a bound of 0 would stop training" };

/** Clipping of the descent gradient: of its elements, then of its norm over all parameters; what is not named is not clipped. */
export const clipOptions = z.object({
  clip_value: hyper(1, "elements of the descent gradient are clipped to ± this", bound),
  clip_norm: hyper(1, "the descent gradient is scaled down to this norm over all parameters", bound),
});

export type ClipName = keyof typeof clipOptions.shape;

/** The hyper-parameters of the bounds in `values`. */
export const clipHyper = (values: Partial<Record<ClipName, number>>): HyperSpec[] =>
  hyperOf(
    clipOptions,
    { ...clipOptions.parse({}), ...values },
    (["clip_value", "clip_norm"] as const).filter((name) => values[name] !== undefined),
  );

/** The descent gradient, clipped: d ← min(max(d, −v), v), then d ← d·min(1, c/‖d‖₂). It never touches ε. */
export function clipped({ b, hyper: value }: StepContext, names: readonly string[], d: Params): Params {
  let clipped = d;
  if (names.includes("clip_value")) {
    const most = value("clip_value");
    clipped = mapParams(clipped, (x) => b.op("Clip", [x, e.neg(b, most), most]));
  }
  if (!names.includes("clip_norm")) return clipped;
  const norm = globalNorm(b, clipped);
  const most = value("clip_norm");
  const factor = e.div(b, most, e.max(b, norm, most));
  return mapParams(clipped, (x) => e.mul(b, factor, x));
}
