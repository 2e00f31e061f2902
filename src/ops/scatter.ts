import { string, type Node } from "../ir/graph.js";
import { check } from "../util/assert.js";
import * as e from "./emit.js";
import type { OpRule, Sample } from "./rule.js";
import { like } from "./types.js";

/** Reads what was scattered: the cotangent of the updates. */
export type Read = (b: e.B, node: Node, dy: e.V) => e.V;

const setting = (node: Node): boolean => {
  const reduction = node.string("reduction", "none");
  check(
    reduction === "none" || reduction === "add",
    () => `${node.label}: reduction "${reduction}" has no derivative here; "none" and "add" have one`,
  );
  return reduction === "none";
};

/**
 * y = data with updates written (or added) at indices. Written elements of data get no cotangent; as in ONNX, indices
 * that are written must not repeat.
 */
export const scattering = <O extends "ScatterND" | "ScatterElements">(
  op: O,
  read: Read,
  samples: readonly Sample[],
): OpRule<O> => ({
  op,
  since: 18,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const indices = node.input(1);
    const updates = node.input(2);
    const zeros = (): e.V => e.fullLike(b, 0, updates, dy.dtype);
    const base = setting(node)
      ? need[0] && b.op(op, [dy, indices, zeros()], node.attributes, { types: [dy.type] })
      : dy;
    return [base || null, null, need[2] ? read(b, node, dy) : null];
  },
  jvp: ({ b }, node, [dx, , du]) => {
    if (!setting(node) && !du) return [dx ?? null];
    const base = dx ?? e.fullLike(b, 0, node.input(0));
    const updates = du ?? e.fullLike(b, 0, node.input(2));
    return [b.op(op, [base, node.input(1), updates], node.attributes, { types: [node.output().type] })];
  },
  infer: like(),
  samples: samples.flatMap((s) => [
    s,
    { ...s, name: `${s.name ?? ""} added`, attributes: { ...s.attributes, reduction: string("add") } },
  ]),
});
