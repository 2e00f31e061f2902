import { Graph, Node, Value } from "../ir/graph.js";
import { usesOf } from "./uses.js";

/**
 * Makes `Where(c, x, y)` for a scalar condition and branches of one shape `If(c) x else y`: the kernel of `Where` broadcasts the
 * condition and goes over all elements three times in one thread, where `If` copies one branch; and nothing where the node that makes
 * it, for nobody else, can be made part of the branch.
 */
export function branchOnScalars(graph: Graph): { modified: boolean } {
  const uses = usesOf(graph);
  const moved = new Set<Node>();
  const branch = (value: Value, name: string): Graph => {
    const maker = value.producer;
    const isOwn = maker?.outputs.length === 1 && uses.get(value) === 1 && [...maker.captures()].length === 0;
    if (!isOwn) return giving(value, name);
    moved.add(maker);
    const body = new Graph(name);
    body.nodes.push(maker);
    body.outputs.push(value);
    return body;
  };
  let modified = false;
  graph.nodes = graph.nodes.map((node) => {
    if (node.op !== "Where" || !chooses(node)) return node;
    modified = true;
    const [condition, taken, other] = [node.input(0), node.input(1), node.input(2)];
    const bodies = { then_branch: branch(taken, `${node.name}/then`), else_branch: branch(other, `${node.name}/else`) };
    const made = new Node("If", [condition], node.outputs, {}, bodies, "", node.name);
    node.output().producer = made;
    return made;
  });
  graph.nodes = graph.nodes.filter((node) => !moved.has(node));
  return { modified };
}

/** Whether one scalar decides over all elements of a tensor that is worth it. */
function chooses(node: Node): boolean {
  const [condition, x, y] = node.inputs;
  if (!condition || !x || !y || condition.shape?.length !== 0 || !x.shape || !y.shape) return false;
  const alike =
    x.shape.length === y.shape.length && x.shape.every((d, i) => typeof d === "number" && d === y.shape?.[i]);
  return alike && x.shape.reduce<number>((n, d) => n * Number(d), 1) >= worthwhile;
}

/** Elements from which on a copy takes longer than a graph within a graph. */
const worthwhile = 4096;

/** A body without inputs that gives `value` of the graph around it. */
function giving(value: Value, name: string): Graph {
  const body = new Graph(name);
  const output = new Value(name, value.type);
  const node = new Node("Identity", [value], [output], {}, {}, "", name);
  output.producer = node;
  body.nodes.push(node);
  body.outputs.push(output);
  return body;
}
