/** Where a number may lie; every bound has the same reason. */
export interface Range {
  min?: number | undefined;
  /** The number must be greater than this. */
  above?: number | undefined;
  max?: number | undefined;
  /** The number must be less than this. */
  below?: number | undefined;
  reason: string;
}

export const inRange = (x: number, { min, above, max, below }: Range): boolean =>
  Number.isFinite(x) &&
  x >= (min ?? -Infinity) &&
  x > (above ?? -Infinity) &&
  x <= (max ?? Infinity) &&
  x < (below ?? Infinity);

/** `a number from 0 on, below 1`: what was expected. */
export function rangeText({ min, above, max, below }: Range): string {
  const low = min !== undefined ? `from ${min}` : above !== undefined ? `above ${above}` : "";
  const high = max !== undefined ? `to ${max}` : below !== undefined ? `below ${below}` : "";
  const open = min !== undefined && high === "" ? "on" : "";
  return ["a number", low, open, low && high.startsWith("below") ? `and ${high}` : high].filter(Boolean).join(" ");
}

/** `-1 came, a number from 0 on expected: a radius is not negative`, or null where `x` is in range. */
export const rangeProblem = (x: number, range: Range): string | null =>
  inRange(x, range) ? null : `${x} came, ${rangeText(range)} expected: ${range.reason}`;
