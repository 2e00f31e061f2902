import type { Graph } from "../ir/graph.js";
import { Memory, peakOf, storageOf, type SizeOf, type Storage } from "./memory.js";
import { networkOf, orderOf, walk, type Network } from "./traversal.js";

/** What decides a depth-first walk: the order of the leaves, and a weight by which a node's inputs are walked, low first. */
interface Choice {
  leaves: number[];
  weight: Float64Array;
}

/** Nearest leaves that the greedy choice tries at each step. */
const tried = 12;

/**
 * Chooses the order of the nodes in the file so that the runtime, walking it as `traversal` says, needs little memory:
 * gradients of weights are used up before the activation gradients of the next layer come. Leaves are chosen greedily,
 * inputs by how much memory their walk needs and leaves behind, and a local search improves both. The new order is
 * topologically valid, and its simulated peak is at most that of the old one.
 */
export function schedule(graph: Graph, sizeOf: SizeOf): { modified: boolean; before: number; after: number } {
  const network = networkOf(graph);
  const storage = storageOf(graph, network, sizeOf);
  const size = network.nodes.length;
  const current = Int32Array.from({ length: size }, (_, i) => i);
  const before = peakOf(storage, orderOf(network, current));
  let best: { rank: Int32Array; peak: number } = { rank: current, peak: before };
  const attempt = (choice: Choice): number => {
    const rank = ranksFor(network, choice);
    const peak = peakOf(storage, orderOf(network, rank));
    if (peak < best.peak) best = { rank, peak };
    return peak;
  };
  const asFiled = Float64Array.from({ length: size }, (_, i) => -i);
  const starts = [asFiled, needOf(network, storage), depthOf(network)].map((weight): Choice => ({
    leaves: greedyLeaves(network, storage, weight),
    weight,
  }));
  const peaks = starts.map(attempt);
  const lowest = Math.min(...peaks);
  const first = starts[peaks.indexOf(lowest)];
  if (first && size > 1) improve(network, first, lowest, attempt);
  const modified = best.peak < before;
  if (modified) reorder(graph, network, best.rank);
  return { modified, before, after: best.peak };
}

/** Constant nodes need nothing: they go first. */
function reorder(graph: Graph, network: Network, rank: Int32Array): void {
  const known = new Set(network.nodes);
  const ordered = Array.from(network.nodes, (node, i) => ({ node, at: rank[i] ?? 0 })).sort((a, b) => a.at - b.at);
  graph.nodes = [...graph.nodes.filter((n) => !known.has(n)), ...ordered.map(({ node }) => node)];
}

const pending = (network: Network, weight: Float64Array, node: number, visited: Uint8Array): number[] =>
  (network.needs[node] ?? []).filter((p) => !visited[p]).sort((a, b) => (weight[a] ?? 0) - (weight[b] ?? 0));

/**
 * Positions in the file that make the runtime walk as `choice` says. Later in the file is walked first, so positions
 * are given from the last down: a node after its readers, and after the siblings that are to be walked before it. Where
 * these wishes contradict one another, some are dropped: the caller looks at what the walk then is.
 */
