import type { Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { must } from "../util/assert.js";
import type { Params } from "./measure.js";

export { sumSquares } from "../ops/emit.js";

/** The entry of every parameter, mapped. */
export function mapParams(params: Params, f: (value: Value, name: string) => Value): Map<string, Value> {
  return new Map([...params].map(([name, v]) => [name, f(v, name)]));
}

export const at = <T>(params: ReadonlyMap<string, T>, name: string): T =>
  must(params.get(name), `an entry for parameter "${name}"`);

/** Σ of float32 scalars; 0 of none. */
export function sumOf(b: RuleBuilder, terms: readonly Value[]): Value {
  const [first] = terms;
  if (!first) return b.scalar(0);
  return terms.length === 1 ? first : b.op("Sum", terms);
}

/** Σₖ f(tensor k), each a scalar: a running float32 sum over all elements would lose digits. */
export const sumOver = (b: RuleBuilder, params: Params, f: (value: Value, name: string) => Value): Value =>
  sumOf(
    b,
    [...params].map(([name, v]) => f(v, name)),
  );

/** Σ xᵢyᵢ over one tensor, `[]`. */
export const dot = (b: RuleBuilder, x: Value, y: Value): Value => e.sumAll(b, e.mul(b, x, y));

/** ‖x‖₂ over all parameters, `[]`. */
export const globalNorm = (b: RuleBuilder, params: Params): Value =>
  e.sqrt(
    b,
    sumOver(b, params, (x) => e.sumSquares(b, x)),
  );

/** Number of elements of all parameters. */
export const countAll = (params: Params): number =>
  [...params.values()].reduce((n, x) => n + x.dims.reduce<number>((m, d) => m * (d as number), 1), 0);
