import { instantiate } from "../../ir/copy.js";
import type { Graph, Model, Node, Value } from "../../ir/graph.js";
import type { RuleContext } from "../../ops/rule.js";
import { UserError, must } from "../../util/assert.js";
import { activations } from "./activations.js";
import { dropouts } from "./dropouts.js";
import { indexing } from "./indexing.js";
import { losses } from "./losses.js";
import { normalizations } from "./normalizations.js";
import { products } from "./products.js";
import { structure } from "./structure.js";
import { TwinBuilder, type TrainingOp, type TrainingOps } from "./training_op.js";
import { windows } from "./windows.js";

const domain = "com.microsoft";

/** Every operator of training graphs that is lowered, by name; in the domain com.microsoft unless it is said otherwise. */
export const trainingOps: TrainingOps = {
  ...activations,
  ...dropouts,
  ...indexing,
  ...losses,
  ...normalizations,
  ...products,
  ...structure,
  ...windows,
};

/** Operators that the training build has in the default domain, though ONNX does not define them. */
const inDefaultDomain: ReadonlySet<string> = new Set(["MaxPoolGrad", "AveragePoolGrad"]);

/** The lowering of a node; undefined for a standard operator. */
export function trainingOpOf(node: Node): TrainingOp | undefined {
  const known = node.domain === domain || (node.domain === "" && inDefaultDomain.has(node.op));
  return known && Object.hasOwn(trainingOps, node.op) ? trainingOps[node.op] : undefined;
}

/** Whether a graph holds operators that only ONNX Runtime's training build has. */
export const isTrainingGraph = (graph: Graph): boolean =>
  graph.nodes.some((n) => n.op === "InPlaceAccumulatorV2" || (n.op.includes("Grad") && trainingOpOf(n)));

/** Throws one error that lists every node of a foreign domain that has no lowering. */
export function refuseUnknownOps(graph: Graph, file: string): void {
  const unknown = graph.nodes.filter((n) => n.domain !== "" && !trainingOpOf(n));
  if (unknown.length === 0) return;
  const shown = unknown.slice(0, 5).map((n) => n.label);
  const more = unknown.length > shown.length ? `, and ${unknown.length - shown.length} more` : "";
  throw new UserError(
    `${file}: no form in standard operators is known for ${shown.join(", ")}${more}; make the artifacts of a model without ${unknown.length === 1 ? "it" : "them"}, or patch the exported model itself`,
  );
}

/**
 * Gives the gradients of pools, whose inputs do not tell the shape of their output, the value that was pooled as a last
 * input: the input of the MaxPool that made the indices, or the value `x` where the output is called `x_grad`.
 */
export function giveShapes(graph: Graph): void {
  const byName = new Map<string, Value>();
  for (const v of graph.inputs) byName.set(v.name, v);
  for (const node of graph.nodes) for (const o of node.outputs) if (o) byName.set(o.name, o);
  for (const node of graph.nodes) {
    if (!inDefaultDomain.has(node.op)) continue;
    const pool = node.op === "MaxPoolGrad" ? node.inputs[1]?.producer : undefined;
    const name = node.output().name.replace(/_grad(_\d+)?$/, "");
    const pooled = pool ? pool.input(0) : byName.get(name);
    if (!pooled || pooled === node.output())
      throw new UserError(`${node.label}: the graph does not hold what was pooled; make the artifacts again`);
    node.inputs.push(pooled);
  }
}

/**
 * A model in which every training operator is replaced by standard ones with outputs of the same types, for the stock
 * runtime to infer them; `apply` then gives them to the values of `model`.
 */
export function typeTwin(model: Model): { twin: Model; apply: () => void } {
  const t = new TwinBuilder(model.graph);
  for (const node of model.graph.nodes) {
    const types = trainingOpOf(node)?.types ?? "native";
    if (types === "native") {
      t.keep(node);
      continue;
    }
    const inputs = node.inputs.map((v) => v && t.copy(v));
    t.bind(node, typeof types === "function" ? types(t, node, inputs) : types.map((i) => inputs[i] ?? null));
  }
  t.graph.outputs = model.graph.outputs.map((v) => t.copy(v));
  const opsets = new Map([...model.opsets].filter(([name]) => name === "" || name === domain));
  return {
    twin: { ...model, graph: t.graph, opsets },
    apply: () => {
      for (const [value, copy] of t.copies) value.type = copy.type;
    },
  };
}

/**
 * Copies what `outputs` need of a typed training graph into the builder of `c`, its training operators as standard ones.
 * The inputs of the graph become inputs of the builder where they are read. Returns the copy of every value.
 */
export function lowerTraining(
  c: RuleContext,
  graph: Graph,
  inputs: readonly Value[],
  outputs: readonly Value[],
): Map<Value, Value> {
  const { b } = c;
  const bindings = new Map(inputs.map((v) => [v, b.input(v.name, must(v.type, `the type of "${v.name}"`))]));
  return instantiate(b, graph, bindings, outputs, (node, read) => {
    const known = trainingOpOf(node);
    if (!known) return null;
    return b.scope(node.name || node.op, () => known.lower(c, node, read));
  });
}
