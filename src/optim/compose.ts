import type { ZodObject } from "zod";
import { UserError } from "../util/assert.js";
import { rangeProblem } from "../util/range.js";
import { didYouMean } from "../util/suggest.js";
import { asam } from "./ascent/asam.js";
import { curvsam } from "./ascent/curvsam.js";
import { none } from "./ascent/none.js";
import { sam } from "./ascent/sam.js";
import { adahessian } from "./base/adahessian.js";
import { adamw } from "./base/adamw.js";
import { sassha } from "./base/sassha.js";
import { kfac } from "./base/kfac.js";
import { sgd } from "./base/sgd.js";
import { shampoo } from "./base/shampoo.js";
import { clipHyper, clipOptions, type ClipName } from "./clip.js";
import { gsam } from "./combine/gsam.js";
import { looksam } from "./combine/looksam.js";
import { plain } from "./combine/plain.js";
import type { Ascent, Base, Combine, Curvature, HyperSpec, Part, StateLayout } from "./part.js";
import { hyperNames } from "./schema.js";

/** Everything that `--optimizer`, `--combine` and `--base` accept. */
export const ascents: readonly Ascent[] = [none, sam, asam, curvsam];
export const combines: readonly Combine[] = [plain, gsam, looksam];
export const bases: readonly Base[] = [sgd, adamw, adahessian, sassha, shampoo, kfac];

/**
 * Combinations that have no meaning, and why; a name that is left out stands for all. Every other one works: GSAM without an
 * ascent is GSAM at radius 0, where its own schedule may end, and descends along g.
 */
export const refused: readonly { ascent?: string; combine?: string; base?: string; why: string }[] = [
  {
    ascent: "none",
    combine: "looksam",
    why: "LookSAM reuses SAM's second gradient, and without an ascent there is none",
  },
];

/** Why the combination has no meaning; null where it works. */
export const refusal = (ascent: string, combine: string, base: string): string | null =>
  refused.find(
    (r) => (r.ascent ?? ascent) === ascent && (r.combine ?? combine) === combine && (r.base ?? base) === base,
  )?.why ?? null;

/** One optimizer: its parts with their options settled. */
export interface Optimizer {
  ascent: Ascent;
  ascentOptions: Record<string, unknown>;
  combine: Combine;
  combineOptions: Record<string, unknown>;
  base: Base;
  baseOptions: Record<string, unknown>;
  hyper: readonly HyperSpec[];
  state: StateLayout;
  /** What the ascent has measured at w, and the base where the descent gradient is taken. */
  curvature: { ascent: Curvature | null; base: Curvature | null };
  /** Steps from one second pass to the next; 1 where every step has one. */
  period: number;
  /** Steps between curvature refreshes; 1 where there is no curvature. */
  frequency: number;
  /** Bounds that the descent gradient is clipped to. */
  clip: readonly ClipName[];
  /** Whether the loss is scaled where it is differentiated. */
  lossScale: boolean;
}

export interface ComposeOptions {
  ascent?: Record<string, unknown>;
  /** Name of the combine rule; default plain. */
  combine?: string;
  combineOptions?: Record<string, unknown>;
  base?: Record<string, unknown>;
  /** Hyper-parameters of any part, by name; `clip_value` and `clip_norm` switch clipping on, `loss_scale` the scaling of the loss. */
  hyper?: Readonly<Record<string, number>>;
}

const lossScale: HyperSpec = {
  name: "loss_scale",
  default: 1,
  description: "factor of the loss where it is differentiated; gradients are divided by it",
  range: { above: 0, reason: "gradients are divided by it" },
};

function find<T extends { name: string }>(what: string, parts: readonly T[], name: string): T {
  const part = parts.find((p) => p.name === name);
  if (part) return part;
  const names = parts.map((p) => p.name);
  throw new UserError(`no ${what} is called "${name}"; use one of ${names.join(", ")}${didYouMean(name, names)}`);
}

