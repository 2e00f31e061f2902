import type { Graph, Node, Value } from "../ir/graph.js";
import type { SizeOf } from "./memory.js";

/** What the names of nodes begin with that measure curvature on the activations of a pass. */
const measures = ["curvature/", "preconditioner/"] as const;

/** A forward pass with what goes along, and the backward pass with what goes beside it. */
export interface Sweeps {
  /** In an order in which they can run. */
  forward: readonly Node[];
  backward: ReadonlySet<Node>;
}

/**
 * The `forward` pass of the nodes that `prefix` names, joined by the tangents of its activations, each right after the last of them
 * that it needs; and its backward pass, joined by that of the tangents. A phase that measures curvature joins where it reads most
 * of the bytes that the backward pass reads: one that goes through a batch of its own does not.
 *
 * A node goes along as long as it reads no activation that the forward pass has done with by then: that is the way back.
 */
export function tangentsAlong(graph: Graph, forward: readonly Node[], prefix: string, sizeOf: SizeOf): Sweeps {
  const place = new Map(forward.map((node, i) => [node, i]));
  const isOfForward = (v: Value): boolean => v.producer !== null && place.has(v.producer);
  const named = (start: string): Node[] => graph.nodes.filter((n) => n.name.startsWith(start) && !place.has(n));
  const bytesReadBy = (nodes: Iterable<Node>): number => {
    const activations = new Set([...nodes].flatMap((node) => [...node.reads()].filter(isOfForward)));
    return [...activations].reduce((sum, v) => sum + sizeOf(v), 0);
  };
  const own = new Set(named(prefix));
  const kept = bytesReadBy(own);
  const phases = measures.map(named).filter((nodes) => 2 * bytesReadBy(nodes) > kept);
  const measuring = new Set(phases.flat());
  const backward = new Set([...own, ...measuring]);
  const reach = reachOf(graph, forward, place);
  const along: Node[] = [];
  const read = new Set<Value>();
  for (const node of [...reach.keys()].reverse()) {
    // Of the backward pass itself, what tangents read.
    const isWanted = measuring.has(node) || (own.has(node) && node.outputs.some((v) => v && read.has(v)));
    if (!isWanted || reach.get(node) === -1) continue;
    along.push(node);
    backward.delete(node);
    for (const v of node.reads()) read.add(v);
  }
  const after: Node[][] = forward.map(() => []);
  for (const node of along.reverse()) after[reach.get(node) ?? 0]?.push(node);
  return { forward: forward.flatMap((node, i) => [node, ...(after[i] ?? [])]), backward };
}

/** The nodes that go along with the forward pass, in the order in which they run: the last place of it that each needs, or -1. */
function reachOf(graph: Graph, forward: readonly Node[], place: ReadonlyMap<Node, number>): Map<Node, number> {
  /** The last place that reads or makes a value. */
  const last = new Map<Value, number>();
  forward.forEach((node, i) => {
    for (const v of [...node.reads(), ...node.outputs]) if (v) last.set(v, i);
  });
  const reach = new Map<Node, number>();
  for (const node of graph.nodes) {
    if (place.has(node)) continue;
    let isAlong = true;
    // The last place that it lies behind: by what other nodes made, and itself; the first that its activations are done with at.
    let [before, here, done] = [-1, -1, Infinity];
    for (const v of node.reads()) {
      if (!v.producer) continue;
      const at = place.get(v.producer);
      if (at !== undefined) [here, done] = [Math.max(here, at), Math.min(done, last.get(v) ?? at)];
      else if (reach.has(v.producer)) before = Math.max(before, reach.get(v.producer) ?? -1);
      else isAlong = false;
    }
    if (isAlong && done >= before) reach.set(node, Math.max(before, here));
  }
  return reach;
}
