import { check } from "../util/assert.js";

/** A factor for a hyper-parameter at step `t` of `total`, t from 0: a pure function, so that a resume needs no state. */
export type Schedule = (t: number, total: number) => number;

export interface ScheduleOptions {
  /** Steps over which the factor rises linearly to 1; below 1, a fraction of all steps. Default 0. */
  warmup?: number | undefined;
  /** The factor at the end, for all but constant. Default 0. */
  end?: number | undefined;
  /** The exponent of polynomial: 1, the default, is linear; above 1 falls fast at first. */
  power?: number | undefined;
}

export const scheduleNames = ["constant", "linear", "cosine", "polynomial"] as const;
export type ScheduleName = (typeof scheduleNames)[number];

const decays: Record<ScheduleName, (progress: number, power: number) => number> = {
  constant: () => 1,
  linear: (progress) => 1 - progress,
  cosine: (progress) => (1 + Math.cos(Math.PI * progress)) / 2,
  polynomial: (progress, power) => (1 - progress) ** power,
};

/**
 * Warm-up, then decay. With W warm-up steps of T: f(t) = (t+1)/(W+1) for t < W; then end + (1 − end)·decay(p) with p =
 * (t − W)/(T − W), which is 1 − p (linear), (1 + cos πp)/2 (cosine; Loshchilov & Hutter 2017, no restarts) or (1 − p)^power
 * (polynomial). The first step of a warm-up is not taken at zero, where it would do nothing (ours). Any hyper-parameter can have
 * one: a radius that warms up starts flat and grows to ρ.
 */
export function schedule(name: ScheduleName, { warmup = 0, end = 0, power = 1 }: ScheduleOptions = {}): Schedule {
  check(scheduleNames.includes(name), `schedule "${name}": one of ${scheduleNames.join(", ")} expected`);
  check(warmup >= 0, `warm-up of ${warmup} steps: a number from 0 on expected`);
  check(end >= 0 && Number.isFinite(end), `schedule ends at ${end}: a factor from 0 on expected`);
  check(power > 0 && Number.isFinite(power), `schedule of power ${power}: a number above 0 expected`);
  check(
    warmup < 1 || Number.isInteger(warmup),
    `warm-up of ${warmup} steps: a whole number, or a fraction below 1, expected`,
  );
  return (t, total) => {
    const w = warmup < 1 ? Math.round(warmup * total) : warmup;
    if (t < w) return (t + 1) / (w + 1);
    const progress = Math.min(1, (t - w) / Math.max(1, total - w));
    return name === "constant" ? 1 : end + (1 - end) * decays[name](progress, power);
  };
}
