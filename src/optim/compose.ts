import type { ZodObject } from "zod";
import { UserError } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import { none } from "./ascent/none.js";
import { sam } from "./ascent/sam.js";
import { curvsam } from "./ascent/curvsam.js";
import { kfac } from "./base/kfac.js";
import { sgd } from "./base/sgd.js";
import { shampoo } from "./base/shampoo.js";
import { adamw } from "./base/adamw.js";
import { plain } from "./combine/plain.js";
import type { Ascent, Base, Combine, Curvature, HyperSpec, Part, StateLayout } from "./part.js";

/** Everything that `--optimizer`, `--combine` and `--base` accept. */
export const ascents: readonly Ascent[] = [none, sam, curvsam];
export const combines: readonly Combine[] = [plain];
export const bases: readonly Base[] = [sgd, adamw, shampoo, kfac];

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
}

function find<T extends { name: string }>(what: string, parts: readonly T[], name: string): T {
  const part = parts.find((p) => p.name === name);
  if (part) return part;
  const names = parts.map((p) => p.name);
  throw new UserError(`no ${what} is called "${name}"; use one of ${names.join(", ")}${didYouMean(name, names)}`);
}

function settle(part: { name: string; options: ZodObject }, given: Record<string, unknown>): Record<string, unknown> {
  const known = Object.keys(part.options.shape);
  const takes = known.length > 0 ? `it takes ${known.join(", ")}` : "it takes no options";
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue;
    throw new UserError(`${part.name}: option "${name}" is not known; ${takes}${didYouMean(name, known)}`);
  }
  const result = part.options.strict().safeParse(given);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new UserError(`${part.name}: option ${issue?.path.join(".") || "name"}: ${issue?.message ?? "not valid"}`);
}

export interface ComposeOptions {
  ascent?: Record<string, unknown>;
  /** Name of the combine rule; default plain. */
  combine?: string;
  combineOptions?: Record<string, unknown>;
  base?: Record<string, unknown>;
}

/** Composes an optimizer from the names and options of its parts. */
export function compose(ascentName: string, baseName: string, options: ComposeOptions = {}): Optimizer {
  const ascent = find("optimizer", ascents, ascentName);
  const combine = find("combine rule", combines, options.combine ?? "plain");
  const base = find("base optimizer", bases, baseName);
  const ascentOptions = settle(ascent, options.ascent ?? {});
  const combineOptions = settle(combine, options.combineOptions ?? {});
  const baseOptions = settle(base, options.base ?? {});
  if (baseOptions["nesterov"] === true && baseOptions["momentum"] !== true) {
    throw new UserError(`${base.name}: nesterov needs momentum; switch momentum on`);
  }
  const states = [ascent.state(ascentOptions), combine.state(combineOptions), base.state(baseOptions)];
  const curvature = {
    ascent: ascent.curvature?.(ascentOptions) ?? null,
    base: base.curvature?.(baseOptions) ?? null,
  };
  return {
    ascent,
    ascentOptions,
    combine,
    combineOptions,
    base,
    baseOptions,
    hyper: [...base.hyper(baseOptions), ...ascent.hyper(ascentOptions), ...combine.hyper(combineOptions)],
    state: { tensors: states.flatMap((s) => s.tensors), scalars: states.flatMap((s) => s.scalars) },
    curvature,
    period: ascent.perturb ? (combine.period?.(combineOptions) ?? 1) : 1,
    frequency: curvature.ascent?.frequency ?? curvature.base?.frequency ?? 1,
  };
}

/** The parts that have refreshes without a batch, with their options. */
export function partsOf(optimizer: Optimizer): { part: Part<ZodObject>; options: Record<string, unknown> }[] {
  return [
    { part: optimizer.ascent, options: optimizer.ascentOptions },
    { part: optimizer.combine, options: optimizer.combineOptions },
    { part: optimizer.base, options: optimizer.baseOptions },
  ];
}
