import { instantiate } from "../ir/copy.js";
import type { Node, Value } from "../ir/graph.js";
import { must } from "../util/assert.js";
import { normalizeAxis } from "../util/shape.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import { Iteration, elementAt } from "./iteration.js";
import { scanSamples } from "./scanSamples.js";
import type { OpRule, RuleBuilder, Values } from "./rule.js";

/** `x` with one axis elsewhere. */
function moveAxis(b: RuleBuilder, x: Value, from: number, to: number): Value {
  const perm = x.dims.map((_, i) => i).filter((i) => i !== from);
  perm.splice(to, 0, from);
  return e.transpose(b, x, perm);
}

/** The Scan as a Loop that reads the element of each iteration. */
function decompose(b: RuleBuilder, node: Node): Values {
  const body = must(node.bodies["body"], `${node.label}: body`);
  const count = node.int("num_scan_inputs", 0);
  const carries = node.inputs.length - count;
  const option = (name: string, i: number): number => node.ints(name)?.[i] ?? 0;
  const sequences = node.inputs.slice(carries).map((_, i) => {
    const x = node.input(carries + i);
    return moveAxis(b, x, normalizeAxis(option("scan_input_axes", i), x.dims.length), 0);
  });
  const [first] = sequences;
  const length = must(first, `${node.label}: a sequence`);
  const trips = e.squeeze(b, e.dimOf(b, length, 0), [0]);
  const loop = new Iteration(b, "Scan", length.dims[0] ?? 0);
  const inside = loop.body;
  const bindings = new Map<Value, Value>();
  const starts = body.inputs.slice(0, carries).map((v, k) => {
    const initial = node.input(k);
    const start = loop.carry(initial, v.type ?? initial.type);
    bindings.set(v, start);
    return start;
  });
  const reversed = e.sub(inside, e.sub(b, trips, b.scalar(1, "int64")), loop.index);
  sequences.forEach((x, i) => {
    const v = must(body.inputs[carries + i], `${node.label}: input of the body`);
    const index = option("scan_input_directions", i) === 0 ? loop.index : reversed;
    bindings.set(v, elementAt(inside, x, index, v.type));
  });
  const copies = instantiate(inside, body, bindings);
  const ends = body.outputs.map((o) => copies.get(o) ?? o);
  starts.forEach((start, k) => {
    loop.setNext(start, must(ends[k], "carry"));
  });
  for (const y of ends.slice(carries)) loop.scan(y);
  const { final, scanned } = loop.emit(trips);
  const outputs = scanned.map((y, i) => {
    const ordered = option("scan_output_directions", i) === 0 ? y : e.flip(b, y);
    return moveAxis(b, ordered, 0, normalizeAxis(option("scan_output_axes", i), y.dims.length));
  });
  return [...final, ...outputs];
}

/** A body that runs for every element of some sequences. */
export const rule: OpRule<"Scan"> = composite({
  op: "Scan",
  since: 21,
  expands: true,
  decompose,
  samples: scanSamples,
});
