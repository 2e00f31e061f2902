import { substitute } from "../ir/edit.js";
import { tensorType, Value, type Graph, type Model } from "../ir/graph.js";
import { pruneTo } from "../passes/dce.js";
import { estimatedSizes } from "../passes/memory.js";
import { must } from "../util/assert.js";
import { isStatic, sizeOf } from "../util/shape.js";

/** A graph taken apart: run the first part, hand its `shared` scalars to the others, and all outputs are there. */
export interface Parts {
  parts: readonly Model[];
  /** Scalars that the first part gives beside the graph's own outputs: what depends on several tensors (norms, whether all are finite). */
  shared: readonly Value[];
}

/**
 * Takes the graph of a descent apart by its tensors, so that no part but the first gives more than `limit` bytes of new values, or
 * one tensor's; null where all of it gives no more. The first part gives every scalar. Each node is computed as before: results are the
 * same. `load` is called once for each part, and must give a new model each time.
 */
export function splitUpdates(load: () => Model, limit: number): Parts | null {
  const { graph } = load();
  const bytes = estimatedSizes(graph, new Map());
  const isUpdate = (v: Value): boolean => v.name.startsWith("next/") && !isScalar(v);
  const groups: string[][] = [];
  let room = 0;
  for (const v of graph.outputs.filter(isUpdate).sort(byTensor)) {
    if (groups.length === 0 || bytes(v) > room) {
      groups.push([]);
      room = limit;
    }
    groups.at(-1)?.push(v.name);
    room -= bytes(v);
  }
  if (groups.length < 2) return null;
  const shared = sharedScalars(graph, isUpdate);
  const model = load();
  const first = model.graph;
  const given = valuesOf(first);
  const scalars = first.outputs.filter((v) => !isUpdate(v));
  const extra = [...shared].map((name) => must(given.get(name), name)).filter((v) => !scalars.includes(v));
  pruneTo(first, [...scalars, ...extra]);
  dropUnread(first);
  return { parts: [model, ...groups.map((names) => part(load(), new Set(names), shared))], shared: extra };
}

const isScalar = ({ shape }: Value): boolean => shape !== null && isStatic(shape) && sizeOf(shape) === 1;

/** Tensors of one parameter beside each other: they read the same gradient. */
const tensorOf = (name: string): string => name.replace(/^next\//, "");
const byTensor = (a: Value, b: Value): number => (tensorOf(a.name) < tensorOf(b.name) ? -1 : 1);

function valuesOf(graph: Graph): Map<string, Value> {
  const values = new Map(graph.inputs.map((v) => [v.name, v]));
  for (const node of graph.nodes) for (const v of node.outputs) if (v) values.set(v.name, v);
  return values;
}

/** The scalars in which what one update reads of other tensors comes to it. */
function sharedScalars(graph: Graph, isUpdate: (v: Value) => boolean): Set<string> {
  // The tensor that a value depends on; "" for none, null for several.
  const of = new Map<Value, string | null>();
  for (const v of graph.inputs) of.set(v, isScalar(v) ? "" : v.name.replace(/^.*?\//, ""));
  for (const node of graph.nodes) {
    let tensor: string | null = "";
    for (const v of node.reads()) {
      const own = of.get(v) ?? (of.has(v) ? null : "");
      tensor = tensor === "" ? own : own === "" || own === tensor ? tensor : null;
    }
    for (const v of node.outputs) if (v) of.set(v, tensor);
  }
  const shared = new Set<string>();
  const seen = new Set<Value>();
  const stack = graph.outputs.filter(isUpdate);
  for (let v = stack.pop(); v; v = stack.pop()) {
    if (seen.has(v)) continue;
    seen.add(v);
    if (v.producer && of.get(v) === null && isScalar(v)) shared.add(v.name);
    else stack.push(...(v.producer?.reads() ?? []));
  }
  return shared;
}

/** The model with the outputs of these names alone, and the shared scalars as inputs. */
function part(model: Model, names: ReadonlySet<string>, shared: ReadonlySet<string>): Model {
  const { graph } = model;
  const inputs = new Map<Value, Value>();
  for (const [name, v] of valuesOf(graph))
    if (shared.has(name)) inputs.set(v, new Value(name, tensorType(v.dtype, v.dims)));
  substitute(graph, inputs);
  graph.inputs.push(...inputs.values());
  pruneTo(
    graph,
    graph.outputs.filter((v) => names.has(v.name)),
  );
  dropUnread(graph);
  return model;
}

/** Removes inputs that nobody reads. */
function dropUnread(graph: Graph): void {
  const read = new Set([...graph.outputs, ...graph.nodes.flatMap((node) => [...node.reads()])]);
  graph.inputs = graph.inputs.filter((v) => read.has(v));
}
