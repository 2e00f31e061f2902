/** ONNX's own cases as checks of derivatives: each is differentiated to the second order, and compared in float64. */
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { jvp } from "../../src/autodiff/forward.js";
import { upgrade } from "../../src/convert/index.js";
import { instantiate } from "../../src/ir/copy.js";
import { tensorType, type Model, type Node, type Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder, ruleOf } from "../../src/ops/builder.js";
import { parseModel } from "../../src/serde/index.js";
import { isFloat } from "../../src/util/dtype.js";
import { checkCases } from "../ops/check.js";
import { Inputs, differentiate, type Case } from "../ops/check_derivatives.js";
import { uniform } from "../ops/check_sample.js";
import { ofTensor, type Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { toRuntime } from "./ort.js";
import { parseTensor } from "./tensors.js";

/** Where a case ended. Those that are not "passed" or "failed" are not counted as run. */
export type Outcome =
  "passed" | "failed" | "no rule" | "zero" | "not run by the runtime" | "not float" | "not evaluated";

export interface Result {
  name: string;
  /** The operator of a model of one node; null where there are several. */
  op: string | null;
  opset: number;
  outcome: Outcome;
  /** Whether Σ c·y has a second derivative above 1e-6 somewhere. */
  curved: boolean;
  /** Whether the values were moved: the case's own lie on a kink, a tie, or the edge of the domain. */
  moved: boolean;
  message: string;
}

/** Float inputs that are arguments, and no data: scales, ratios, rates. */
const argumentsOf: Readonly<Record<string, readonly number[]>> = {
  CastLike: [1],
  Dropout: [1],
  Range: [0, 1, 2],
  Resize: [1, 2],
  Upsample: [1],
  OneHot: [0, 1],
};

/** Largest input and output, in elements, of a case that is differentiated. */
const largest = 12000;

/** Masks of −∞ pass through to an output: differences are then NaN. */
const infinite = "an output is infinite";

/** Cases are larger than the samples of rules, and no values were chosen: errors may be larger by this. */
const slack = 10;

interface Loaded {
  name: string;
  model: Model;
  feeds: Map<Value, Array64>;
}

const isFloatTensor = (v: Value): boolean => v.type?.kind === "tensor" && isFloat(v.type.dtype);

async function runsInRuntime(bytes: Uint8Array, names: readonly string[], inputs: readonly Array64[]): Promise<string> {
  try {
    const session = await InferenceSession.create(bytes, { intraOpNumThreads: 1, logSeverityLevel: 4 });
    try {
      await session.run(Object.fromEntries(names.map((name, i) => [name, toRuntime(inputs[i]!)])));
      return "";
    } finally {
      await session.release();
    }
  } catch (error) {
    return (error as Error).message.split("\n")[0]!;
  }
}

/** Runs one case of the archive, a folder with `model.onnx` and `test_data_set_0`. */
export async function runCase(folder: string): Promise<Result> {
  const bytes = readFileSync(join(folder, "model.onnx"));
  const model = parseModel(bytes, { folder });
  const { graph } = model;
  const only = graph.nodes.length === 1 ? graph.nodes[0]! : null;
  const done = (outcome: Outcome, rest: Partial<Result> = {}): Result => ({
    name: basename(folder),
    op: only?.op ?? null,
    opset: model.opsets.get("") ?? 1,
    outcome,
    curved: false,
    moved: false,
    message: "",
    ...rest,
  });
  if (!graph.inputs.some(isFloatTensor) || !graph.outputs.some(isFloatTensor)) return done("not float");
  let inputs: Array64[];
  try {
    inputs = readInputs(join(folder, "test_data_set_0"));
  } catch (error) {
    return done("not evaluated", { message: (error as Error).message });
  }
  const refusal = await runsInRuntime(
    bytes,
    graph.inputs.map((v) => v.name),
    inputs,
  );
  if (refusal) return done("not run by the runtime", { message: refusal });
  if (inputs.some((x) => isFloat(x.dtype) && x.data.length === 0)) return done("not evaluated", { message: "empty" });
  const { opset } = done("passed");
  const load = (): Loaded => {
    const copy = parseModel(bytes, { folder });
    upgrade(copy);
    return {
      name: basename(folder),
      model: copy,
      feeds: new Map(copy.graph.inputs.map((v, i) => [v, inputs[i]!])),
    };
  };
  try {
    const first = load();
    const missing = first.model.graph.nodes.filter((n) => !ruleOf(n)).map((n) => n.op);
    if (missing.length > 0) return done("no rule", { opset, message: [...new Set(missing)].join(", ") });
    if (only && ruleOf(first.model.graph.nodes[0]!)?.vjp === "zero") return done("zero", { opset });
  } catch (error) {
    return done("no rule", { opset, message: (error as Error).message });
  }
  return { ...done("passed", { opset }), ...check(load) };
}

/** With the case's own values; where these do not do, with values moved a little. */
function check(load: () => Loaded): Partial<Result> {
  let failure = "";
  for (const change of [null, move(0.96), move(1.04), spread]) {
    const moved = change !== null;
    try {
      const loaded = load();
      if (change) changeInputs(loaded, change);
      const made = caseOf(loaded);
      checkCases([() => made.case], slack);
      return { outcome: "passed", moved, curved: made.curved };
    } catch (error) {
      const message = (error as Error).message;
      if (
        message.includes("no numeric view") ||
        message.includes("tensor from numbers") ||
        message.includes("the reference evaluator has no such operator") ||
        message.startsWith("too large")
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

function changeInputs({ name, model, feeds }: Loaded, change: Change): void {
  const random = uniform(`${name} moved`);
  for (const v of model.graph.inputs) {
    const x = feeds.get(v)!;
    if (isFloat(x.dtype) && !isArgument(model.graph.nodes, v)) feeds.set(v, { ...x, data: change(x.data, random) });
  }
}

/** The case's graph in a builder of its own: integers are constants, and types are those of the values. */
function caseOf({ name, model, feeds }: Loaded): { case: Case; curved: boolean } {
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
  if (graph.outputs.some((o) => known.get(o)!.data.includes(-Infinity))) throw new Error(infinite);
  const map = instantiate(b, graph, bindings);
  const outputs = graph.outputs.filter(isFloatTensor).map((o) => [map.get(o)!, known.get(o)!] as const);
  const made = differentiate(name, inputs, xs, outputs, uniform(name));
  return { case: made, curved: isCurved(made) };
}

const isArgument = (nodes: readonly Node[], v: Value): boolean =>
  nodes.some((n) => argumentsOf[n.op]?.some((i) => n.inputs[i] === v));

/** Whether the Jacobian itself changes along the directions of the check. */
function isCurved(c: Case): boolean {
  const second = jvp(c.b, c.pullback, new Map(c.xs.map((x, i) => [x, c.vs[i]!])));
  const there = second.filter((h) => h !== null);
  const known = evaluate(c.b.graph, c.feeds, { wanted: there });
  return there.some((h) => known.get(h)!.data.some((n) => Math.abs(n) > 1e-6));
}

function readInputs(folder: string): Array64[] {
  const found: Array64[] = [];
  for (let i = 0; existsSync(join(folder, `input_${i}.pb`)); i++)
    found.push(ofTensor(parseTensor(readFileSync(join(folder, `input_${i}.pb`)))));
  return found;
}
