import { InvalidArgumentError } from "commander";

export interface Range {
  min?: number;
  max?: number;
  /** The value must be above `min`, not equal to it. */
  above?: true;
}

function expectation(what: string, { min, max, above }: Range): string {
  if (min !== undefined && max !== undefined) return `expected ${what} from ${min} to ${max}`;
  if (min !== undefined) return `expected ${what} ${above ? ">" : ">="} ${min}`;
  return `expected ${what}`;
}

function inRange(value: number, { min = -Infinity, max = Infinity, above }: Range): boolean {
  return (above ? value > min : value >= min) && value <= max;
}

/** A parser of numbers for an option; refuses what is not finite, or out of range. */
export function number(range: Range = {}): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? NaN : Number(text);
    if (!Number.isFinite(value) || !inRange(value, range))
      throw new InvalidArgumentError(expectation("a number", range));
    return value;
  };
}

/** A parser of whole numbers for an option. */
export function integer(range: Range = {}): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d+$/.test(text) ? Number(text) : NaN;
    if (!Number.isSafeInteger(value) || !inRange(value, range)) {
      throw new InvalidArgumentError(expectation("a whole number", range));
    }
    return value;
  };
}

/** A parser of numbers with commas between them. */
export function numbers(range: Range = {}): (text: string) => number[] {
  const one = number(range);
  return (text) => text.split(",").map(one);
}

/**
 * Collects an option that may be given more than once, or once with commas. A `--no-…` option starts from `true`:
 * commander takes it for a switch that is on.
 */
export const list = (text: string, previous: readonly string[] | true | undefined): string[] => {
  const items = text.split(",");
  if (items.some((item) => item === "")) throw new InvalidArgumentError("expected names with commas between them");
  return [...(previous === undefined || previous === true ? [] : previous), ...items];
};

/** Collects `name=number` options. */
export const assignments = (
  text: string,
  previous: Readonly<Record<string, number>> | undefined,
): Record<string, number> => {
  const [, name, value] = /^([\w/]+)=(.+)$/.exec(text) ?? [];
  if (name === undefined || value === undefined) throw new InvalidArgumentError("expected name=number");
  return { ...previous, [name]: number()(value) };
};
