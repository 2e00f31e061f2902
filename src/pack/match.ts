import type { Graph, Node, Value } from "../ir/graph.js";
import { attributeKey, Ids, isComparable, tensorKey } from "../passes/keys.js";
import { must } from "../util/assert.js";

/** The schedule of a step, as node names carry it; refreshes have the names of their graphs. */
const phases: ReadonlySet<string> = new Set(["pass1", "curvature", "perturb", "pass2", "preconditioner", "descend"]);

/** `pass1` of `pass1/backward/Mul` in an emitted graph; undefined for nodes outside of every phase. */
export function phaseOf(node: Node, graph: Graph): string | undefined {
  const first = node.name.split("/", 1)[0] ?? "";
  return first !== "" && node.name !== first && (phases.has(first) || first === graph.name) ? first : undefined;
}

/** A node of another graph that a node is a copy of, and in what it differs: `operator Upsample`, `attribute axis`, `input 1`. */
export interface Copy {
  of: Node;
  differs: readonly string[];
}

/**
 * What the nodes of `after` have come from: for each that is a node of `before`, possibly in another phase, that node.
 * Equal operators on equal operands are copies, whatever they are called; where the operands changed, names tell. Parameters that
 * became inputs are the initializers that they were: `sources` maps names of inputs of `after` to those of `before`, where
 * they differ. `followed` is called with every node of `before` that an identical copy stands for: of equal nodes one copy
 * stands for all.
 */
export function matchNodes(
  before: Graph,
  after: Graph,
  sources: ReadonlyMap<string, string>,
  followed: (node: Node) => void,
): Map<Node, Copy> {
  const ids = new Ids();
  const inputs = new Set(after.inputs.map((v) => sources.get(v.name) ?? v.name));
  const named = new Map(before.nodes.map((node) => [node.name, node]));
  const alike = new Map<string, Node[]>();
  const originBefore = (v: Value): string => {
    if (v.producer) return place(v, v.producer, ids);
    return (!inputs.has(v.name) && constantKey(before, v, ids)) || `@${v.name}`;
  };
  for (const node of before.nodes) {
    const key = nodeKey(node, originBefore, ids);
    const same = alike.get(key);
    if (same) same.push(node);
    else alike.set(key, [node]);
  }

  const copies = new Map<Node, Copy>();
  const originAfter = (v: Value): string => {
    if (v.producer) return place(v, copies.get(v.producer)?.of ?? v.producer, ids);
    return constantKey(after, v, ids) ?? `@${sources.get(v.name) ?? v.name}`;
  };
  for (const node of after.nodes) {
    const name = phaseOf(node, after) === undefined ? node.name : node.name.slice(node.name.indexOf("/") + 1);
    const same = alike.get(nodeKey(node, originAfter, ids));
    if (same) {
      same.forEach(followed);
      copies.set(node, { of: same.find((n) => n.name === name) ?? must(same[0], "an equal node"), differs: [] });
      continue;
    }
    const of = named.get(name);
    // Names such as Mul_1 are given by number, here and by exporters, and say little.
    const generic = new RegExp(`^${node.op}(_\\d+)?$`).test(name);
    if (!of || name === "" || (generic && of.op !== node.op)) continue;
    copies.set(node, { of, differs: differences(of, node, originBefore, originAfter, ids) });
  }
  return copies;
}

/** Small constants are what they hold; large ones go by their names. */
function constantKey(graph: Graph, v: Value, ids: Ids): string | undefined {
  const tensor = graph.initializers.get(v);
  return tensor && isComparable(tensor) ? tensorKey(tensor, ids) : undefined;
}

/** Output `v` of a node, as an operand. */
const place = (v: Value, producer: Node, ids: Ids): string =>
  `${ids.of(producer)}:${must(v.producer, "a producer").outputs.indexOf(v)}`;

const attributeKeys = (node: Node, ids: Ids): Map<string, string> =>
  new Map(Object.entries(node.attributes).map(([name, a]) => [name, attributeKey(a, ids)]));

/** What the bodies of a node compute, as far as operators and attributes say it. */
const bodiesKey = (node: Node, ids: Ids): string[] =>
  [...node.graphs()].flatMap((body) =>
    body.nodes.flatMap((n) => [n.op, ...[...attributeKeys(n, ids)].flat().sort(), ...bodiesKey(n, ids)]),
  );

function nodeKey(node: Node, origin: (v: Value) => string, ids: Ids): string {
  const attributes = [...attributeKeys(node, ids)].sort(([a], [b]) => (a < b ? -1 : 1));
  const operands = node.inputs.map((v) => v && origin(v));
  return JSON.stringify([node.domain, node.op, node.overload, operands, attributes, bodiesKey(node, ids)]);
}

function differences(
  of: Node,
  node: Node,
  originBefore: (v: Value) => string,
  originAfter: (v: Value) => string,
  ids: Ids,
): string[] {
  if (of.op !== node.op || of.domain !== node.domain) return [`operator ${node.op}`];
  const [was, is] = [attributeKeys(of, ids), attributeKeys(node, ids)];
  const attributes = [...new Set([...was.keys(), ...is.keys()])].filter((name) => was.get(name) !== is.get(name));
  const inputs = [];
  for (let i = 0; i < Math.max(of.inputs.length, node.inputs.length); i++) {
    const [a, b] = [of.inputs[i], node.inputs[i]];
    if ((a ? originBefore(a) : null) !== (b ? originAfter(b) : null)) inputs.push(i);
  }
  const bodies = bodiesKey(of, ids).join() !== bodiesKey(node, ids).join();
  return [
    ...attributes.map((name) => `attribute ${name}`),
    ...inputs.map((i) => `input ${i}`),
    ...(bodies ? ["body"] : []),
  ];
}
