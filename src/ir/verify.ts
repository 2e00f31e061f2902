import { sameShape } from "../util/shape.js";
import { Graph, type Model, type Node, type Value } from "./graph.js";

/** What makes a value visible: the graphs around, each with what it has defined so far. */
interface Scope {
  readonly defined: Set<Value>;
  readonly outer: Scope | null;
}

const visible = (scope: Scope | null, value: Value): boolean =>
  scope !== null && (scope.defined.has(value) || visible(scope.outer, value));

/**
 * What is wrong with a graph or a model, one line each; nothing when it is sound: every value is defined once, before
 * its readers and by the node it names as its producer; reads and outputs are defined or captured; names are unique
 * within each graph; constants have the type that their value says.
 */
export function problems(of: Graph | Model): string[] {
  const found: string[] = [];
  if (of instanceof Graph) check(of, null, `graph "${of.name}"`, found);
  else {
    check(of.graph, null, `graph "${of.graph.name}"`, found);
    for (const f of of.functions) check(f.body, null, `function "${f.name}"`, found);
  }
  return found;
}

/** Throws an error that lists the problems, if there are any; `when` says what was done before. */
export function verify(of: Graph | Model, when = "verify"): void {
  const found = problems(of);
  if (found.length > 0) throw new Error(`internal error: after ${when}: ${found.slice(0, 10).join("; ")}`);
}

function check(graph: Graph, outer: Scope | null, label: string, found: string[]): void {
  const scope: Scope = { defined: new Set(), outer };
  const names = new Set<string>();
  const define = (value: Value, producer: Node | null, what: string): void => {
    if (visible(scope, value)) found.push(`${label}: ${what} defines "${value.name}", which is defined already`);
    if (value.producer !== producer) {
      found.push(
        `${label}: "${value.name}" is defined by ${what}, but names ${value.producer?.label ?? "no node"} as its producer`,
      );
    }
    if (value.name === "" ? producer === null : names.has(value.name)) {
      found.push(`${label}: two values are called "${value.name}"`);
    }
    scope.defined.add(value);
    names.add(value.name);
  };
  for (const value of graph.inputs) define(value, null, "an input");
  for (const [value, tensor] of graph.initializers) {
    if (!scope.defined.has(value)) define(value, null, "an initializer");
    const { type } = value;
    const fits = type?.kind === "tensor" && type.dtype === tensor.dtype && fitsShape(type.shape, tensor.dims);
    if (type && !fits) {
      found.push(
        `${label}: the constant "${value.name}" is ${tensor.dtype}[${tensor.dims.join(",")}], not what its type says`,
      );
    }
  }
  for (const value of graph.sparseInitializers.keys()) {
    if (!scope.defined.has(value)) define(value, null, "a sparse initializer");
  }
  for (const node of graph.nodes) {
    for (const value of node.inputs) {
      if (value && !visible(scope, value))
        found.push(`${label}: ${node.label} reads "${value.name}" before it is defined`);
    }
    for (const body of node.graphs()) check(body, scope, `${label}, ${node.label}`, found);
    for (const value of node.outputs) if (value) define(value, node, node.label);
  }
  for (const value of graph.outputs) {
    if (!visible(scope, value)) found.push(`${label}: output "${value.name}" is defined nowhere`);
  }
}

/** Symbols may stand for any size: an input with a default can be dynamic. */
const fitsShape = (shape: readonly (number | string)[] | null, dims: readonly number[]): boolean =>
  shape === null ||
  sameShape(
    shape.map((d, i) => (typeof d === "string" ? (dims[i] ?? d) : d)),
    dims,
  );
