import { string, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule, Sample } from "./rule.js";
import { like } from "./types.js";
import { parted, vanishing } from "./vanishing.js";

/** Reads what was scattered: the cotangent of the updates. */
export type Read = (b: e.B, node: Node, dy: e.V) => e.V;

const reductionOf = (node: Node): string => node.string("reduction", "none");

const setting = (node: Node): boolean => reductionOf(node) === "none";

/** Zeros like `like` with `updates` added where the node writes. */
function added(b: e.B, op: "ScatterND" | "ScatterElements", node: Node, updates: e.V): e.V {
  const zeros = e.fullLike(b, 0, node.input(0), updates.dtype);
  const attributes = { ...node.attributes, reduction: string("add") };
  return b.op(op, [zeros, node.input(1), updates], attributes, { types: [node.output().type] });
}

interface Shares {
  data: e.V;
  updates: e.V;
}

/** The factors of a product other than data itself, or than each update; zeros among them too. */
function otherFactors(b: e.B, op: "ScatterND" | "ScatterElements", node: Node, read: Read): Shares {
  const [data, updates] = [parted(b, node.input(0)), parted(b, node.input(2))];
  const gathered = (reduction: string, of: e.V, by: e.V): e.V => {
    const attributes = { ...node.attributes, reduction: string(reduction) };
    return b.op(op, [of, node.input(1), by], attributes, { types: [node.output().type] });
  };
  const product = gathered("mul", data.rest, updates.rest);
  const count = gathered("add", data.isZero, updates.isZero);
  const sum = gathered("add", data.zeros, updates.zeros);
  const without = (own: typeof data, at: (v: e.V) => e.V): e.V =>
    e.mul(
      b,
      e.div(b, at(product), own.rest),
      vanishing(b, e.sub(b, at(count), own.isZero), e.sub(b, at(sum), own.zeros)),
    );
  return { data: without(data, (v) => v), updates: without(updates, (v) => read(b, node, v)) };
}

/**
 * Derivatives of y by data, and by the update at each place, as factors. Of a product, the other factors. A maximum or minimum: shared by all that are equal to it, as in PyTorch.
 */
function shares(b: e.B, op: "ScatterND" | "ScatterElements", node: Node, read: Read): Shares {
  const [x, updates, y] = [node.input(0), node.input(2), node.output()];
  if (reductionOf(node) === "mul") return otherFactors(b, op, node, read);
  const ofData = e.cast(b, e.equal(b, x, y), x.dtype);
  const ofUpdates = e.cast(b, e.equal(b, updates, read(b, node, y)), x.dtype);
  const count = e.add(b, ofData, added(b, op, node, ofUpdates));
  return { data: e.div(b, ofData, count), updates: e.div(b, ofUpdates, read(b, node, count)) };
}

/**
 * y = data with updates written (or added) at indices. Written elements of data get no cotangent; as in ONNX, indices
 * that are written must not repeat.
 */
export const scattering = <O extends "ScatterND" | "ScatterElements">(
  op: O,
  read: Read,
  samples: readonly Sample[],
  more: readonly Sample[],
): OpRule<O> => ({
  op,
  since: 18,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    if (!setting(node) && reductionOf(node) !== "add") {
      const by = shares(b, op, node, read);
      return [need[0] ? e.mul(b, dy, by.data) : null, null, need[2] ? e.mul(b, read(b, node, dy), by.updates) : null];
    }
    const indices = node.input(1);
    const updates = node.input(2);
    const zeros = (): e.V => e.fullLike(b, 0, updates, dy.dtype);
    const base = setting(node)
      ? need[0] && b.op(op, [dy, indices, zeros()], node.attributes, { types: [dy.type] })
      : dy;
    return [base || null, null, need[2] ? read(b, node, dy) : null];
  },
  jvp: ({ b }, node, [dx, , du]) => {
    if (!setting(node) && reductionOf(node) !== "add") {
      const by = shares(b, op, node, read);
      const terms = [dx ? e.mul(b, dx, by.data) : null, du ? added(b, op, node, e.mul(b, du, by.updates)) : null];
      const there = terms.filter((t) => t !== null);
      return [there.length > 0 ? there.reduce((p, q) => e.add(b, p, q)) : null];
    }
    if (!setting(node) && !du) return [dx ?? null];
    const base = dx ?? e.fullLike(b, 0, node.input(0));
    const updates = du ?? e.fullLike(b, 0, node.input(2));
    return [b.op(op, [base, node.input(1), updates], node.attributes, { types: [node.output().type] })];
  },
  infer: like(),
  samples: [...samples.flatMap((s) => [s, ...withReductions(s)]), ...more],
});

/** The sample with every reduction; ties of a maximum or a minimum are avoided. */
export const withReductions = (s: Sample): Sample[] => [
  { ...s, name: `${s.name ?? ""} added`, attributes: { ...s.attributes, reduction: string("add") } },
  ...["mul", "max", "min"].map((reduction) => ({
    name: `${s.name ?? ""} ${reduction}`,
    inputs: s.inputs.map((x) => (x?.dtype ? x : x && { ...x, range: [0.5, 2] as const, distinct: 0.01 })),
    attributes: { ...s.attributes, reduction: string(reduction) },
  })),
];
