import { must } from "../../src/util/assert.js";
import type { Feed } from "./run_graph.js";

export interface TensorError {
  name: string;
  error: number;
}

/** Largest errors that losses, gradients, HVPs and running statistics in float32 may have against float64. */
export const bounds = { loss: 1e-5, grad: 1e-5, hvp: 1e-4, statistics: 1e-5 };

/**
 * Per parameter, the largest |a − b| over the largest |b| of `<kind>/<param>`; tensors whose reference vanishes are
 * compared to the size of the whole gradient. NaN where the lengths differ.
 */
export function derivativeErrors(
  got: ReadonlyMap<string, Float32Array>,
  reference: ReadonlyMap<string, Feed>,
  kind: "grad" | "hvp" | "next",
): TensorError[] {
  const of = [...reference].filter(([name]) => name.startsWith(`${kind}/`));
  const largest = (data: ArrayLike<number>): number => Array.from(data).reduce((m, x) => Math.max(m, Math.abs(x)), 0);
  const whole = Math.max(...of.map(([, f]) => largest(f.data as Float64Array)));
  return of.map(([name, f]) => {
    const want = f.data as Float64Array;
    const have = must(got.get(name), name);
    const size = largest(want);
    const scale = size < 1e-6 * whole ? whole : size;
    let error = 0;
    want.forEach((x, i) => (error = Math.max(error, Math.abs(x - (have[i] ?? NaN)) / scale)));
    return { name, error: have.length === want.length ? error : NaN };
  });
}

/** The worst of some errors; a NaN is the worst of all. */
export function worst(errors: readonly TensorError[]): TensorError {
  const size = ({ error }: TensorError): number => (Number.isNaN(error) ? Infinity : error);
  return errors.reduce((a, b) => (size(b) > size(a) ? b : a), { name: "", error: 0 });
}

/** The probe and the derivatives of parameters that an export holds transposed, turned in place. */
export function transposeReference(reference: Map<string, Feed>, names: Iterable<string>): void {
  for (const name of names) {
    for (const kind of ["z", "grad", "hvp"]) {
      const key = `${kind}/${name}`;
      reference.set(key, transpose(must(reference.get(key), key)));
    }
  }
}

function transpose({ dtype, dims, data }: Feed): Feed {
  const [rows = 1, columns = 1] = dims;
  const source = data as Float64Array;
  const result = source.map((_, i) => source[(i % rows) * columns + Math.floor(i / rows)] ?? NaN);
  return { dtype, dims: [columns, rows], data: result };
}
