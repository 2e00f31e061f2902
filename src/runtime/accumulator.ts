import type { Tensor } from "onnxruntime-node";
import { check, invariant, must } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import { allocate, scalarOf, unwrap, wrap, type HostData } from "./tensors.js";

interface Sum {
  name: string;
  into: Tensor;
}

/**
 * The weighted mean Σ wₖ xₖ / Σ wₖ over micro-batches, kept as a running mean: m ← m + (wₖ/Wₖ)(xₖ − m), Wₖ = w₁ + … + wₖ. One
 * micro-batch comes through untouched, bit for bit, and nothing overflows on the way.
 */
export class Accumulator {
  private readonly scratch = new Map<string, Tensor>();
  private means = new Map<string, number>();
  private total = 0;
  private first = true;

  begin(): void {
    this.means = new Map();
    this.total = 0;
    this.first = true;
  }

  /** Where the graph is to write `name`: the first time straight into the mean's buffer. */
  target(name: string, into: Tensor): Tensor {
    if (this.first) return into;
    let tensor = this.scratch.get(name);
    if (!tensor) {
      const dtype = into.type as DType;
      tensor = wrap(dtype, allocate(dtype, into.size, `"${name}" of a micro-batch`), into.dims);
      this.scratch.set(name, tensor);
    }
    return tensor;
  }

  /** Takes in a micro-batch: the vectors it wrote to their targets, and its scalars. */
  add(weight: number, sums: readonly Sum[], scalars: Readonly<Record<string, Tensor>>): void {
    this.total += weight;
    // A batch that counts for nothing (every label ignored) has 0/0 for a mean: it must not spoil the others'.
    const share = weight === 0 ? 0 : weight / this.total;
    for (const [name, tensor] of Object.entries(scalars)) {
      if (tensor.size !== 1 || name === "loss_weight") continue;
      const value = scalarOf(unwrap(tensor));
      const mean = this.means.get(name);
      if (mean === undefined) this.means.set(name, value);
      else if (share > 0 || Number.isNaN(share))
        this.means.set(name, share === 1 ? value : mean + share * (value - mean));
    }
    if (!this.first && share !== 0) {
      for (const { name, into } of sums) blend(into, must(this.scratch.get(name), name), share);
    }
    this.first = false;
  }

  /** The weighted means of the scalars; `loss_weight` is the sum. */
  scalars(): Record<string, Tensor> {
    const scalars = [...this.means, ["loss_weight", this.total] as const];
    return Object.fromEntries(scalars.map(([name, value]) => [name, wrap("float32", Float32Array.of(value), [])]));
  }
}

function blend(into: Tensor, value: Tensor, share: number): void {
  const mean = into.data as HostData;
  const x = value.data as HostData;
  check(
    (mean instanceof Float32Array && x instanceof Float32Array) ||
      (mean instanceof Float64Array && x instanceof Float64Array),
    `gradients of ${into.type} cannot be accumulated; train without accumulation`,
  );
  invariant(mean.length === x.length, "a micro-batch's gradient has another size");
  // Once everything before counted for nothing, the mean is this batch alone (the old one may be NaN).
  if (share === 1) mean.set(x);
  else for (let i = 0; i < mean.length; i++) mean[i] = (mean[i] ?? 0) + share * ((x[i] ?? 0) - (mean[i] ?? 0));
}
