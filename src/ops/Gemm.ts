import { float, int, tensorType, type Node } from "../ir/graph.js";
import * as e from "./emit.js";
import type { OpRule } from "./rule.js";

interface Flags {
  alpha: number;
  beta: number;
  transA: boolean;
  transB: boolean;
}

const flags = (node: Node): Flags => ({
  alpha: node.float("alpha", 1),
  beta: node.float("beta", 1),
  transA: node.int("transA", 0) !== 0,
  transB: node.int("transB", 0) !== 0,
});

/** α A′B′ + β C, with A′ and B′ transposed where the flags say so. */
const gemm = (b: e.B, a: e.V, w: e.V, c: e.V | null, f: Flags): e.V =>
  b.op("Gemm", [a, w, c], {
    alpha: float(f.alpha),
    beta: float(f.beta),
    transA: int(f.transA ? 1 : 0),
    transB: int(f.transB ? 1 : 0),
  });

/** Y = α A′B′ + β C; A′ is A or its transpose, B′ likewise, C broadcasts. */
export const rule: OpRule<"Gemm"> = {
  op: "Gemm",
  since: 13,
  vjp: ({ b }, node, [dy], need) => {
    if (!dy) return [null, null, null];
    const [a, w] = [node.input(0), node.input(1)];
    const { alpha, beta, transA, transB } = flags(node);
    const product = (p: e.V, q: e.V, tp: boolean, tq: boolean): e.V =>
      gemm(b, p, q, null, { alpha, beta: 1, transA: tp, transB: tq });
    const da = need[0] ? (transA ? product(w, dy, transB, true) : product(dy, w, false, !transB)) : null;
    const dw = need[1] ? (transB ? product(dy, a, true, transA) : product(a, dy, !transA, false)) : null;
    return [da, dw, need[2] ? (beta === 1 ? dy : e.scale(b, dy, beta)) : null];
  },
  jvp: ({ b }, node, [da, dw, dc]) => {
    const f = flags(node);
    let y: e.V | null = null;
    if (da) y = gemm(b, da, node.input(1), dc ?? null, f);
    if (dw) y = gemm(b, node.input(0), dw, y ?? dc ?? null, y ? { ...f, beta: 1 } : f);
    if (y || !dc) return [y];
    return [e.expandLike(b, f.beta === 1 ? dc : e.scale(b, dc, f.beta), node.output())];
  },
  infer: (node) => {
    const [a, w] = [node.input(0), node.input(1)];
    const { transA, transB } = flags(node);
    return [tensorType(a.dtype, [a.dims[transA ? 1 : 0] ?? 1, w.dims[transB ? 0 : 1] ?? 1])];
  },
  samples: [
    { inputs: [{ shape: [2, 3] }, { shape: [3, 4] }, { shape: [4] }] },
    { name: "no C", inputs: [{ shape: [2, 3] }, { shape: [3, 4] }] },
    ...[
      [false, true],
      [true, false],
      [true, true],
    ].map(([ta, tb]) => ({
      name: `transposed ${ta ? "A" : ""}${tb ? "B" : ""}, alpha, beta`,
      inputs: [{ shape: ta ? [3, 2] : [2, 3] }, { shape: tb ? [4, 3] : [3, 4] }, { shape: [2, 1] }],
      attributes: { alpha: float(0.5), beta: float(-2), transA: int(ta ? 1 : 0), transB: int(tb ? 1 : 0) },
    })),
    {
      name: "scalar C",
      inputs: [{ shape: [2, 3] }, { shape: [3, 2] }, { shape: [] }],
      attributes: { beta: float(0.5) },
    },
  ],
};
