import { newModel, type Graph, type Model, type Value } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import type { OpRule, RuleBuilder, Sample } from "../../src/ops/rule.js";
import { dce } from "../../src/passes/dce.js";
import { graphsWithin } from "../../src/passes/pass.js";
import { serializeModel } from "../../src/serde/index.js";
import type { Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { runOnce } from "../support/ort.js";
import { addCase } from "./check_case.js";

/** Largest error of the runtime's float32 numbers, relative to the largest number of an output and no less than 1. */
const tolerance = 1e-3;

/** Nodes in one model, bodies included, from which on another is begun: the runtime's time to open one grows faster than they. */
const largest = 1500;

/** How each of the modes of shapes is opened: fused as far as packages are, and exactly as it was emitted, which is much faster. */
const levels = { static: "extended", erased: "disabled" } as const;
type Mode = keyof typeof levels;

/**
 * Opens the derivative graphs of a rule in the stock runtime, in float32, with static shapes and with none known, and
 * runs them once: everything loads, is finite where float64 is, and agrees with the reference evaluator.
 */
export async function checkInRuntime(rule: OpRule): Promise<void> {
  const samples = rule.samples.filter((sample) => !sample.noKernel);
  await checkSamples(rule, samples, "static");
  await checkSamples(rule, samples, "erased");
}

async function checkSamples(rule: OpRule, samples: readonly Sample[], shapes: Mode): Promise<void> {
  try {
    let batch = new Batch(rule, shapes);
    for (const sample of samples) {
      batch.add(sample);
      if (batch.nodes < largest) continue;
      await batch.run();
      batch = new Batch(rule, shapes);
    }
    await batch.run();
  } catch (cause) {
    // In a model of its own the sample at fault can be named.
    for (const sample of samples) {
      const batch = new Batch(rule, shapes);
      batch.add(sample);
      await batch.run();
    }
    throw cause;
  }
}

/** One model of the derivatives of several samples. */
class Batch {
  private readonly b: RuleBuilder;
  private readonly feeds = new Map<Value, Array64>();
  private readonly labels = new Map<string, string>();
  private count = 0;
  private title: string;

  constructor(
    private readonly rule: OpRule,
    private readonly shapes: Mode,
  ) {
    this.b = newBuilder(rule.op);
    this.title = rule.op;
  }

  get nodes(): number {
    return [...graphsWithin(this.b.graph)].reduce((n, g) => n + g.nodes.length, 0);
  }

  add(sample: Sample): void {
    const c = addCase(this.b, this.rule, sample, "float32", this.shapes, `s${this.count++}_`);
    this.title = c.label;
    for (const [v, x] of c.feeds) this.feeds.set(v, x);
    c.node.outputs.forEach((v) => this.output(v, `${c.label}: output`));
    c.pullback.forEach((v) => this.output(v, `${c.label}: VJP`));
    c.push.forEach((v) => this.output(v, `${c.label}: JVP`));
    c.hvp.forEach((v) => this.output(v, `${c.label}: HVP`));
    c.hvpReverse.forEach((v) => this.output(v, `${c.label}: reverse-over-reverse HVP`));
  }

  private output(value: Value | null, label: string): void {
    if (!value) return;
    const name = `out${this.count++}`;
    this.labels.set(name, label);
    this.b.output(value, name);
  }

  async run(): Promise<void> {
    const { graph } = this.b;
    if (graph.outputs.length === 0) return;
    // Derivatives by single inputs and outputs are the checker's of rules: the runtime would only drop them again.
    dce(graph);
    const expected = evaluate(graph, this.feeds);
    const named = Object.fromEntries([...this.feeds].map(([v, x]) => [v.name, x]));
    let got: Record<string, Array64>;
    try {
      got = await runOnce(serializeModel(modelOf(graph, this.rule)), named, levels[this.shapes]);
    } catch (cause) {
      throw new Error(`${this.title}: the runtime refuses the derivatives: ${(cause as Error).message}`, { cause });
    }
    for (const o of graph.outputs) compare(this.labels.get(o.name) ?? o.name, got[o.name]!, expected.get(o)!);
  }
}

function modelOf(graph: Graph, rule: OpRule): Model {
  const foreign = Boolean(rule.domain);
  const model = newModel(graph, foreign ? 21 : Math.max(21, rule.since));
  if (rule.domain) model.opsets.set(rule.domain, rule.since);
  return model;
}

function compare(what: string, got: Array64, expected: Array64): void {
  const shape = `${expected.dtype}[${expected.dims.join(",")}]`;
  const found = `${got.dtype}[${got.dims.join(",")}]`;
  if (found !== shape) throw new Error(`${what} is ${found} in the runtime, ${shape} in the reference`);
  const scale = expected.data.reduce((m, x) => Math.max(m, Math.abs(x)), 1);
  got.data.forEach((x, i) => {
    const error = Math.abs(x - expected.data[i]!) / scale;
    if (error <= tolerance) return;
    throw new Error(`${what}: element ${i} is ${x} in the runtime, ${expected.data[i]!} in the reference`);
  });
}
