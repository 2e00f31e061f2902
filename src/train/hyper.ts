import type { Manifest } from "../format/manifest.js";
import { check } from "../util/assert.js";
import { rangeProblem } from "../util/range.js";
import { didYouMean } from "../util/suggest.js";
import type { Schedule } from "./schedules.js";

export interface HyperOptions {
  /** Values of hyper-parameters instead of the package's defaults, by `lr`, `hyper/lr` or `lr/<group>`. */
  hyper?: Readonly<Record<string, number>> | undefined;
  /** Factors over time, by name as in `hyper`: `{ lr: schedule("cosine", { warmup: 0.06 }), rho: schedule("linear") }`. */
  schedules?: Readonly<Record<string, Schedule>> | undefined;
}

/** The hyper-parameters of step t of `total`: defaults or overrides, times their schedules. Throws for names that are not there. */
export function hyperSchedule(
  { hyper: known }: Pick<Manifest, "hyper">,
  { hyper = {}, schedules = {} }: HyperOptions,
  total: number,
): (t: number) => Record<string, number> {
  const names = Object.keys(known);
  /** `lr` means `hyper/lr` and `hyper/lr/<group>`. */
  const meant = (key: string): string[] => {
    const full = key.startsWith("hyper/") ? key : `hyper/${key}`;
    const found = names.filter((name) => name === full || name.startsWith(`${full}/`));
    check(found.length > 0, () => {
      const short = names.map((name) => name.slice(6));
      return `the package has no hyper-parameter "${key}"; it has ${short.join(", ")}${didYouMean(key, short)}`;
    });
    return found;
  };
  const fixed: Record<string, number> = {};
  // The more a name says, the later it is applied: `lr/head` wins over `lr`.
  for (const [key, value] of Object.entries(hyper).sort(([a], [b]) => a.length - b.length)) {
    check(Number.isFinite(value), `hyper-parameter "${key}": ${value} is not a finite number`);
    for (const name of meant(key)) {
      const range = known[name]?.range;
      const problem = range && rangeProblem(value, range);
      check(!problem, `hyper-parameter "${key}": ${problem ?? ""}`);
      fixed[name] = value;
    }
  }
  for (const [name, { follows }] of Object.entries(known)) {
    const leader = follows === undefined ? undefined : fixed[follows];
    if (leader !== undefined) fixed[name] ??= leader;
  }
  const factors = Object.entries(schedules).flatMap(([key, f]) => meant(key).map((name) => ({ name, f })));
  return (t) => {
    const values = { ...fixed };
    for (const { name, f } of factors) values[name] = (values[name] ?? known[name]?.default ?? 0) * f(t, total);
    return values;
  };
}
