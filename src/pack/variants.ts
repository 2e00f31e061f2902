import type { ManifestInput } from "../format/manifest.js";
import type { Curvature } from "../optim/part.js";
import type { Optimizer } from "../optim/compose.js";
import { leastCommonMultiple } from "../util/multiple.js";

/** One kind of step: what it does beside the first gradient and the descent. */
export interface Variant {
  /** Name of its fused graph. */
  name: string;
  /** Whether there is a second pass. */
  second: boolean;
  /** A step without a second pass between steps that have one. */
  look: boolean;
  ascentRefresh: boolean;
  baseRefresh: boolean;
}

export interface ScheduledVariant extends Variant {
  /** It runs at steps t with t mod every = 0, unless one before it in the list does. */
  every: number;
}

/** Names that the base's measurements carry before them, where the ascent's have none. */
export const basePrefix = "base_";

/**
 * The variants of the optimizer's step that its schedule reaches, in the order of the schedule. Curvature refreshes fall on
 * steps with a second pass: a period F under LookSAM's k is rounded up to a multiple of k.
 */
export function variantsOf({ ascent, curvature, period }: Optimizer): ScheduledVariant[] {
  const second = ascent.perturb !== undefined;
  const aligned = (c: Curvature | null): number | null => c && period * Math.ceil(c.frequency / period);
  const [a, b] = [curvature.ascent?.after ? period : aligned(curvature.ascent), aligned(curvature.base)];
  const variant = (ascentRefresh: boolean, baseRefresh: boolean, every: number): ScheduledVariant => ({
    name: `${ascentRefresh ? "curvature_" : ""}${baseRefresh ? "preconditioner_" : ""}step`,
    ...{ second, look: false, ascentRefresh, baseRefresh, every },
  });
  const candidates = [
    ...(a && b ? [variant(true, true, leastCommonMultiple(a, b))] : []),
    ...(a ? [variant(true, false, a)] : []),
    ...(b ? [variant(false, true, b)] : []),
    variant(false, false, period),
    ...(period > 1 ? [{ ...variant(false, false, 1), name: "look_step", second: false, look: true }] : []),
  ];
  return candidates.filter((v, i) => !candidates.slice(0, i).some((before) => v.every % before.every === 0));
}

type Phase = NonNullable<ManifestInput["phases"]>[string][number];

/** The phases that make up a step of this variant. */
export function phasesOf({ curvature }: Optimizer, { second, look, ascentRefresh, baseRefresh }: Variant): Phase[] {
  const { ascent, base } = curvature;
  const before = ascentRefresh && !ascent?.after;
  const measured = (wanted: boolean, c: Curvature | null, prefix: string): string | null =>
    wanted && c?.measure ? prefix + c.measure.graph : null;
  const atW = measured(before, ascent, "") ?? (second ? null : measured(baseRefresh, base, basePrefix));
  const phases: Phase[] = [{ graph: atW ?? "gradient", batch: true }];
  if (before) phases.push({ graph: "curvature" });
  if (second) {
    phases.push({ graph: "perturb" });
    phases.push({ graph: measured(baseRefresh, base, basePrefix) ?? "gradient", batch: true, perturbed: true });
  }
  if (ascentRefresh && !before) phases.push({ graph: "curvature" });
  if (baseRefresh) phases.push({ graph: "preconditioner" });
  phases.push({ graph: look ? "look_descend" : "descend" });
  return phases;
}
