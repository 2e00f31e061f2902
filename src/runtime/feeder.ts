import type { Tensor } from "onnxruntime-node";
import type { Manifest } from "../format/manifest.js";
import type { InputRole } from "../format/ports.js";
import { check, must } from "../util/assert.js";
import { checkBatch, type Feeds, type Sizes } from "./batch.js";
import type { PackageGraph } from "./graphs.js";
import type { Moment, RandomInputs } from "./random.js";
import { wrap } from "./tensors.js";

/** Values of the hyper-parameters, by full name. */
export type Hyper = Readonly<Record<string, number>>;

/** A micro-batch that was checked and wrapped for the runtime. */
export interface PreparedBatch {
  tensors: ReadonlyMap<string, Tensor>;
  sizes: Sizes;
}

export function prepareBatch(manifest: Manifest, batch: Feeds): PreparedBatch {
  const sizes = checkBatch(manifest, batch);
  const tensors = new Map(
    Object.entries(batch.feeds).map(([name, { dtype, data, dims }]) => [name, wrap(dtype, data, dims)]),
  );
  return { tensors, sizes };
}

/** Where the values of one run come from. */
export interface Sources {
  batch: PreparedBatch | null;
  moment: Moment;
  hyper: Hyper;
  random: RandomInputs;
  manifest: Manifest;
  /** Parameters, state, and what the phases hand on. */
  held(name: string): Tensor;
}

/** The value of input `name`, from where its role says; `path` is the graph that reads it. */
export function inputValue(name: string, role: InputRole, path: string, sources: Sources): Tensor {
  const { batch, moment, hyper, random, manifest } = sources;
  switch (role) {
    case "input":
    case "target": {
      const tensor = batch?.tensors.get(name);
      check(tensor, `the batch has no "${name}", which ${path} needs`);
      return tensor;
    }
    case "hyper":
      return wrap("float32", Float32Array.of(hyper[name] ?? must(manifest.hyper[name], name).default), []);
    case "random":
      return random.get(name, moment, batch?.sizes ?? new Map());
    default:
      return sources.held(name);
  }
}

/** The feeds of `graph`. */
export const feedsOf = (graph: PackageGraph, sources: Sources): Record<string, Tensor> =>
  Object.fromEntries(graph.inputs.map(({ name, role }) => [name, inputValue(name, role, graph.path, sources)]));
