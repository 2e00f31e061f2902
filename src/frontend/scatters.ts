import { Ways, activeValues } from "../autodiff/active.js";
import type { Graph, Node, Value } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { graphsWithin } from "../passes/pass.js";
import { UserError, check } from "../util/assert.js";
import { nodesText, type ExportWarning } from "./dropout_audit.js";
import { modulePath } from "./scopes.js";

const scatters: ReadonlySet<string> = new Set(["ScatterElements", "ScatterND"]);

/** Scatters whose later updates replace earlier ones: of two at one place, ONNX leaves open which one stays. */
const isOverwriting = (node: Node): boolean =>
  node.domain === "" && scatters.has(node.op) && node.string("reduction", "none") === "none";

/** What ONNX defines of them. */
const reductions: readonly string[] = ["none", "add", "mul", "max", "min"];

/** Throws a UserError for a scatter, in bodies too, whose reduction is none that ONNX defines: the runtime would take it for another. */
export function checkReductions(graph: Graph): void {
  for (const node of [...graphsWithin(graph)].flatMap((g) => g.nodes)) {
    if (node.domain !== "" || !scatters.has(node.op)) continue;
    const reduction = node.string("reduction", "none");
    check(reductions.includes(reduction), () => {
      return `${node.label}: reduction "${reduction}" is not known; ${reductions.join(", ")} are: export it with one of these`;
    });
  }
}

/**
 * Throws a UserError for a scatter between `parameters` and `target` that overwrites a place twice, as far as its indices are
 * constant: its result is not defined, so it has no derivative. The other reductions take repeated indices.
 */
export function refuseRepeats(graph: Graph, parameters: Iterable<Value>, target: Value): void {
  const ways = new Ways(graph.nodes, [target]);
  const active = activeValues(ways, parameters, "vjp");
  for (const node of ways.nodes) {
    if (!isOverwriting(node) || !active.has(node.output())) continue;
    const indices = graph.initializers.get(node.input(1));
    const twice = indices && repeated(node, indices);
    if (twice === undefined) continue;
    throw new UserError(
      `${node.label}: its indices name place [${twice}] more than once, and with reduction "none" it is not defined which update ` +
        `stays, so there is no derivative; make the indices distinct, or the reduction add, mul, max or min`,
    );
  }
}

/** The first place that constant indices name twice. */
function repeated(node: Node, indices: Tensor): string | undefined {
  const numbers = indices.numbers();
  const seen = new Set<string>();
  const places = node.op === "ScatterND" ? tuples(node, indices, numbers) : elements(node, indices, numbers);
  for (const place of places) {
    const key = place.join(", ");
    if (seen.has(key)) return key;
    seen.add(key);
  }
  return undefined;
}

/** An index from the end as one from the start, where the size is known. */
function fromStart(index: number, size: number | string | undefined): number {
  return index < 0 && typeof size === "number" ? index + size : index;
}

function* tuples(node: Node, indices: Tensor, numbers: readonly number[]): Generator<number[]> {
  const depth = indices.dims.at(-1) ?? 1;
  const shape = node.input(0).shape;
  for (let at = 0; at < numbers.length; at += depth) {
    yield numbers.slice(at, at + depth).map((index, axis) => fromStart(index, shape?.[axis]));
  }
}

function* elements(node: Node, { dims }: Tensor, numbers: readonly number[]): Generator<number[]> {
  const axis = (node.int("axis", 0) + dims.length) % dims.length;
  const size = node.input(0).shape?.[axis];
  const place = dims.map(() => 0);
  for (const index of numbers) {
    yield place.map((p, i) => (i === axis ? fromStart(index, size) : p));
    for (let i = dims.length - 1; i >= 0; i--) {
      const next = (place[i] ?? 0) + 1;
      place[i] = next === dims[i] ? 0 : next;
      if (next !== dims[i]) break;
    }
  }
}

/** Overwriting scatters whose indices come from the model's inputs: whether they repeat is seen in the data only. */
export function auditScatters(graph: Graph): ExportWarning[] {
  const fed = graph.inputs.filter((v) => !graph.initializers.has(v));
  const nodes = graph.nodes.filter((node) => isOverwriting(node) && readsData(node.input(1), new Set(fed)));
  if (nodes.length === 0) return [];
  const message =
    `${nodesText("scatter", nodes)} will overwrite places that the inputs name: where two indices are equal, ONNX leaves open ` +
    `which update stays, and both get its gradient; use reduction add, mul, max or min, or feed distinct indices`;
  return [{ kind: "repeats", nodes: nodes.map((node) => ({ name: node.name, path: modulePath(node) })), message }];
}

/** What is no longer data: shapes, and places that are distinct by what they are. */
const harmless: ReadonlySet<string> = new Set(["Shape", "Size", "NonZero", "Range", "TopK", "Unique"]);

function readsData(from: Value, inputs: ReadonlySet<Value>): boolean {
  const seen = new Set<Value>();
  const stack = [from];
  for (let v = stack.pop(); v; v = stack.pop()) {
    if (inputs.has(v)) return true;
    if (seen.has(v) || !v.producer || harmless.has(v.producer.op)) continue;
    seen.add(v);
    stack.push(...v.producer.reads());
  }
  return false;
}
