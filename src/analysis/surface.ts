import { join } from "node:path";
import type { Tensor } from "onnxruntime-node";
import type { Session } from "../runtime/providers/provider.js";
import { checkTensors, otherWeights } from "../format/compare.js";
import { readManifest, weightsFile, type Manifest } from "../format/manifest.js";
import { SafetensorsFile } from "../format/safetensors.js";
import { checkBatch, type Feeds } from "../runtime/batch.js";
import { resolveOptions, type EngineOptions } from "../runtime/options.js";
import { openSession, requireProvider, runError } from "../runtime/session.js";
import { allocate, bytesOf, scalarOf, unwrap, wrap, type HostTensor } from "../runtime/tensors.js";
import { check, must } from "../util/assert.js";
import { sizeOf } from "../util/shape.js";
import type { Range } from "./trace.js";
import type { SymmetricOperator, Vector } from "./vector.js";

/** A trainable tensor as a range of coordinates. */
export interface Block extends Range {
  shape: readonly number[];
  /** Whether it is a matrix [in, out], the transpose of PyTorch's. */
  transposed: boolean;
}

/** Where the graphs of a surface lie: `evaluate` of the package, and its derivatives (see `writeSurface`). */
export interface SurfaceGraphs {
  gradient: string;
  hvp: string;
}

/**
 * The mean loss over a fixed set of batches as a function of the trainable parameters, in evaluation mode, with its gradient
 * and Hessian-vector products. Points are vectors of all trainable elements, float32; batches count by their loss weights.
 */
export class LossSurface {
  readonly size: number;

  private constructor(
    readonly blocks: readonly Block[],
    /** The weights that it was opened with. */
    readonly origin: Float32Array,
    private fixed: Readonly<Record<string, Tensor>>,
    private readonly batches: readonly Readonly<Record<string, Tensor>>[],
    private readonly sessions: Readonly<Record<"evaluate" | "gradient" | "hvp", Session>>,
  ) {
    this.size = origin.length;
  }

  /** Opens the surface of the package in `folder` at the weights in `weights` (default: the package's). */
  static async open(
    folder: string,
    graphs: SurfaceGraphs,
    batches: readonly Feeds[],
    options: EngineOptions & { weights?: string | undefined } = {},
  ): Promise<LossSurface> {
    const { weights = join(folder, weightsFile), ...engine } = options;
    const session = resolveOptions(engine);
    const manifest = readManifest(folder);
    check(batches.length > 0, "a loss surface needs at least one batch");
    const sizes = batches.map((batch) => checkBatch(manifest, batch))[0] ?? new Map<string, number>();
    await requireProvider(session);
    const evaluate = join(folder, must(manifest.graphs["evaluate"], "the evaluate graph"));
    const open = (file: string) => openSession(file, session, sizes);
    const [first, second, third] = [await open(evaluate), await open(graphs.gradient), await open(graphs.hvp)];
    const sessions = { evaluate: first, gradient: second, hvp: third };
    const { blocks, origin, fixed } = readWeights(manifest, weights, new Set(first.inputNames));
    check(origin.length > 0, "the loss reaches no trainable parameter; there is no surface to look at");
    const tensors = batches.map(({ feeds }) =>
      Object.fromEntries(Object.entries(feeds).map(([name, t]) => [name, wrap(t.dtype, t.data, t.dims)])),
    );
    return new LossSurface(blocks, origin, fixed, tensors, sessions);
  }

  /** The parameters and buffers that the loss depends on, by their names in the package. */
  get tensors(): string[] {
    return [...this.blocks.map(({ name }) => name), ...Object.keys(this.fixed)];
  }

  /** The point that `values` of `tensors` are; what is not trained, buffers say, is theirs from here on. */
  pointOf(values: Readonly<Record<string, HostTensor>>): Vector {
    const point = new Float32Array(this.size);
    for (const { name, start } of this.blocks) point.set(must(values[name], name).data as Float32Array, start);
    const entries = Object.keys(this.fixed).map((name) => {
      const { dtype, dims, data } = must(values[name], name);
      return [name, wrap(dtype, data, dims)] as const;
    });
    this.fixed = Object.fromEntries(entries);
    return point;
  }

  get batchCount(): number {
    return this.batches.length;
  }

  /** The mean loss at `w`; of one batch where `batch` names it. */
  async loss(w: Vector, batch?: number): Promise<number> {
    let sum = 0;
    let weight = 0;
    for (const feeds of this.chosen(batch)) {
      const results = await this.run("evaluate", ["loss_sum", "loss_weight"], { ...feeds, ...this.at(w, "") });
      sum += results.scalar("loss_sum");
      weight += results.scalar("loss_weight");
    }
    return sum / weight;
  }