function ranksFor(network: Network, choice: Choice): Int32Array {
  const size = network.nodes.length;
  const wishes: number[][] = Array.from({ length: size }, () => []);
  const wished = new Int32Array(size);
  const wish = (order: readonly number[]): void => {
    for (let i = 1; i < order.length; i++) {
      const [a, b] = [order[i - 1] ?? 0, order[i] ?? 0];
      wishes[a]?.push(b);
      wished[b] = (wished[b] ?? 0) + 1;
    }
  };
  wish(choice.leaves);
  const time = new Int32Array(size);
  let clock = 0;
  walk(
    size,
    choice.leaves,
    (node, visited) => {
      const order = pending(network, choice.weight, node, visited);
      wish(order);
      return order;
    },
    (node) => {
      time[node] = clock++;
    },
  );
  const readers = Int32Array.from(network.feeds, (f) => f.length);
  const free = new Heap((a, b) => (time[a] ?? 0) - (time[b] ?? 0));
  const waiting = new Heap((a, b) => (time[a] ?? 0) - (time[b] ?? 0));
  const offer = (node: number): void => {
    if (readers[node] === 0) (wished[node] === 0 ? free : waiting).push(node);
  };
  const rank = new Int32Array(size).fill(-1);
  for (const leaf of network.leaves) offer(leaf);
  for (let position = size - 1; position >= 0;) {
    const node = free.pop() ?? waiting.pop() ?? 0;
    if ((rank[node] ?? 0) >= 0) continue;
    rank[node] = position--;
    for (const p of network.needs[node] ?? []) {
      readers[p] = (readers[p] ?? 0) - 1;
      if (readers[p] === 0) offer(p);
    }
    for (const later of wishes[node] ?? []) {
      wished[later] = (wished[later] ?? 0) - 1;
      if (wished[later] === 0 && (rank[later] ?? 0) < 0) offer(later);
    }
  }
  return rank;
}

/** A binary heap of node numbers. */
class Heap {
  private readonly items: number[] = [];
  constructor(private readonly compare: (a: number, b: number) => number) {}

  push(item: number): void {
    const { items } = this;
    let i = items.push(item) - 1;
    while (i > 0) {
      const up = (i - 1) >> 1;
      if (this.compare(item, items[up] ?? 0) >= 0) break;
      items[i] = items[up] ?? 0;
      i = up;
    }
    items[i] = item;
  }

  pop(): number | undefined {
    const { items } = this;
    const top = items[0];
    const last = items.pop();
    if (items.length === 0 || last === undefined) return top;
    let i = 0;
    for (;;) {
      let down = 2 * i + 1;
      if (down >= items.length) break;
      if (down + 1 < items.length && this.compare(items[down + 1] ?? 0, items[down] ?? 0) < 0) down++;
      if (this.compare(last, items[down] ?? 0) <= 0) break;
      items[i] = items[down] ?? 0;
      i = down;
    }
    items[i] = last;
    return top;
  }
}

/**
 * Weights for the inputs of nodes, as Sethi and Ullman order the operands of an expression: what needs most memory
 * beyond what it leaves behind goes first. Shared parts are counted for each of their readers, as in a tree.
 */
function needOf(network: Network, storage: Storage): Float64Array {
  const size = network.nodes.length;
  const peak = new Float64Array(size);
  const weight = new Float64Array(size);
  for (let i = 0; i < size; i++) {
    const own = (storage.makes[i] ?? []).reduce((sum, v) => sum + (storage.sizes[v] ?? 0), 0);
    let held = 0;
    for (const p of [...(network.needs[i] ?? [])].sort((a, b) => (weight[a] ?? 0) - (weight[b] ?? 0))) {
      peak[i] = Math.max(peak[i] ?? 0, held + (peak[p] ?? 0));
      held += (storage.makes[p] ?? []).reduce((sum, v) => sum + (storage.sizes[v] ?? 0), 0);
    }
    peak[i] = Math.max(peak[i] ?? 0, held + own);
    weight[i] = own - (peak[i] ?? 0);
  }
  return weight;
}

/**
 * Weights by which inputs go first that lie behind fewer nodes: where one node reads the gradients of all layers, as the norm
 * of a gradient does, the last layer's are computed as the backward pass comes there, and not after it has gone all the way.
 */
function depthOf(network: Network): Float64Array {
  const depth = new Float64Array(network.nodes.length);
  network.needs.forEach((needs, i) => {
    for (const p of needs) depth[i] = Math.max(depth[i] ?? 0, (depth[p] ?? 0) + 1);
  });
  return depth;
}

