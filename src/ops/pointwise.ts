import type { Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule, Sample } from "./rule.js";
import { broadcasting, like } from "./types.js";

/** f′ of an elementwise y = f(x). */
export type Derivative = (b: e.B, x: e.V, y: e.V, node: Node) => e.V;

/** The rule of an elementwise y = f(x): both modes multiply by f′(x), element by element. */
export function pointwise<O extends string>(
  op: O,
  since: number,
  derivative: Derivative,
  samples: readonly Sample[] = [{ inputs: [{ shape: [2, 3] }] }, { name: "scalar", inputs: [{ shape: [] }] }],
): OpRule<O> {
  const times = (b: e.B, node: Node, d: e.V | null | undefined): e.V | null =>
    d ? e.mul(b, d, derivative(b, node.input(0), node.output(), node)) : null;
  return {
    op,
    since,
    vjp: ({ b }, node, [dy]) => [times(b, node, dy)],
    jvp: ({ b }, node, [dx]) => [times(b, node, dx)],
    infer: like(),
    samples,
  };
}

/** An elementwise function that is constant almost everywhere: its derivative is zero. */
export const stepwise = <O extends string>(op: O, since: number, samples: readonly Sample[]): OpRule<O> => ({
  op,
  since,
  vjp: "zero",
  jvp: "zero",
  infer: like(),
  samples,
});

/** A comparison of numbers: booleans carry no derivative. */
export const comparison = <O extends string>(op: O, since: number): OpRule<O> => ({
  op,
  since,
  vjp: "zero",
  jvp: "zero",
  infer: broadcasting("bool"),
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [2, 3] }] },
    { name: "broadcast", inputs: [{ shape: [2, 1] }, { shape: [3] }] },
  ],
});

/** A logical operator of two booleans. */
export const logical = <O extends string>(op: O, since: number): OpRule<O> => ({
  op,
  since,
  vjp: "zero",
  jvp: "zero",
  infer: broadcasting("bool"),
  samples: [
    {
      inputs: [
        { shape: [4], dtype: "bool", values: [0, 0, 1, 1] },
        { shape: [4], dtype: "bool", values: [0, 1, 0, 1] },
      ],
    },
  ],
});
