import { Node, type Attributes, type FunctionDef, type Graph, type Model, type Value } from "../ir/graph.js";
import { check, must } from "../util/assert.js";
import { Copier } from "./copier.js";
import { Names } from "./rewriter.js";
import { opsetOf, raise } from "./raise.js";

const keyOf = (f: { domain: string; name: string; overload: string }): string => `${f.domain}:${f.name}:${f.overload}`;

/**
 * Replaces calls of model-local functions by their bodies, in place, in bodies and in functions that call functions
 * too. Attribute references take the caller's values or the function's defaults; names are made unique; bodies and the
 * model are raised to the newest opset among them. Throws a UserError for a function that calls itself.
 */
export function inlineFunctions(model: Model): void {
  if (model.functions.length === 0) return;
  const opset = Math.max(...[model, ...model.functions].map((m) => opsetOf(m.opsets) ?? 0));
  const names = new Names(model);
  const own = opsetOf(model.opsets);
  if (own !== undefined) raise(model.graph, names, own, opset);
  const functions = new Map(model.functions.map((f) => [keyOf(f), f]));
  new Inliner(functions, names, opset).graph(model.graph, []);
  for (const f of model.functions)
    for (const [domain, version] of f.opsets) if (!model.opsets.has(domain)) model.opsets.set(domain, version);
  const used = domains(model.graph);
  for (const f of model.functions) if (!used.has(f.domain)) model.opsets.delete(f.domain);
  model.opsets.set("", opset);
  model.functions = [];
}

/** Domains of the operators in a graph and in graphs within it. */
function domains(graph: Graph): Set<string> {
  const found = new Set<string>();
  for (const node of graph.nodes) {
    found.add(node.domain);
    for (const body of Object.values(node.bodies)) for (const d of domains(body)) found.add(d);
  }
  return found;
}

class Inliner {
  constructor(
    private readonly functions: ReadonlyMap<string, FunctionDef>,
    private readonly names: Names,
    private readonly opset: number,
  ) {}

  /** Inlines every call in `graph`; `callers` are the functions that it lies in. */
  graph(graph: Graph, callers: readonly FunctionDef[]): void {
    const nodes: Node[] = [];
    for (const node of graph.nodes) {
      for (const body of Object.values(node.bodies)) this.graph(body, callers);
      const f = this.functions.get(keyOf({ domain: node.domain, name: node.op, overload: node.overload }));
      if (!f) {
        nodes.push(node);
        continue;
      }
      check(
        !callers.includes(f),
        () => `${node.label}: the function calls itself, through ${callers.map((c) => c.name).join(", ")}`,
      );
      const copy = this.expand(node, f);
      this.graph(copy, [...callers, f]);
      nodes.push(...copy.nodes);
      for (const [v, t] of copy.initializers) graph.initializers.set(v, t);
      for (const [v, t] of copy.sparseInitializers) graph.sparseInitializers.set(v, t);
    }
    graph.nodes = nodes;
  }

  /** A copy of the body of `f` for one call, at the common opset, which computes the outputs of the call. */
  private expand(call: Node, f: FunctionDef): Graph {
    const prefix = `${call.name || call.op}/`;
    const attributes: Attributes = { ...f.attributeDefaults, ...call.attributes };
    const map = new Map<Value, Value | null>(f.body.inputs.map((v, i) => [v, call.inputs[i] ?? null]));
    const copy = new Copier(this.names, prefix, attributes, call.bodies).body(f.body, map);
    const taken = new Set<Value>();
    f.body.outputs.forEach((o, i) => {
      const wanted = call.outputs[i];
      if (!wanted) return;
      const value = map.get(o);
      check(value, () => `${call.label}: output ${i} of the function is an input that the call leaves out`);
      if (value.producer && copy.nodes.includes(value.producer) && !taken.has(value)) {
        replaceOutput(value, wanted, copy);
        map.set(o, wanted);
        taken.add(wanted);
      } else {
        copy.nodes.push(new Node("Identity", [value], [wanted], {}, {}, "", this.names.unique(`${prefix}Identity`)));
      }
    });
    raise(copy, this.names, opsetOf(f.opsets) ?? this.opset, this.opset);
    return copy;
  }
}

/** `wanted` takes the place of `value`, everywhere in the copy. */
function replaceOutput(value: Value, wanted: Value, graph: Graph): void {
  const producer = must(value.producer, `the producer of "${value.name}"`);
  producer.outputs = producer.outputs.map((o) => (o === value ? wanted : o));
  wanted.producer = producer;
  replaceReads(graph, value, wanted);
}

function replaceReads(graph: Graph, value: Value, by: Value): void {
  for (const node of graph.nodes) {
    node.inputs = node.inputs.map((v) => (v === value ? by : v));
    for (const body of Object.values(node.bodies)) replaceReads(body, value, by);
  }
  graph.outputs = graph.outputs.map((v) => (v === value ? by : v));
}
