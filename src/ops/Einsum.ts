import { string, tensorType, type Node } from "../ir/graph.js";
import { broadcastDim, type Dim } from "../util/shape.js";
import { equationOf, type Equation } from "./einsumEquation.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

/** The cotangent of operand `i`: dy contracted with the other operands, back on the axes of operand `i`. */
function operandCotangent(b: e.B, node: Node, equation: Equation, dy: e.V, i: number): e.V {
  const x = node.input(i);
  const own = equation.operands[i] ?? "";
  const others = equation.operands.filter((_, j) => j !== i);
  const operands = [equation.output, ...others];
  const known = new Set(operands.join(""));
  const distinct = [...new Set(own)];
  const kept = distinct.filter((l) => known.has(l));
  const inputs = [dy, ...node.inputs.filter((_, j) => j !== i)];
  let g = b.op("Einsum", inputs, { equation: string(`${operands.join(",")}->${kept.join("")}`) });
  if (kept.length === own.length) return g;
  // Axes that only this operand has were summed over, repeated letters read a diagonal: both come back as axes of 1.
  const first = (l: string, p: number): boolean => own.indexOf(l) === p;
  g = e.unsqueeze(
    b,
    g,
    Array.from(own).flatMap((l, p) => (known.has(l) && first(l, p) ? [] : [p])),
  );
  g = e.expandLike(b, g, x);
  for (const [p, l] of Array.from(own).entries()) if (!first(l, p)) g = onDiagonal(b, g, x, own.indexOf(l), p);
  return g;
}

/** `g` where its indices on the axes `p` and `q` are equal, 0 elsewhere. */
function onDiagonal(b: e.B, g: e.V, x: e.V, p: number, q: number): e.V {
  const rank = x.dims.length;
  const index = (axis: number): e.V => {
    const range = e.rangeTo(b, e.squeeze(b, e.dimOf(b, x, axis), [0]));
    return e.unsqueeze(
      b,
      range,
      Array.from({ length: rank }, (_, k) => k).filter((k) => k !== axis),
    );
  };
  return e.where(b, e.equal(b, index(p), index(q)), g, e.scalarLike(b, 0, g));
}

/** y = Σ over the letters that the output lacks of the product of the operands. */
export const rule: OpRule<"Einsum"> = {
  op: "Einsum",
  since: 12,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return node.inputs.map(() => null);
    const equation = equationOf(node);
    return node.inputs.map((_, i) => (need[i] ? operandCotangent(b, node, equation, dy, i) : null));
  },
  jvp: "linear",
  infer: (node) => {
    const { operands, output } = equationOf(node);
    const sizes = new Map<string, Dim>();
    operands.forEach((term, i) =>
      Array.from(term).forEach((l, p) => sizes.set(l, broadcastDim(sizes.get(l) ?? 1, node.input(i).dims[p] ?? 1))),
    );
    return [
      tensorType(
        node.input(0).dtype,
        Array.from(output, (l) => sizes.get(l) ?? 1),
      ),
    ];
  },
  samples: [
    ...equations([
      ["ij,jk->ik", [2, 3], [3, 4]],
      ["bhid,bhjd->bhij", [2, 2, 3, 2], [2, 2, 4, 2]],
      ["ij,jk", [2, 3], [3, 2]],
      ["...ij,...jk->...ik", [2, 2, 3], [2, 3, 2]],
      ["ij->ji", [2, 3]],
      ["ij->i", [2, 3]],
      ["ij->", [2, 3]],
      ["i,i->", [3], [3]],
      ["i,j->ij", [2], [3]],
      ["ii->i", [3, 3]],
      ["ii->", [3, 3]],
      ["ij,jk,kl->il", [2, 3], [3, 2], [2, 2]],
      ["ij,k->i", [2, 3], [2]],
      ["...i,i->...", [2, 3, 2], [2]],
    ]),
  ],
};

function equations(list: readonly (readonly [string, ...number[][]])[]): OpRule["samples"] {
  return list.map(([equation, ...shapes]) => ({
    name: equation,
    inputs: shapes.map((shape) => ({ shape })),
    attributes: { equation: string(equation) },
  }));
}
