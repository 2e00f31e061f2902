import { freshDim, sizeOfDim, type Dim } from "../util/shape.js";

/** Sizes of the k-th dynamic dimension in each of three probes: distinct, small, and no two in one ratio. */
const sizes: readonly (readonly number[])[] = [
  [3, 5, 2, 7, 11, 13, 17, 19],
  [7, 3, 5, 2, 13, 11, 19, 23],
  [5, 11, 3, 13, 2, 7, 23, 17],
];

/** Number of symbols for which there are sizes. */
export const mostSymbols = sizes[0]?.length ?? 0;

/** What a dimension is in one probe; null where it has no size there. */
export type SizeAt = (d: Dim) => number | null;

/** Names sizes that change together over the probes. */
export class Symbols {
  private readonly known = new Map<string, Dim>();
  private readonly count: number;

  constructor(private readonly symbols: readonly string[]) {
    this.count = symbols.length === 0 ? 1 : sizes.length;
    const tuple = (i: number): number[] => sizes.slice(0, this.count).map((s) => s[i] ?? 0);
    const add = (values: readonly number[], name: string): void => {
      const key = values.join(",");
      if (!this.known.has(key)) this.known.set(key, name);
    };
    symbols.forEach((s, i) => add(tuple(i), s));
    symbols.forEach((s, i) =>
      symbols.slice(i).forEach((t, j) => {
        const other = tuple(i + j);
        add(
          tuple(i).map((d, k) => d * (other[k] ?? 0)),
          [s, t].sort().join("*"),
        );
      }),
    );
  }

  /** The sizes of each probe. */
  rounds(): SizeAt[] {
    return Array.from({ length: this.count }, (_, round) => (d: Dim): number | null => {
      const known = typeof d === "string" ? this.derived.get(d)?.[round] : undefined;
      return known ?? sizeOfDim(d, (symbol) => sizes[round]?.[this.symbols.indexOf(symbol)]) ?? null;
    });
  }

  shape(seen: readonly (readonly (number | null)[] | null)[]): Dim[] | null {
    const first = seen[0];
    if (!first || seen.some((s) => s?.length !== first.length)) return null;
    return first.map((_, axis) => this.dim(seen.map((s) => s?.[axis] ?? null)));
  }

  private readonly derived = new Map<string, readonly number[]>();

  private dim(values: readonly (number | null)[]): Dim {
    const known = values.filter((v) => v !== null);
    const first = known[0];
    if (known.length < this.count || first === undefined) return freshDim();
    if (known.every((v) => v === first)) return first;
    const key = known.join(",");
    let name = this.known.get(key);
    if (name === undefined) {
      const made = this.multiple(known) ?? `dim${this.known.size}`;
      this.known.set(key, (name = made));
      this.derived.set(made, known);
    }
    return name;
  }

  /** c times a known symbol, as `symbol*c`. */
  private multiple(values: readonly number[]): string | undefined {
    for (const [key, name] of this.known) {
      const base = key.split(",").map(Number);
      const c = (values[0] ?? 0) / (base[0] ?? 1);
      if (Number.isInteger(c) && c > 1 && values.every((v, i) => v === c * (base[i] ?? 0))) return `${name}*${c}`;
    }
    return undefined;
  }
}