  /** ∇L at `w`; of one batch where `batch` names it. */
  async gradient(w: Vector, batch?: number): Promise<Vector> {
    return this.mean("gradient", "grad/", this.at(w, ""), batch);
  }

  /** v ↦ ∇²L(w) v. */
  hessian(w: Vector): SymmetricOperator {
    const point = this.at(w, "");
    return (v) => this.mean("hvp", "hvp/", { ...point, ...this.at(v, "z/") });
  }

  /** The diagonal block of the Hessian at `w` that belongs to `block`: v and the product have its length. */
  blockHessian(w: Vector, block: Block): SymmetricOperator {
    const whole = this.hessian(w);
    return async (v) => {
      const padded = new Float32Array(this.size);
      padded.set(v, block.start);
      return (await whole(padded)).slice(block.start, block.end);
    };
  }

  async close(): Promise<void> {
    for (const session of Object.values(this.sessions)) await session.release();
  }

  private chosen(batch: number | undefined): readonly Readonly<Record<string, Tensor>>[] {
    return batch === undefined ? this.batches : [must(this.batches[batch], `batch ${batch}`)];
  }

  /** The mean over batches of the vector that a graph outputs as `<prefix><param>`. */
  private async mean(
    graph: "gradient" | "hvp",
    prefix: string,
    point: Record<string, Tensor>,
    batch?: number,
  ): Promise<Vector> {
    const total = new Float64Array(this.size);
    let weights = 0;
    const wanted = ["loss_weight", ...this.blocks.map(({ name }) => prefix + name)];
    for (const feeds of this.chosen(batch)) {
      const results = await this.run(graph, wanted, { ...feeds, ...point });
      const weight = results.scalar("loss_weight");
      // A batch whose every label is ignored has 0/0 for its mean loss.
      if (weight === 0) continue;
      weights += weight;
      for (const { name, start } of this.blocks) {
        const part = results.data(prefix + name) as Float32Array;
        for (let i = 0; i < part.length; i++) total[start + i] = (total[start + i] ?? 0) + weight * (part[i] ?? NaN);
      }
    }
    const result = new Float32Array(total);
    for (let i = 0; i < result.length; i++) result[i] = (total[i] ?? NaN) / weights;
    return result;
  }

  private at(v: Vector, prefix: string): Record<string, Tensor> {
    const data = v instanceof Float32Array ? v : Float32Array.from(v);
    return Object.fromEntries(
      this.blocks.map(({ name, start, end, shape }) => [
        prefix + name,
        wrap("float32", data.subarray(start, end), shape),
      ]),
    );
  }

  private async run(graph: "evaluate" | "gradient" | "hvp", wanted: readonly string[], feeds: Record<string, Tensor>) {
    const session = this.sessions[graph];
    const all = { ...this.fixed, ...feeds };
    const given = Object.fromEntries(
      session.inputNames.map((name) => [name, must(all[name], `the input "${name}" of ${graph}`)]),
    );
    try {
      const results = await session.run(given, wanted);
      const tensor = (name: string) => unwrap(must(results[name], name));
      return { scalar: (name: string) => scalarOf(tensor(name)), data: (name: string) => tensor(name).data };
    } catch (error) {
      throw runError(`${graph}.onnx`, error);
    }
  }
}

/** The trainable parameters that the loss reaches as one vector, everything else that it reads as it is. */
function readWeights(manifest: Manifest, file: string, reached: ReadonlySet<string>) {
  return SafetensorsFile.using(file, (weights) => {
    const blocks: Block[] = [];
    const fixed: Record<string, Tensor> = {};
    const parts: Float32Array[] = [];
    let end = 0;
    const specs = Object.entries({ ...manifest.state, ...manifest.parameters }).filter(([name]) => reached.has(name));
    checkTensors(weights, specs, otherWeights);
    for (const [name, { dtype, shape }] of specs) {
      const data = allocate(dtype, sizeOf(shape), `${file}: "${name}"`);
      weights.readInto(name, bytesOf(data));
      const parameter = manifest.parameters[name];
      if (!parameter?.trainable) {
        fixed[name] = wrap(dtype, data, shape);
        continue;
      }
      check(data instanceof Float32Array, `parameter "${name}" is ${dtype}; a loss surface takes float32 parameters`);
      blocks.push({ name, start: end, end: (end += data.length), shape, transposed: parameter.transposed });
      parts.push(data);
    }
    const origin = new Float32Array(end);
    parts.forEach((part, i) => origin.set(part, blocks[i]?.start));
    return { blocks, origin, fixed };
  });
}
