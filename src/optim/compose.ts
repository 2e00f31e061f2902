import type { ZodObject } from "zod";
import { UserError } from "../util/assert.js";
import { none } from "./ascent/none.js";
import { sam } from "./ascent/sam.js";
import { curvsam } from "./ascent/curvsam.js";
import { sgd } from "./base/sgd.js";
import { adamw } from "./base/adamw.js";
import type { Ascent, Base, HyperSpec, StateLayout } from "./part.js";

/** Everything that `--optimizer` and `--base` accept. */
export const ascents: readonly Ascent[] = [none, sam, curvsam];
export const bases: readonly Base[] = [sgd, adamw];

/** One optimizer: an ascent and a base with their options settled. */
export interface Optimizer {
  ascent: Ascent;
  ascentOptions: Record<string, unknown>;
  base: Base;
  baseOptions: Record<string, unknown>;
  hyper: readonly HyperSpec[];
  state: StateLayout;
  /** Steps between curvature refreshes; 1 where there is no curvature. */
  frequency: number;
}

function find<T extends { name: string }>(what: string, parts: readonly T[], name: string): T {
  const part = parts.find((p) => p.name === name);
  if (!part) throw new UserError(`no ${what} is called "${name}"; use one of ${parts.map((p) => p.name).join(", ")}`);
  return part;
}

function settle(part: { name: string; options: ZodObject }, given: Record<string, unknown>): Record<string, unknown> {
  const result = part.options.strict().safeParse(given);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const known = Object.keys(part.options.shape);
  throw new UserError(
    `${part.name}: option ${issue?.path.join(".") || "name"}: ${issue?.message ?? "not valid"}; ` +
      (known.length > 0 ? `it takes ${known.join(", ")}` : "it takes no options"),
  );
}

/** Composes an optimizer from the names and options of its parts. */
export function compose(
  ascentName: string,
  baseName: string,
  options: { ascent?: Record<string, unknown>; base?: Record<string, unknown> } = {},
): Optimizer {
  const ascent = find("optimizer", ascents, ascentName);
  const base = find("base optimizer", bases, baseName);
  const ascentOptions = settle(ascent, options.ascent ?? {});
  const baseOptions = settle(base, options.base ?? {});
  if (baseOptions["nesterov"] === true && baseOptions["momentum"] !== true) {
    throw new UserError(`${base.name}: nesterov needs momentum; switch momentum on`);
  }
  const states = [ascent.state(ascentOptions), base.state(baseOptions)];
  return {
    ascent,
    ascentOptions,
    base,
    baseOptions,
    hyper: [...base.hyper(baseOptions), ...ascent.hyper(ascentOptions)],
    state: { tensors: states.flatMap((s) => s.tensors), scalars: states.flatMap((s) => s.scalars) },
    frequency: ascent.curvature?.frequency(ascentOptions) ?? 1,
  };
}