function settle<P extends Part<ZodObject>>(
  part: P,
  given: Record<string, unknown>,
  hyper: Readonly<Record<string, number>>,
): Record<string, unknown> {
  const known = Object.keys(part.options.shape);
  const takes = known.length > 0 ? `it takes ${known.join(", ")}` : "it takes no options";
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    throw new UserError(`${part.name}: option "${name}" is not known; ${takes}${didYouMean(name, known)}`);
  }
  const own = hyperNames(part.options).filter((name) => hyper[name] !== undefined);
  const values = { ...given, ...Object.fromEntries(own.map((name) => [name, hyper[name]])) };
  const result = part.options.strict().safeParse(values);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new UserError(`${part.name}: ${issue?.path.join(".") || "options"}: ${issue?.message ?? "not valid"}`);
  }
  const problem = part.check?.(result.data) ?? null;
  if (problem !== null) throw new UserError(`${part.name}: ${problem}`);
  return result.data;
}

/** Composes an optimizer from the names and options of its parts. */
export function compose(ascentName: string, baseName: string, options: ComposeOptions = {}): Optimizer {
  const ascent = find("optimizer", ascents, ascentName);
  const combine = find("combine rule", combines, options.combine ?? "plain");
  const base = find("base optimizer", bases, baseName);
  const no = refusal(ascent.name, combine.name, base.name);
  if (no !== null) throw new UserError(`${ascent.name} with ${combine.name} over ${base.name} has no meaning: ${no}`);
  const given = options.hyper ?? {};
  const ascentOptions = settle(ascent, options.ascent ?? {}, given);
  const combineOptions = settle(combine, options.combineOptions ?? {}, given);
  const baseOptions = settle(base, options.base ?? {}, given);
  const states = [ascent.state(ascentOptions), combine.state(combineOptions), base.state(baseOptions)];
  const curvature = {
    ascent: ascent.curvature?.(ascentOptions) ?? null,
    base: base.curvature?.(baseOptions) ?? null,
  };
  const clip = (Object.keys(clipOptions.shape) as ClipName[]).filter((name) => given[name] !== undefined);
  const scale = given["loss_scale"];
  const hyper = follow(
    [
      ...base.hyper(baseOptions),
      ...ascent.hyper(ascentOptions),
      ...(ascent.perturb ? combine.hyper(combineOptions) : []),
      ...clipHyper(Object.fromEntries(clip.map((name) => [name, given[name]]))),
      ...(scale === undefined ? [] : [{ ...lossScale, default: scale }]),
    ],
    given,
  );
  const optimizer: Optimizer = {
    ...{ ascent, ascentOptions, combine, combineOptions, base, baseOptions, hyper, curvature, clip },
    state: { tensors: states.flatMap((s) => s.tensors), scalars: states.flatMap((s) => s.scalars) },
    period: ascent.perturb ? (combine.period?.(combineOptions) ?? 1) : 1,
    frequency: curvature.ascent?.frequency ?? curvature.base?.frequency ?? 1,
    lossScale: scale !== undefined,
  };
  checkHyper(optimizer, given);
  return optimizer;
}

/** Gives every hyper-parameter that follows another, and was not given, the other's value. */
function follow(specs: readonly HyperSpec[], given: Readonly<Record<string, number>>): HyperSpec[] {
  return specs.map((spec) => {
    const other = given[spec.name] === undefined && specs.find((s) => s.name === spec.follows);
    return other ? { ...spec, default: other.default } : spec;
  });
}

/** Refuses hyper-parameters that the optimizer does not have, and values out of their ranges. */
export function checkHyper(
  { ascent, combine, base, hyper }: Optimizer,
  values: Readonly<Record<string, number>>,
): void {
  const known = hyper.map((h) => h.name);
  const rule = combine.name === "plain" ? "" : ` with ${combine.name}`;
  for (const [name, value] of Object.entries(values)) {
    const spec = hyper.find((h) => h.name === name);
    if (!spec) {
      throw new UserError(
        `${ascent.name}${rule} over ${base.name} has no hyper-parameter "${name}"; it has ${known.join(", ")}${didYouMean(name, known)}`,
      );
    }
    const problem = spec.range && rangeProblem(value, spec.range);
    if (problem) throw new UserError(`hyper-parameter "${name}": ${problem}`);
  }
}

/** The parts of an optimizer with their options. */
export function partsOf(optimizer: Optimizer): { part: Part<ZodObject>; options: Record<string, unknown> }[] {
  return [
    { part: optimizer.ascent, options: optimizer.ascentOptions },
    { part: optimizer.combine, options: optimizer.combineOptions },
    { part: optimizer.base, options: optimizer.baseOptions },
  ];
}
