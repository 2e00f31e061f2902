/** ONNX's own cases as checks of derivatives: each is differentiated to the second order, and compared in float64. */
import { basename } from "node:path";
import { jvp } from "../../src/autodiff/forward.js";
import { instantiate } from "../../src/ir/copy.js";
import { tensorType, type Graph, type Node, type Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { isFunction, kernelFault, kernelProviders, type KernelProvider } from "../../src/lower/kernels.js";
import { newBuilder, ruleOf } from "../../src/ops/builder.js";
import type { RuleBuilder } from "../../src/ops/rule.js";
import { graphsWithin } from "../../src/passes/pass.js";
import { isFloat } from "../../src/util/dtype.js";
import { checkCases } from "../ops/check.js";
import { Inputs, differentiate, type Case } from "../ops/check_derivatives.js";
import { uniform } from "../ops/check_sample.js";

import { stridesOf, view, type Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { holdsFloats, isFloatTensor, openCase, readModel, runtimeRefusal, type Loaded } from "./backend_case.js";
import { formsOf } from "./forms.js";

/** Where a case ended. Those that are not "passed" or "failed" are not counted as run. */
export type Outcome =
  "passed" | "failed" | "no rule" | "zero" | "not run by the runtime" | "not float" | "not evaluated";

/** What a passed case says. */
export interface Derived {
  /** Operators with a float input and output in the graph at the working opset. */
  inside: readonly string[];
  /** Names of the `forms` that it has. */
  forms: readonly string[];
  /** Whether H v of φ = Σ c·y + ½ Σ a·y² exceeds 1e-6 somewhere. */
  second: boolean;
  /** Whether that of Σ c·y alone does. */
  curved: boolean;
  /** Operators of the derivatives that a provider has no kernel for. */
  gaps: Readonly<Partial<Record<KernelProvider, readonly string[]>>>;
}

export interface Result {
  name: string;
  /** The operator of a model of one node; null where there are several. */
  op: string | null;
  opset: number;
  outcome: Outcome;
  /** Whether the values were moved: the case's own lie on a kink, a tie, or the edge of the domain. */
  moved: boolean;
  message: string;
  derived: Derived | null;
}

/** Float inputs that are arguments, and no data: scales, ratios, rates. */
const argumentsOf: Readonly<Record<string, readonly number[]>> = {
  CastLike: [1],
  Dropout: [1],
  Range: [1],
  Resize: [1, 2],
  Upsample: [1],
  OneHot: [0, 1],
};

/** Masks of −∞ pass through to every output: differences are then NaN. */
const infinite = "its outputs are infinite";

/** Cases are larger than the samples of rules, and no values were chosen: errors may be larger by this. */
const slack = 10;

/** Runs one case of the archive; one with a value of more than `largest` elements is not evaluated. */
export async function runCase(folder: string, largest = 12000): Promise<Result> {
  const model = readModel(folder);
  const { graph } = model;
  const only = graph.nodes.length === 1 ? graph.nodes[0]! : null;
  const done = (outcome: Outcome, message = ""): Result => ({
    name: basename(folder),
    op: only?.op ?? null,
    opset: model.opsets.get("") ?? 1,
    outcome,
    moved: false,
    message,
    derived: null,
  });
  if (!graph.inputs.some(holdsFloats) || !graph.outputs.some((o) => holdsFloats(o) || isQuantized(o)))
    return done("not float");
  try {
    const opened = openCase(folder);
    const refusal = await runtimeRefusal(opened);
    if (refusal) return done("not run by the runtime", refusal);
    const isEmpty = ([, x]: (typeof opened.given)[number], i: number): boolean =>
      isFloat(x.dtype) && x.data.length === 0 && !isArgument(graph.nodes, graph.inputs[i]!);
    if (opened.given.some(isEmpty)) return done("not evaluated", "an input has no elements");
    const { nodes } = opened.load().model.graph;
    const missing = nodes.filter((n) => !ruleOf(n)).map((n) => n.op);
    if (missing.length > 0) return done("no rule", [...new Set(missing)].join(", "));
    const made = opened.load().model.graph.outputs.map((o) => o.producer);
    if (only && made.every((n) => n && ruleOf(n)?.vjp === "zero")) return done("zero");
    return { ...done("passed"), ...check(opened.load, largest) };
  } catch (error) {
    const { message } = error as Error;
    const isOurs = message.includes("no numeric view") || message.includes("has no form of tensors");
    return done(isOurs ? "not evaluated" : "no rule", message);
  }
}

/** With the case's own values; where these do not do, with values moved a little. */
function check(load: () => Loaded, largest: number): Partial<Result> {
  let failure = "";
  for (const change of [null, move(0.96), move(1.04), spread, drawn]) {
    const moved = change !== null;
    try {
      const loaded = widened(cropped(load()));
      if (change) changeInputs(loaded, change);
      const made = caseOf(loaded, largest);
      checkCases([() => made.case], slack);
      return { outcome: "passed", moved, derived: derivedOf(loaded, made.case, made.nodes) };
    } catch (error) {
      const message = (error as Error).message;
      if (
        message.includes("the reference evaluator has no such operator") ||
        message.startsWith("too large") ||
        message.startsWith("its floats")
      )
        return { outcome: "not evaluated", message };
      failure = message;
    }
  }
  return { outcome: failure === infinite ? "not evaluated" : "failed", message: failure };
}

type Change = (x: Float64Array, random: () => number) => Float64Array;

/** Every number a little smaller or larger, and a little different; in the place of what is not finite, another one. */
const move =
  (factor: number): Change =>
  (x, random) =>
    x.map((n) => (Number.isFinite(n) ? n : random()) * factor + 0.01 + 0.02 * random());

/** Numbers of the same order at equal distances: no two are nearly tied. */
const spread: Change = (x) => {
  const order = [...x.keys()].sort((i, j) => x[i]! - x[j]! || i - j);
  const [low, high] = [x[order[0]!]!, x[order.at(-1)!]! + 1];
  const y = new Float64Array(x.length);
  order.forEach((i, rank) => (y[i] = low + ((high - low) * rank) / x.length));
  return y;
};

/** Other numbers altogether: PyTorch's cases have some from memory that nobody wrote. */
const drawn: Change = (x, random) => x.map(() => 0.5 + random());

/** Windows that are slid over more elements than differences can tell kinks apart in get fewer. */
function cropped(loaded: Loaded): Loaded {
  const { graph } = loaded.model;
  const [node] = graph.nodes;
  const v = node?.inputs[0];
  const x = v && loaded.feeds.get(v);
  if (!x || x.data.length <= 12000 || !/^(Conv|(Average|Lp|Max)Pool)$/.test(node.op)) return loaded;
  const [rows, channels] = node.op === "Conv" ? [2, Infinity] : [1, 2];
  const side = x.dims.length > 4 ? 12 : 24;
  const kernel = node.ints("kernel_shape") ?? [];
  if (kernel.some((size, i) => (size - 1) * (node.ints("dilations")?.[i] ?? 1) >= side)) return loaded;
  const dims = x.dims.map((d, i) => Math.min(d, [rows, channels][i] ?? side));
  const small = view(x, dims, stridesOf(x.dims));
  v.type = tensorType(x.dtype, dims);
  loaded.feeds.set(v, small);
  return loaded;
}

/** Constants of float16 in a derivative are rounded, which differences see: halves count as float32, but where they are cast. */
function widened(loaded: Loaded): Loaded {
  const { model, feeds } = loaded;
  if (model.graph.nodes.some((n) => n.op === "Cast" || n.op === "CastLike")) return loaded;
  for (const [v, x] of feeds)
    if (x.dtype === "float16") {
      v.type = tensorType("float32", x.dims);
      feeds.set(v, { ...x, dtype: "float32" });
    }
  return loaded;
}

function changeInputs({ name, model, feeds }: Loaded, change: Change): void {
  const random = uniform(`${name} moved`);
  for (const [v, x] of feeds)
    if (isFloat(x.dtype) && !isArgument(model.graph.nodes, v)) feeds.set(v, { ...x, data: change(x.data, random) });
}

/** The case's graph in a builder of its own: integers are constants, and types are those of the values. */
function caseOf({ name, model, feeds }: Loaded, largest: number): { case: Case; nodes: ReadonlySet<Node> } {
  const { graph } = model;
  const known = evaluate(graph, feeds);
  for (const [v, x] of known) {
    if (x.data.length > largest) throw new Error(`too large: ${x.data.length} elements`);
    v.type = tensorType(x.dtype, x.dims);
  }
  const b = newBuilder("case");
  const inputs = new Inputs(b, "", "static");
  const bindings = new Map<Value, Value>();
  const xs: Value[] = [];
  graph.inputs.forEach((v, i) => {
    const x = feeds.get(v)!;
    if (!isFloat(x.dtype) || isArgument(graph.nodes, v))
      bindings.set(v, b.constant(Tensor.of(x.dtype, x.dims, x.data)));
    else {
      const input = inputs.add(`x${i}`, x);
      bindings.set(v, input);
      xs.push(input);
    }
  });
  const isFinite = (o: Value): boolean => {
    const { data } = known.get(o)!;
    return data.length > 0 && !data.some((y) => Math.abs(y) === Infinity);
  };
  const floats = graph.outputs.filter((o) => isFloatTensor(o) && isFinite(o));
  const outputs = graph.outputs.some(isFloatTensor) ? floats : graph.outputs.filter(isQuantized);
  if (outputs.length === 0) throw new Error(infinite);
  const map = instantiate(b, graph, bindings, outputs);
  const nodes = new Set(b.graph.nodes);
  if (xs.length === 0) throw new Error("its floats are all arguments");
  const straightThrough = outputs.some(isQuantized);
  const values = outputs.map((o) => {
    const [v, x] = [map.get(o)!, known.get(o)!];
    return isQuantized(o) ? dequantized(b, v, x) : ([v, x] as const);
  });
  return { case: { ...differentiate(name, inputs, xs, values, uniform(name)), straightThrough }, nodes };
}

const isArgument = (nodes: readonly Node[], v: Value): boolean =>
  nodes.some((n) => argumentsOf[n.op]?.some((i) => n.inputs[i] === v));

/** Whole numbers that stand for others: derivatives pass their rounding, straight through. */
const isQuantized = (v: Value): boolean =>
  v.producer !== null && !holdsFloats(v) && (ruleOf(v.producer)?.quantizes ?? false);

/** What quantized numbers stand for at a scale of 1, so that they are of floats. */
function dequantized(b: RuleBuilder, v: Value, x: Array64): readonly [Value, Array64] {
  const y = b.op("DequantizeLinear", [v, b.scalar(1)], {}, { types: [tensorType("float32", x.dims)] });
  return [y, { ...x, dtype: "float32" }];
}

function derivedOf({ model, sequenced }: Loaded, c: Case, primal: ReadonlySet<Node>): Derived {
  const nodes = nodesOf(model.graph);
  const differentiable = nodes.filter((n) =>
    [[...n.reads()], n.outputs].every((vs) => vs.some((v) => v && isFloatTensor(v))),
  );
  const second = jvp(c.b, c.pullback, new Map(c.xs.map((x, i) => [x, c.vs[i]!])));
  return {
    inside: [...new Set([...differentiable.map((n) => n.op), ...sequenced])],
    forms: formsOf(nodes),
    second: exceeds(c, c.hvp),
    curved: exceeds(c, second),
    gaps: gapsOf(c, primal),
  };
}

const nodesOf = (graph: Graph): Node[] => [...graphsWithin(graph)].flatMap((g) => g.nodes);

/** Whether some element of `values` is larger than 1e-6. */
function exceeds(c: Case, values: readonly (Value | null)[]): boolean {
  const there = values.filter((h) => h !== null);
  const known = evaluate(c.b.graph, c.feeds, { wanted: there, straightThrough: c.straightThrough ?? false });
  return there.some((h) => known.get(h)!.data.some((n) => Math.abs(n) > 1e-6));
}

/** What no kernel exists for in the gradient and the Hessian-vector product, by provider. */
function gapsOf(c: Case, primal: ReadonlySet<Node>): Derived["gaps"] {
  const found = new Set<Node>();
  const stack: (Value | null)[] = [...c.pullback, ...c.hvp];
  while (stack.length > 0) {
    const node = stack.pop()?.producer;
    if (!node || found.has(node)) continue;
    found.add(node);
    stack.push(...node.reads());
  }
  const nodes = [...found].filter((n) => !primal.has(n));
  const all = nodes.flatMap((n) => [n, ...[...n.graphs()].flatMap(nodesOf)]);
  const lacking = (provider: KernelProvider): string[] => {
    const gaps = all.filter((n) => kernelFault(n, provider, n.domain === "" ? 21 : 1) !== undefined && !isFunction(n));
    return [...new Set(gaps.map((n) => n.op))].sort();
  };
  return Object.fromEntries(kernelProviders.map((p) => [p, lacking(p)]));
}