/** Leaves that a node reaches, as bits: one row of words a node. */
function reached(network: Network): { words: number; bits: Uint32Array } {
  const words = Math.ceil(network.leaves.length / 32);
  const bits = new Uint32Array(words * network.nodes.length);
  network.leaves.forEach((leaf, k) => {
    bits[leaf * words + (k >> 5)] = 1 << (k & 31);
  });
  for (let i = network.nodes.length - 1; i >= 0; i--) {
    for (const f of network.feeds[i] ?? []) {
      for (let w = 0; w < words; w++) bits[i * words + w] = (bits[i * words + w] ?? 0) | (bits[f * words + w] ?? 0);
    }
  }
  return { words, bits };
}

/** At each step, of the leaves that need the fewest further nodes, the one whose walk peaks lowest and leaves least. */
function greedyLeaves(network: Network, storage: Storage, weight: Float64Array): number[] {
  const { words, bits } = reached(network);
  const reaches = (node: number, k: number): boolean => (((bits[node * words + (k >> 5)] ?? 0) >>> (k & 31)) & 1) === 1;
  const missing = new Int32Array(network.leaves.length);
  for (let node = 0; node < network.nodes.length; node++) {
    for (let k = 0; k < missing.length; k++) if (reaches(node, k)) missing[k] = (missing[k] ?? 0) + 1;
  }
  const memory = new Memory(storage);
  const visited = new Uint8Array(network.nodes.length);
  const open = new Set(network.leaves.keys());
  const order: number[] = [];
  const path = (k: number, seen: Uint8Array): number[] => {
    const nodes: number[] = [];
    const inputs = (node: number, v: Uint8Array): number[] => pending(network, weight, node, v);
    walk(seen.length, [network.leaves[k] ?? 0], inputs, (node) => nodes.push(node), seen);
    return nodes;
  };
  while (open.size > 0) {
    const near = [...open].sort((a, b) => (missing[a] ?? 0) - (missing[b] ?? 0)).slice(0, tried);
    let chosen = { k: near[0] ?? 0, peak: Infinity, left: Infinity };
    for (const k of near) {
      const mark = memory.mark();
      for (const node of path(k, visited.slice())) {
        memory.run(node);
        if (memory.peak > chosen.peak) break;
      }
      const { peak, now } = memory;
      memory.undo(mark);
      if (peak < chosen.peak || (peak === chosen.peak && now < chosen.left)) chosen = { k, peak, left: now };
    }
    for (const node of path(chosen.k, visited)) {
      memory.run(node);
      for (const k of open) if (reaches(node, k)) missing[k] = (missing[k] ?? 0) - 1;
    }
    open.delete(chosen.k);
    order.push(network.leaves[chosen.k] ?? 0);
  }
  return order;
}

/** Moves leaves and swaps inputs at random (from a fixed seed) as long as it pays, for a number of tries. */
function improve(network: Network, start: Choice, peak: number, attempt: (choice: Choice) => number): void {
  const size = network.nodes.length;
  const joins = network.needs.filter((n) => n.length > 1);
  let seed = 1;
  const below = (n: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * n);
  };
  let [best, lowest] = [start, peak];
  for (let tries = Math.min(300, Math.ceil(4e5 / size)); tries > 0; tries--) {
    const next: Choice = { leaves: [...best.leaves], weight: best.weight.slice() };
    if (joins.length === 0 || (below(2) === 0 && next.leaves.length > 1)) {
      const [leaf] = next.leaves.splice(below(next.leaves.length), 1);
      if (leaf !== undefined) next.leaves.splice(below(next.leaves.length + 1), 0, leaf);
    } else {
      const join = joins[below(joins.length)] ?? [];
      const [a, b] = [join[below(join.length)] ?? 0, join[below(join.length)] ?? 0];
      [next.weight[a], next.weight[b]] = [next.weight[b] ?? 0, next.weight[a] ?? 0];
    }
    const found = attempt(next);
    if (found <= lowest) [best, lowest] = [next, found];
  }
}
