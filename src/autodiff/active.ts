import type { Node, Value } from "../ir/graph.js";
import { ruleOf } from "../ops/builder.js";
import { wiringOf, type Wiring } from "../ops/wiring.js";
import { UserError } from "../util/assert.js";
import { isFloat } from "../util/dtype.js";

export type Mode = "vjp" | "jvp";

export const carriesDerivatives = (v: Value): boolean => v.type?.kind === "tensor" && isFloat(v.type.dtype);

/** The nodes, of a graph and of the bodies within it, that the content of some values comes through. */
export class Ways {
  /** Those of the graph itself, in its order. */
  readonly nodes: readonly Node[];
  /** Values whose content comes through, inputs of bodies among them. */
  readonly reached: ReadonlySet<Value>;
  private readonly found = new Set<Node>();

  /** `nodes`: those of the graph; the way back from `outputs` ends at `stop`. */
  constructor(nodes: readonly Node[], outputs: Iterable<Value>, stop?: Pick<ReadonlySet<Value>, "has">) {
    const places = placesIn(nodes);
    const within = new Set<Node>();
    // What the inputs of bodies take their content from.
    const sources = new Map<Value, Value[]>();
    const seen = new Set<Value>();
    const stack = [...outputs];
    for (let v = stack.pop(); v; v = stack.pop()) {
      if (seen.has(v) || stop?.has(v)) continue;
      seen.add(v);
      stack.push(...(sources.get(v) ?? []));
      const node = v.producer;
      if (!node || !(places.has(node) || within.has(node))) continue;
      const wiring = wiringOf(node);
      for (const w of wiring) for (const [from, to] of [...w.leave, ...w.past]) if (to === v) stack.push(from);
      if (this.found.has(node)) continue;
      this.found.add(node);
      if (wiring.length === 0) stack.push(...node.reads());
      for (const w of wiring) {
        for (const n of w.body.nodes) within.add(n);
        for (const [from, to] of [...w.enter, ...w.back]) sources.set(to, [...(sources.get(to) ?? []), from]);
      }
    }
    const own = [...this.found].flatMap((node): [Node, number][] => {
      const place = places.get(node);
      return place === undefined ? [] : [[node, place]];
    });
    this.nodes = own.sort(([, p], [, q]) => p - q).map(([node]) => node);
    this.reached = seen;
  }

  /** Those of `nodes` that are on the way. */
  among(nodes: readonly Node[]): Node[] {
    return nodes.filter((n) => this.found.has(n));
  }
}

/** Where the nodes of a list lie: a rule that differentiates its own terms asks once a node, so the answer is kept. */
const orders = new WeakMap<readonly Node[], { places: Map<Node, number>; last: Node | undefined }>();

/** The places of the nodes of a list; while derivatives are built it only grows, and only what is new is read. */
function placesIn(nodes: readonly Node[]): ReadonlyMap<Node, number> {
  let order = orders.get(nodes);
  const size = order?.places.size ?? 0;
  if (!order || size > nodes.length || nodes[size - 1] !== order.last) {
    order = { places: new Map(), last: undefined };
    orders.set(nodes, order);
  }
  for (let i = order.places.size; i < nodes.length; i++) {
    const node = nodes[i];
    if (node) order.places.set(node, i);
  }
  order.last = nodes.at(-1);
  return order.places;
}

/**
 * Values of the nodes on the way, and of their bodies, that a change of `sources` can change differentiably. Integers are
 * among them only where they are quantized numbers, or made of such.
 */
export function activeValues(ways: Ways, sources: Iterable<Value>, mode: Mode): Set<Value> {
  const active = new Set<Value>(sources);
  spread(ways, ways.nodes, active, mode);
  return active;
}

function spread(ways: Ways, nodes: readonly Node[], active: Set<Value>, mode: Mode): void {
  for (const node of nodes) {
    if (ruleOf(node)?.[mode] === "zero") continue;
    const wiring = wiringOf(node);
    if (wiring.length > 0) {
      for (const w of wiring) spreadInto(ways, w, active, mode);
      continue;
    }
    let [reads, quantized] = [false, ruleOf(node)?.quantizes ?? false];
    for (const v of node.reads()) {
      if (!active.has(v)) continue;
      reads = true;
      quantized ||= !carriesDerivatives(v);
    }
    if (reads) for (const o of node.outputs) if (o && (carriesDerivatives(o) || quantized)) active.add(o);
  }
}

/** Goes through a body until no carry becomes active any more. */
function spreadInto(ways: Ways, w: Wiring, active: Set<Value>, mode: Mode): void {
  const nodes = ways.among(w.body.nodes);
  const follow = (wires: Wiring["enter"]): boolean => {
    const size = active.size;
    for (const [from, to] of wires) if (active.has(from) && carriesDerivatives(to)) active.add(to);
    return active.size > size;
  };
  follow(w.enter);
  do spread(ways, nodes, active, mode);
  while (follow(w.back));
  follow(w.leave);
  follow(w.past);
}

/** Nodes on the way, in bodies too, at which derivatives end: they read an active value, and pass none on. */
export function deadEnds(ways: Ways, active: ReadonlySet<Value>): Node[] {
  const ends = (nodes: readonly Node[]): Node[] =>
    nodes.flatMap((n) => {
      const inner = wiringOf(n).flatMap((w) => ends(ways.among(w.body.nodes)));
      if (n.outputs.some((o) => o && active.has(o)) || inner.length > 0) return inner;
      return [...n.reads()].some((v) => active.has(v)) ? [n] : [];
    });
  return ends(ways.nodes);
}

/** Nodes, in bodies too, without a derivative rule though a derivative has to pass them. */
export function missingRules(ways: Ways, active: ReadonlySet<Value>): Node[] {
  const missing = (nodes: readonly Node[]): Node[] =>
    nodes.flatMap((n) => {
      if (!n.outputs.some((o) => o && active.has(o))) return [];
      if (!ruleOf(n)) return [n];
      return wiringOf(n).flatMap((w) => missing(ways.among(w.body.nodes)));
    });
  return missing(ways.nodes);
}

/** Throws one error that lists every node without a rule. */
export function refuseMissingRules(ways: Ways, active: ReadonlySet<Value>): void {
  const missing = missingRules(ways, active);
  if (missing.length === 0) return;
  const shown = missing.slice(0, 20).map((n) => n.label);
  const more = missing.length > shown.length ? `, and ${missing.length - shown.length} more` : "";
  throw new UserError(
    `no derivative rule for ${missing.length} node(s) between the parameters and the loss: ${shown.join(", ")}${more}; ` +
      `freeze the parameters before them, or replace these operators`,
  );
}
