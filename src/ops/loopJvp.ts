import type { Value } from "../ir/graph.js";
import { must } from "../util/assert.js";
import { Iteration, zerosLike } from "./iteration.js";
import { carryType, replay } from "./replay.js";
import { Residuals } from "./residuals.js";
import type { JvpRule } from "./rule.js";
import { operandsOf } from "./wiring.js";

/** Carries the tangents of the carries; the carries themselves are those that the Loop had. */
export const loopJvp: JvpRule = (c, node, tangents) => {
  const { b } = c;
  const operands = operandsOf(node);
  const given = new Map<Value, Value>();
  operands.forEach((v, i) => {
    const t = tangents[i];
    if (v && t) given.set(v, t);
  });
  const outputs = node.outputs.filter((o) => o !== null);
  const { active } = c.flow(node, given.keys(), outputs, "jvp");
  const residuals = new Residuals(b, node);
  const { body, carries } = residuals;
  const trips = residuals.trips();
  const loop = new Iteration(b, "Loop", residuals.length);

  const moving = [...Array(carries).keys()].filter((k) => active.has(must(body.inputs[2 + k], "carry")));
  const wanted = body.outputs.slice(1).filter((o, k) => (k < carries ? moving.includes(k) : node.outputs[k]));
  const primal = replay(loop.body, node, residuals, loop.index, wanted);
  const at = (v: Value | undefined): Value => must(v && (primal.get(v) ?? v), "a value of the body");
  const captures = new Set(operands.slice(node.inputs.length));
  const known = new Map<Value, Value>([...given].filter(([v]) => captures.has(v)));
  const starts = moving.map((k) => {
    const initial = node.input(2 + k);
    const start = loop.carry(tangents[2 + k] ?? zerosLike(b, initial), carryType(node, body, k));
    known.set(at(body.inputs[2 + k]), start);
    return start;
  });
  const ends = c.within(loop.body).jvp(wanted.map(at), known, []);
  const results = new Map(wanted.map((v, i) => [v, ends[i] ?? null]));
  moving.forEach((k, i) => {
    const next = must(body.outputs[1 + k], "carry");
    loop.setNext(must(starts[i], "carry"), results.get(next) ?? zerosLike(loop.body, at(next)));
  });
  const scans = node.outputs.map((o, k) => {
    const tangent = o && k >= carries ? results.get(must(body.outputs[1 + k], "scanned value")) : null;
    return tangent ? loop.scan(tangent) : null;
  });
  const { node: made, final, scanned } = loop.emit(trips);
  residuals.attach(made.captures());
  return node.outputs.map((o, k) => {
    if (!o) return null;
    if (k < carries) return final[moving.indexOf(k)] ?? null;
    const scan = scans[k];
    return typeof scan === "number" ? (scanned[scan] ?? null) : null;
  });
};
