import type { Node, Value } from "../ir/graph.js";
import { must } from "../util/assert.js";
import { isStatic } from "../util/shape.js";
import * as e from "./emit.js";
import { Iteration, elementAt, zerosLike } from "./iteration.js";
import { carryType, replay } from "./replay.js";
import { Residuals } from "./residuals.js";
import type { RuleBuilder, RuleContext, VjpRule } from "./rule.js";
import { operandsOf } from "./wiring.js";

/**
 * Goes from the last iteration to the first and carries the cotangents of the carries. Cotangents of captured values are
 * summed: of those that are read at an index, the parts of all iterations are collected and added in at once.
 */
export const loopVjp: VjpRule = (c, node, cotangents, need) => {
  const { b } = c;
  const operands = operandsOf(node);
  const needed = operands.filter((v, i) => v !== null && need[i]) as Value[];
  const seeded = node.outputs.filter((o, i) => o && cotangents[i]) as Value[];
  const { active, reached } = c.flow(node, needed, seeded, "vjp");
  const residuals = new Residuals(b, node);
  const { body, carries } = residuals;
  const trips = residuals.trips();
  const loop = new Iteration(b, "Loop", residuals.length);
  const inside = loop.body;
  const at = e.sub(inside, e.sub(b, trips, b.scalar(1, "int64")), loop.index);

  const carried = [...Array(carries).keys()].filter((k) => {
    const start = must(body.inputs[2 + k], "carry");
    return active.has(start) && (reached.has(start) || cotangents[k]);
  });
  const scanned = node.outputs.map((o, k) => (o && k >= carries ? (cotangents[k] ?? null) : null));
  const wanted = body.outputs.slice(1).filter((_, k) => carried.includes(k) || scanned[k]);
  const primal = replay(inside, node, residuals, at, wanted);
  const copy = (v: Value | undefined): Value => must(v && (primal.get(v) ?? v), "a value of the body");

  const ends: Value[] = [];
  const seeds: Value[] = [];
  const starts = carried.map((k) => {
    const like = node.outputs[k] ?? node.input(2 + k);
    const start = loop.carry(cotangents[k] ?? zerosLike(b, like), carryType(node, body, k));
    ends.push(copy(body.outputs[1 + k]));
    seeds.push(start);
    return start;
  });
  scanned.forEach((dy, k) => {
    if (!dy) return;
    const y = copy(body.outputs[1 + k]);
    ends.push(y);
    seeds.push(elementAt(inside, dy, at, y.type));
  });

  const captures = [...new Set(operands.filter((v, i) => v && i >= node.inputs.length && need[i]))] as Value[];
  const reads = readAtIndex(inside, captures);
  const carriedStarts = carried.map((k) => copy(body.inputs[2 + k]));
  const wrt = [...carriedStarts, ...reads.map((r) => r.output()), ...captures];
  const results = c.within(inside).vjp(ends, seeds, wrt);
  carried.forEach((_, i) => {
    const start = must(carriedStarts[i], "carry");
    loop.setNext(must(starts[i], "cotangent"), results[i] ?? zerosLike(inside, start));
  });
  const parts = reads.flatMap((read, i) => {
    const dy = results[carried.length + i];
    return dy ? [{ read, dy: loop.scan(dy), index: loop.scan(read.input(1)) }] : [];
  });
  const sums = captures.flatMap((v, i) => {
    const dv = results[carried.length + reads.length + i];
    if (!dv) return [];
    const sum = loop.carry(zerosLike(b, v));
    loop.setNext(sum, e.add(inside, sum, dv));
    return [v];
  });

  const made = loop.emit(trips);
  residuals.attach(made.node.captures());
  const total = new Map<Value, Value>();
  const add = (v: Value, dv: Value): void => {
    const known = total.get(v);
    total.set(v, known ? e.add(b, known, dv) : dv);
  };
  sums.forEach((v, i) => {
    add(v, must(made.final[carried.length + i], "sum"));
  });
  for (const { read, dy, index } of parts) {
    const [dys, indices] = [must(made.scanned[dy], "cotangents"), must(made.scanned[index], "indices")];
    const spread = addedAtIndices(c, read, dys, indices);
    if (spread) add(read.input(0), spread);
  }
  return operands.map((v, i) => {
    if (!v || !need[i]) return null;
    if (i >= node.inputs.length) return total.get(v) ?? null;
    return made.final[carried.indexOf(i - 2)] ?? null;
  });
};

/** Nodes of the body that read one of `captures` at an index that the body computes. */
function readAtIndex(b: RuleBuilder, captures: readonly Value[]): Node[] {
  const own = new Set<Value>([...b.graph.inputs, ...b.graph.nodes.flatMap((n) => n.outputs.filter((o) => o !== null))]);
  return b.graph.nodes.filter(
    (n) => n.op === "Gather" && n.domain === "" && captures.includes(n.input(0)) && own.has(n.input(1)),
  );
}

/** The cotangent of what `read` reads, from the cotangents and the indices of all iterations. */
function addedAtIndices(c: RuleContext, read: Node, dys: Value, indices: Value): Value | null {
  const { b } = c;
  const x = read.input(0);
  const axis = (read.int("axis", 0) + x.dims.length) % x.dims.length;
  const rank = dys.dims.length;
  const order = [...Array(rank).keys()];
  // The iterations come first; they belong where the axis was.
  const perm = [...order.slice(1, axis + 1), 0, ...order.slice(axis + 1)];
  const all = b.emit("Gather", [x, indices], [true], read.attributes, {}, {}).output();
  const moved = e.transpose(b, dys, perm);
  // Where there was no iteration, the runtime has no sizes for what is not static.
  const sizes = (): Value[] => [
    ...order.slice(0, axis).map((i) => e.dimOf(b, x, i)),
    e.shapeOf(b, indices),
    ...x.dims.slice(axis + 1).map((_, i) => e.dimOf(b, x, axis + 1 + i)),
  ];
  const isSized = isStatic(x.dims.filter((_, i) => i !== axis));
  const dy = isSized ? moved : b.op("Reshape", [moved, e.concat(b, sizes(), 0)], {}, { types: [all.type] });
  return c.vjp([all], [dy], [x])[0] ?? null;
}
