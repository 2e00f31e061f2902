import type { Tensor } from "onnxruntime-node";
import type { Manifest, RandomSpec } from "../format/manifest.js";
import { check, invariant, must } from "../util/assert.js";
import { draw, type Drawable } from "../util/draw.js";
import { sizeOf, sizeOfDim } from "../util/shape.js";
import type { Sizes } from "./batch.js";
import { allocate, wrap, type HostData } from "./tensors.js";

/** When a draw happens: values depend on the seed, the input's name and this, and on nothing that was drawn before. */
export interface Moment {
  /** Steps taken before. */
  step: number;
  /** Steps skipped since the last one taken, so that a step that failed is not tried on the same values. */
  attempt: number;
  /** Micro-batch within the step. */
  micro: number;
}

interface Drawn {
  key: string;
  tensor: Tensor;
  /** Room for the largest shape so far. */
  room: HostData;
}

/** The random inputs of a package. A value is drawn once and kept while its moment and its shape last. */
export class RandomInputs {
  private readonly drawn = new Map<string, Drawn>();

  constructor(
    private readonly manifest: Manifest,
    private readonly seed: number,
  ) {}

  get(name: string, moment: Moment, sizes: Sizes): Tensor {
    const dims = this.dims(name, sizes);
    const key = [moment.step, moment.attempt, this.micro(name, moment), ...dims].join();
    const before = this.drawn.get(name);
    if (before?.key === key) return before.tensor;
    const { dtype } = this.spec(name);
    const count = sizeOf(dims);
    const room = before && before.room.length >= count ? before.room : allocate(dtype, count, `"${name}"`);
    const data = room.subarray(0, count);
    this.fill(data, name, moment);
    const tensor = wrap(dtype, data, dims);
    this.drawn.set(name, { key, tensor, room });
    return tensor;
  }

  /** The same values, drawn into `data`, which has as many elements. */
  fill(data: HostData, name: string, moment: Moment): void {
    const spec = this.spec(name);
    const key = [this.seed, name, moment.step, moment.attempt, this.micro(name, moment)];
    draw(drawable(data, spec, name), spec.distribution, key, spec.p);
  }

  private dims(name: string, sizes: Sizes): number[] {
    return this.spec(name).shape.map((dim) => {
      const size = sizeOfDim(dim, (symbol) => sizes.get(symbol));
      check(size !== undefined, `random input "${name}" has a dimension "${dim}", which no input of the batch has`);
      return size;
    });
  }

  private spec(name: string): RandomSpec {
    return must(this.manifest.random[name], `random input "${name}"`);
  }

  private micro(name: string, moment: Moment): number {
    return this.spec(name).per === "micro-batch" ? moment.micro : 0;
  }
}

function drawable(data: HostData, { dtype, distribution }: RandomSpec, name: string): Drawable {
  const fits =
    distribution === "bits" ||
    dtype === "float32" ||
    dtype === "float64" ||
    (distribution === "bernoulli" && (dtype === "bool" || dtype === "uint8"));
  check(fits, `random input "${name}": ${distribution} values cannot be ${dtype}`);
  invariant(
    !(data instanceof Int8Array || data instanceof Int16Array || data instanceof Uint16Array),
    `"${name}": ${dtype} is not drawn`,
  );
  return data;
}
