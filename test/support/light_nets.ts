/** ONNX's light nets, whose weights are only shapes: shrunk, given weights, and differentiated as a whole in float64. */
import { readFileSync } from "node:fs";
import { basename } from "node:path";

import { jvp } from "../../src/autodiff/forward.js";
import { gradient, hvpOfGradient } from "../../src/autodiff/hvp.js";
import { instantiate } from "../../src/ir/copy.js";
import { tensorType, type Graph, type Value } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import { parseModel } from "../../src/serde/index.js";
import { upgrade } from "../../src/convert/index.js";
import { must } from "../../src/util/assert.js";
import { direction, uniform } from "../ops/check_sample.js";
import type { Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { casesOf } from "./backend.js";
import { shrink } from "./shrink_net.js";

export interface NetResult {
  name: string;
  nodes: number;
  /** Weights, statistics and the image; their elements. */
  tensors: number;
  elements: number;
  /** Largest relative errors: of the two modes against differences of φ, of H v against differences of the gradient. */
  first: number;
  second: number;
  /** Largest element of H v. */
  largest: number;
  /** "" where all is as it must be. */
  problem: string;
}

/** Largest relative errors that pass. */
const bounds = { first: 1e-6, second: 1e-5 };
/** Step of the differences: so small that hardly a unit passes its kink; and draws until none does. */
const step = 1e-7;
const draws = 6;

export const netsOf = (data: string): string[] => casesOf(data, "light").filter((file) => file.endsWith(".onnx"));

/** Differentiates φ = Σ c·y + ½ Σ a·y² of the net in `file` by every weight and the image. */
export function measureNet(file: string): NetResult {
  let best: NetResult | null = null;
  for (let draw = 0; draw < draws; draw++) {
    const result = measureDraw(file, draw);
    if (!best || !(best.first + best.second <= result.first + result.second)) best = result;
    if (best.problem === "") break;
  }
  return must(best, file);
}

function measureDraw(file: string, draw: number): NetResult {
  const name = basename(file, ".onnx");
  const model = parseModel(readFileSync(file), { file });
  upgrade(model);
  const random = uniform(`${name} ${draw}`);
  const feeds = shrink(model.graph, random);
  const c = differentiated(model.graph, feeds, random);
  const at = (h: number): { phi: number; gradient: Float64Array[] } => {
    const moved = new Map(c.feeds);
    c.xs.forEach((x, i) => {
      const [start, v] = [c.feeds.get(x)!, c.feeds.get(c.vs[i]!)!];
      moved.set(x, { ...start, data: start.data.map((s, j) => s + h * v.data[j]!) });
    });
    const known = evaluate(c.graph, moved, { wanted: [c.phi, ...c.gradient] });
    return { phi: known.get(c.phi)!.data[0]!, gradient: listsOf(known, c.gradient, c.xs) };
  };
  const known = evaluate(c.graph, c.feeds);
  const [below, above] = [at(-step), at(step)];
  const slope = (above.phi - below.phi) / (2 * step);
  const g = listsOf(known, c.gradient, c.xs);
  const along = g.reduce((sum, list, i) => sum + dot(list, c.feeds.get(c.vs[i]!)!.data), 0);
  const forward = known.get(c.slope)!.data[0]!;
  const product = listsOf(known, c.hvp, c.xs);
  const differences = above.gradient.map((up, i) => up.map((u, j) => (u - below.gradient[i]![j]!) / (2 * step)));
  const largest = largestOf(product);
  const first = Math.max(Math.abs(along - slope), Math.abs(forward - slope)) / Math.abs(slope);
  const second = largestOf(product.map((p, i) => p.map((x, j) => x - differences[i]![j]!))) / largest;
  const isRight = first <= bounds.first && second <= bounds.second && largest > 1e-6;
  return {
    name: name.replace("light_", ""),
    nodes: model.graph.nodes.length,
    tensors: c.xs.length,
    elements: c.xs.reduce((n, x) => n + c.feeds.get(x)!.data.length, 0),
    first: Number(first.toExponential(1)),
    second: Number(second.toExponential(1)),
    largest: Number(largest.toPrecision(2)),
    problem: isRight ? "" : `errors ${first.toExponential(1)} and ${second.toExponential(1)}, largest H v ${largest}`,
  };
}

interface Differentiated {
  graph: Graph;
  feeds: Map<Value, Array64>;
  xs: Value[];
  vs: Value[];
  phi: Value;
  /** The derivative of φ along v, by forward mode. */
  slope: Value;
  gradient: readonly (Value | null)[];
  hvp: readonly (Value | null)[];
}

function differentiated(graph: Graph, given: ReadonlyMap<Value, Array64>, random: () => number): Differentiated {
  const known = evaluate(graph, given);
  for (const [v, x] of known) v.type = tensorType(x.dtype, x.dims);
  const b = newBuilder("net");
  const feeds = new Map<Value, Array64>();
  const add = (name: string, x: Array64): Value => {
    const v = b.input(name, tensorType(x.dtype, x.dims));
    feeds.set(v, x);
    return v;
  };
  const bindings = new Map([...given].map(([v, x], i) => [v, add(`x${i}`, x)] as const));
  const xs = [...bindings.values()];
  const vs = xs.map((x, i) => add(`v${i}`, direction(random, feeds.get(x)!)));
  const output = must(graph.outputs[0], "an output");
  const y = must(instantiate(b, graph, bindings).get(output), output.name);
  const [c, a] = ["c", "a"].map((name) => add(name, direction(random, known.get(output)!))) as [Value, Value];
  const phi = e.sumAll(b, e.add(b, e.mul(b, c, y), e.scale(b, e.mul(b, a, e.square(b, y)), 0.5)));
  const slope = must(jvp(b, [phi], new Map(xs.map((x, i) => [x, vs[i]!])))[0], "a tangent of the objective");
  const g = gradient(b, phi, xs);
  return { graph: b.graph, feeds, xs, vs, phi, slope, gradient: g, hvp: hvpOfGradient(b, g, xs, vs) };
}

const listsOf = (
  known: ReadonlyMap<Value, Array64>,
  values: readonly (Value | null)[],
  like: readonly Value[],
): Float64Array[] =>
  values.map((v, i) => (v ? known.get(v)!.data : new Float64Array(known.get(like[i]!)!.data.length)));

const dot = (x: Float64Array, y: Float64Array): number => x.reduce((sum, v, i) => sum + v * y[i]!, 0);
const largestOf = (lists: readonly Float64Array[]): number =>
  lists.reduce((m, list) => list.reduce((n, x) => Math.max(n, Math.abs(x)), m), 0);
