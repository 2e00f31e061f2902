import { dtypeCodes, type DType } from "../../src/util/dtype.js";
import type { Graph, Node, Value } from "../../src/ir/graph.js";
import { ofTensor, type Array64 } from "./array.js";
import { Call, type Op } from "./call.js";
import { control } from "./control.js";
import { elementwise } from "./elementwise.js";
import { indexing } from "./indexing.js";
import { layout } from "./layout.js";
import { microsoft } from "./microsoft.js";
import { normalizations } from "./normalizations.js";
import { products } from "./products.js";
import { recurrents } from "./recurrent.js";
import { reductions } from "./reductions.js";
import { resize } from "./resize.js";
import { affineGrid, deformConv, gridSample, maxRoiPool, roiAlign } from "./sampling.js";
import { attentions } from "./attention.js";
import { quantizations } from "./quantization.js";
import { selections } from "./selections.js";
import { spectral } from "./spectral.js";
import { convolutions } from "./windows.js";

/** Every reference operator, by name; one of another domain may bear that before it, `domain::name`. */
export const operators: Readonly<Record<string, Op>> = {
  ...elementwise,
  ...products,
  ...layout,
  ...indexing,
  ...reductions,
  ...normalizations,
  ...convolutions,
  ...recurrents,
  ...attentions,
  ...quantizations,
  ...microsoft,
  ...selections,
  ...spectral,
  AffineGrid: affineGrid,
  DeformConv: deformConv,
  GridSample: gridSample,
  MaxRoiPool: maxRoiPool,
  Resize: resize,
  RoiAlign: roiAlign,
  ...control,
};

/** Inputs by value, or by name. */
export type Feeds = ReadonlyMap<Value, Array64> | Readonly<Record<string, Array64>>;

export type Values64 = Map<Value, Array64>;

export interface Options {
  /** Whose semantics hold. */
  opset?: number;
  /** Quantization without its rounding. */
  straightThrough?: boolean;
  /** Values to find, and nothing else; without it, all. */
  wanted?: Iterable<Value | null>;
}

/**
 * The float64 value of every value of `graph`, by the semantics of the given opset. Floats of every dtype are computed
 * as float64; integers wrap around at their width, up to the 53 bits that a float64 holds.
 */
export function evaluate(graph: Graph, feeds: Feeds, options: Options = {}): Values64 {
  const { wanted } = options;
  const values: Values64 = new Map();
  const given = feeds instanceof Map ? (feeds as ReadonlyMap<Value, Array64>) : null;
  for (const input of graph.inputs) {
    const x = given ? given.get(input) : (feeds as Readonly<Record<string, Array64>>)[input.name];
    if (x) values.set(input, x);
    else if (!graph.initializers.has(input)) throw new Error(`no value for the input "${input.name}"`);
  }
  runGraph(graph, values, { opset: 21, ...options }, wanted && ancestors(wanted));
  return values;
}

function ancestors(values: Iterable<Value | null>): ReadonlySet<Node> {
  const found = new Set<Node>();
  const stack = [...values];
  while (stack.length > 0) {
    const node = stack.pop()?.producer;
    if (!node || found.has(node)) continue;
    found.add(node);
    stack.push(...node.reads());
  }
  return found;
}

/** Evaluates the outputs of `graph`, by name. */
export function outputsOf(graph: Graph, feeds: Feeds, opset = 21): Record<string, Array64> {
  const values = evaluate(graph, feeds, { opset, wanted: graph.outputs });
  return Object.fromEntries(graph.outputs.map((o) => [o.name, values.get(o)!]));
}

type Semantics = Options & { opset: number };

function runGraph(graph: Graph, values: Values64, semantics: Semantics, only?: ReadonlySet<Node>): void {
  for (const [v, t] of graph.initializers) if (!values.has(v)) values.set(v, ofTensor(t));
  for (const node of graph.nodes) {
    if (only && !only.has(node)) continue;
    const results = runNode(node, values, semantics);
    node.outputs.forEach((o, i) => {
      const y = results[i];
      if (o && !y) throw new Error(`${node.label}: output ${i} is not computed`);
      if (o && y) values.set(o, y);
    });
  }
}

function runNode(node: Node, values: Values64, semantics: Semantics): readonly (Array64 | null)[] {
  const op = operators[`${node.domain}::${node.op}`] ?? operators[node.op];
  if (!op) throw new Error(`${node.label}: the reference evaluator has no such operator`);
  const inputs = node.inputs.map((v) => {
    const x = v && values.get(v);
    if (v && !x) throw new Error(`${node.label} reads "${v.name}" before it is computed`);
    return x ?? null;
  });
  const run = (body: Graph, bodyInputs: readonly Array64[]): Array64[] => {
    // No two graphs share a value: those of a body are those of its last run.
    body.inputs.forEach((v, i) => values.set(v, bodyInputs[i]!));
    runGraph(body, values, semantics);
    return body.outputs.map((o) => values.get(o)!);
  };
  const result = op(new Call(node, inputs, semantics.opset, run, semantics.straightThrough));
  return "data" in result ? [result] : result;
}

/** Whether the evaluator can hold the dtype. */
export const holds = (dtype: DType): boolean =>
  dtype !== "string" && !dtype.startsWith("complex") && dtypeCodes[dtype] <= dtypeCodes.bfloat16;
