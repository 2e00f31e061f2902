/** A dimension: a size, or a symbol; equal symbols are equal sizes, and a symbol of its own stands for "unknown". */
export type Dim = number | string;
export type Shape = readonly Dim[];

export const isStatic = (shape: Shape): shape is readonly number[] => shape.every((d) => typeof d === "number");

/** Number of elements of a static shape; 1 for a scalar. */
export const sizeOf = (shape: readonly number[]): number => shape.reduce((n, d) => n * d, 1);

/** The factors of a dimension: `batch*sequence*4` is batch, sequence and 4. */
export const factorsOf = (d: Dim): Dim[] =>
  typeof d === "number" ? [d] : d.split("*").map((f) => (/^\d+$/.test(f) ? Number(f) : f));

/** The size of a dimension once symbols have sizes; undefined where one of its symbols has none. */
export function sizeOfDim(d: Dim, sizes: (symbol: string) => number | undefined): number | undefined {
  let product = 1;
  for (const factor of factorsOf(d)) {
    const size = typeof factor === "number" ? factor : sizes(factor);
    if (size === undefined) return undefined;
    product *= size;
  }
  return product;
}

let fresh = 0;
/** A symbol equal to no other. */
export const freshDim = (): string => `?${fresh++}`;

/** The dimension that `a` and `b` broadcast to; two different symbols give a fresh one. */
export function broadcastDim(a: Dim, b: Dim): Dim {
  if (a === b || b === 1) return a;
  if (a === 1) return b;
  if (typeof a === "number") return a;
  if (typeof b === "number") return b;
  return freshDim();
}

/** Multidirectional broadcasting of ONNX (numpy's); an unknown rank gives an unknown rank. */
export function broadcast(...shapes: (Shape | null)[]): Dim[] | null {
  let result: Dim[] = [];
  for (const shape of shapes) {
    if (!shape) return null;
    const rank = Math.max(result.length, shape.length);
    const a = [...Array<Dim>(rank - result.length).fill(1), ...result];
    const b = [...Array<Dim>(rank - shape.length).fill(1), ...shape];
    result = a.map((d, i) => broadcastDim(d, b[i] ?? 1));
  }
  return result;
}

export const sameShape = (a: Shape | null, b: Shape | null): boolean =>
  a !== null && b !== null && a.length === b.length && a.every((d, i) => d === b[i]);

/** `axis` counted from the front, for a tensor of `rank` dimensions. */
export const normalizeAxis = (axis: number, rank: number): number => (axis < 0 ? axis + rank : axis);

/**
 * A constant target for a Reshape of `from` to `to`: sizes, 0 for "as in the input", one -1 for what remains; null where
 * no constant says it. Symbols of `from` and `to` are of one graph.
 */
export function reshapeTarget(from: Shape, to: Shape): number[] | null {
  let inferred = false;
  const target: number[] = [];
  for (const [i, d] of to.entries()) {
    if (d === 0) return null;
    if (typeof d === "number") target.push(d);
    else if (from[i] === d) target.push(0);
    else if (inferred) return null;
    else {
      inferred = true;
      target.push(-1);
    }
  }
  return target;
}
