/** Operators of ONNX Runtime, by what its CPU kernels compute (test/ops/runtime.test.ts holds both together). */
import { Node, float, int, type Attributes } from "../../src/ir/graph.js";
import { array, combine, full, numbersOf, take, transpose, withDims, type Array64 } from "./array.js";
import { attend, causalConvWithState, follow, heads, joined, linearAttention, rotate } from "./attention.js";
import { Call, type Op } from "./call.js";
import { elementwise } from "./elementwise.js";
import { layout } from "./layout.js";
import { normalizations } from "./normalizations.js";
import { products } from "./products.js";
import { erf, sigmoid } from "./special.js";
import { convolutions } from "./windows.js";

const standard: Readonly<Record<string, Op>> = {
  ...elementwise,
  ...layout,
  ...normalizations,
  ...products,
  ...convolutions,
};

/** The first output of a standard operator. */
function run(op: string, inputs: readonly (Array64 | null)[], attributes: Attributes = {}): Array64 {
  const none = (): never => {
    throw new Error(`${op} has no body`);
  };
  const node = new Node(op, [], [], attributes);
  const result = standard[op]!(new Call(node, inputs, 21, none));
  return "data" in result ? result : result[0]!;
}

const each = (x: Array64, f: (v: number) => number): Array64 => array(x.dtype, x.dims, x.data.map(f));

const sum = (...xs: (Array64 | null)[]): Array64 =>
  xs.filter((x) => x !== null).reduce((a, b) => combine([a, b], (p, q) => p + q));

const gelu = (x: number): number => 0.5 * x * (1 + erf(x * Math.SQRT1_2));
const fastGelu = (x: number): number => 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));

function activation(x: Array64, name: string, [first, second]: readonly number[]): Array64 {
  const functions: Record<string, (v: number) => number> = {
    Relu: (v) => Math.max(v, 0),
    Tanh: Math.tanh,
    Sigmoid: sigmoid,
    LeakyRelu: (v) => (v < 0 ? first! * v : v),
    Clip: (v) => Math.min(Math.max(v, first!), second!),
  };
  const f = functions[name];
  return f ? each(x, f) : x;
}

function turned(x: Array64, swapped: boolean, batch: boolean): Array64 {
  const order = [...x.dims.keys()];
  const moved = batch ? [...order.slice(1, -1), 0, order.at(-1)!] : order;
  return transpose(x, swapped ? [...moved.slice(0, -2), moved.at(-1)!, moved.at(-2)!] : moved);
}

const fusedMatMul: Op = (c) => {
  const flag = (name: string): boolean => c.node.int(name, 0) === 1;
  const product = run("MatMul", [
    turned(c.at(0), flag("transA"), flag("transBatchA")),
    turned(c.at(1), flag("transB"), flag("transBatchB")),
  ]);
  return each(product, (v) => v * c.node.float("alpha", 1));
};

const fusedGemm: Op = (c) => {
  const given = ["alpha", "beta"].map((name) => c.node.float(`activation_${name}`)).filter((v) => v !== undefined);
  return activation(run("Gemm", c.inputs, c.node.attributes), c.node.string("activation", ""), given);
};

const fusedConv: Op = (c) => {
  const given = c.node.attributes["activation_params"];
  const conv = run("Conv", c.inputs.slice(0, 3), c.node.attributes);
  return activation(
    sum(conv, c.maybe(3)),
    c.node.string("activation", ""),
    given?.type === "floats" ? given.value : [],
  );
};

const layerNormalization = (x: Array64, gamma: Array64, beta: Array64 | null, epsilon: number): Array64 =>
  run("LayerNormalization", [x, gamma, beta], { axis: int(-1), epsilon: float(epsilon) });

const skipLayerNormalization: Op = (c) => {
  const s = sum(c.at(0), c.at(1), c.maybe(4));
  return [layerNormalization(s, c.at(2), c.maybe(3), c.node.float("epsilon", 1e-12)), null, null, s];
};

const skipSimplified: Op = (c) => {
  const s = sum(c.at(0), c.at(1), c.maybe(3));
  const width = s.dims.at(-1)!;
  const y = s.data.map((v, i) => {
    const start = i - (i % width);
    const square = s.data.subarray(start, start + width).reduce((t, u) => t + u * u, 0) / width;
    return (v / Math.sqrt(square + c.node.float("epsilon", 1e-5))) * c.at(2).data[i % width]!;
  });
  return [array(s.dtype, s.dims, y), null, null, s];
};

const rows = (table: Array64, ids: Array64): Array64 => {
  const width = table.dims[1]!;
  const offsets = numbersOf(ids).flatMap((i) => Array.from({ length: width }, (_, j) => i * width + j));
  return array(table.dtype, [...ids.dims, width], take(table.data, Int32Array.from(offsets)));
};

const embedLayerNormalization: Op = (c) => {
  const ids = c.at(0);
  const [batch, length] = ids.dims as [number, number];
  const places =
    c.maybe(8) ??
    array(
      "int64",
      [length],
      Array.from({ length }, (_, i) => i),
    );
  const segments = c.maybe(1) && c.maybe(4) ? rows(c.at(4), c.at(1)) : null;
  const s = sum(rows(c.at(2), ids), rows(c.at(3), places), segments);
  const mask = c.maybe(7);
  const counts = Array.from({ length: batch }, (_, b) =>
    mask ? mask.data.subarray(b * length, (b + 1) * length).reduce((n, v) => n + v, 0) : 0,
  );
  return [layerNormalization(s, c.at(5), c.at(6), c.node.float("epsilon", 1e-12)), array("int32", [batch], counts), s];
};

const rotaryEmbedding: Op = (c) => {
  const [x, positions, cos, sin] = [c.at(0), c.at(1), c.at(2), c.at(3)];
  const half = cos.dims[1]!;
  const three = x.dims.length === 3;
  const split = three ? heads(x, c.node.int("num_heads", 0) || x.dims[2]! / (2 * half)) : x;
  const length = split.dims[2]!;
  const y = rotate(split, {
    interleaved: c.node.int("interleaved", 0) === 1,
    rotated: 2 * half,
    at: (b, i, p) => {
      const row = positions.data.length === 1 ? positions.data[0]! + i : positions.data[b * length + i]!;
      return [cos.data[row * half + p]!, sin.data[row * half + p]!];
    },
  });
  return three ? joined(y) : y;
};

/** What the mask of keys, and of what comes after, adds to a score. */
function maskBias(c: Call, mask: Array64 | null, queries: number, keys: number) {
  const filter = c.node.float("mask_filter_value", -10000);
  const causal = c.node.int("unidirectional", 0) === 1;
  return (b: number, i: number, j: number): number => {
    if (causal && j > i + keys - queries) return -Infinity;
    if (!mask) return 0;
    if (mask.dims.length === 1) return j < mask.data[b]! ? 0 : filter;
    const at = mask.dims.length === 2 ? b * keys + j : (b * queries + i) * keys + j;
    return mask.data[at]! > 0 ? 0 : filter;
  };
}

/** An addition to scores that broadcasts over the batch and the heads. */
function scoreBias(x: Array64 | null) {
  return (b: number, h: number, i: number, j: number): number => {
    if (!x) return 0;
    const [n, m, queries, keys] = x.dims as [number, number, number, number];
    return x.data[(((b % n) * m + (h % m)) * queries + i) * keys + j]!;
  };
}

const packed = (x: Array64, i: number): Array64 => {
  const [batch, length, count, parts, size] = x.dims as [number, number, number, number, number];
  const rowsOf = Array.from({ length: batch * length * count }, (_, r) =>
    Array.from({ length: size }, (_, d) => x.data[(r * parts + i) * size + d]!),
  );
  return transpose(array(x.dtype, [batch, length, count, size], rowsOf.flat()), [0, 2, 1, 3]);
};

const multiHeadAttention: Op = (c) => {
  const count = c.node.int("num_heads", 1);
  const [first, second, third, bias] = [c.at(0), c.maybe(1), c.maybe(2), c.maybe(3)];
  const hidden = first.dims[2]!;
  const shifted = (x: Array64, i: number): Array64 => {
    if (!bias) return x;
    const part = bias.data.slice(i * hidden, i === 2 ? bias.data.length : (i + 1) * hidden);
    return sum(x, array(bias.dtype, [part.length], part));
  };
  const head = (x: Array64, i: number): Array64 => (x.dims.length === 4 ? x : heads(shifted(x, i), count));
  const [q, ownKeys, ownValues] = !second
    ? [packed(first, 0), packed(first, 1), packed(first, 2)]
    : !third
      ? [head(first, 0), packed(second, 0), packed(second, 1)]
      : [head(first, 0), head(second, 1), head(third, 2)];
  const [k, v] = [follow(c.maybe(6), ownKeys), follow(c.maybe(7), ownValues)];
  const masked = maskBias(c, c.maybe(4), q.dims[2]!, k.dims[2]!);
  const added = scoreBias(c.maybe(5));
  const scale = c.node.float("scale", 0) || 1 / Math.sqrt(q.dims[3]!);
  const { y } = attend({ q, k, v, scale, bias: (b, h, i, j) => masked(b, i, j) + added(b, h, i, j) });
  return [joined(y), k, v];
};

const slicesOf = (x: Array64, sizes: readonly number[]): Array64[] => {
  const width = x.dims.at(-1)!;
  let start = 0;
  return sizes.map((size) => {
    const from = start;
    start += size;
    const data = x.data.filter((_, i) => i % width >= from && i % width < from + size);
    return array(x.dtype, [...x.dims.slice(0, -1), size], data);
  });
};

const attention: Op = (c) => {
  const count = c.node.int("num_heads", 1);
  const projected = sum(run("MatMul", [c.at(0), c.at(1)]), c.maybe(2));
  const third = projected.dims[2]! / 3;
  const sizes = c.node.ints("qkv_hidden_sizes") ?? [third, third, third];
  const [q, k, v] = slicesOf(projected, sizes).map((x) => heads(x, count)) as [Array64, Array64, Array64];
  const masked = maskBias(c, c.maybe(3), q.dims[2]!, k.dims[2]!);
  const added = scoreBias(c.maybe(5));
  const scale = c.node.float("scale", 0) || 1 / Math.sqrt(q.dims[3]!);
  return joined(attend({ q, k, v, scale, bias: (b, h, i, j) => masked(b, i, j) + added(b, h, i, j) }).y);
};

const groupQueryAttention: Op = (c) => {
  const [count, keyCount] = [c.node.int("num_heads", 1), c.node.int("kv_num_heads", 1)];
  const size = c.at(0).dims[2]! / (count + 2 * keyCount);
  const whole = c.maybe(1)
    ? [c.at(0), c.at(1), c.at(2)]
    : slicesOf(c.at(0), [count * size, keyCount * size, keyCount * size]);
  const [cos, sin] = [c.maybe(7), c.maybe(8)];
  const turn = (x: Array64): Array64 => {
    if (c.node.int("do_rotary", 0) === 0 || !cos || !sin) return x;
    const half = cos.dims[1]!;
    return rotate(x, {
      interleaved: c.node.int("rotary_interleaved", 0) === 1,
      rotated: 2 * half,
      at: (_, i, p) => [cos.data[i * half + p]!, sin.data[i * half + p]!],
    });
  };
  const q = turn(heads(whole[0]!, count));
  const k = turn(heads(whole[1]!, keyCount));
  const v = heads(whole[2]!, keyCount);
  const last = c.at(5).data;
  const scale = c.node.float("scale", 0) || 1 / Math.sqrt(q.dims[3]!);
  const bias = (b: number, _: number, i: number, j: number): number => (j > i || j > last[b]! ? -Infinity : 0);
  return [joined(attend({ q, k, v, scale, bias }).y), k, v];
};

const cdist: Op = (c) => {
  const [a, b] = [c.at(0), c.at(1)];
  const [n, width] = a.dims as [number, number];
  const m = b.dims[0]!;
  const y = full(a.dtype, [n, m], 0);
  for (let i = 0; i < n; i++)
    for (let j = 0; j < m; j++) {
      let square = 0;
      for (let d = 0; d < width; d++) square += (a.data[i * width + d]! - b.data[j * width + d]!) ** 2;
      y.data[i * m + j] = c.node.string("metric", "sqeuclidean") === "euclidean" ? Math.sqrt(square) : square;
    }
  return y;
};

const named: Record<string, Op> = {
  Attention: attention,
  BiasGelu: (c) => each(sum(c.at(0), c.at(1)), gelu),
  CausalConvWithState: causalConvWithState,
  CDist: cdist,
  EmbedLayerNormalization: embedLayerNormalization,
  ExpandDims: (c) => {
    const [x, at] = [c.at(0), c.at(1).data[0]!];
    const axis = at < 0 ? at + x.dims.length + 1 : at;
    return withDims(x, [...x.dims.slice(0, axis), 1, ...x.dims.slice(axis)]);
  },
  FastGelu: (c) => each(sum(c.at(0), c.maybe(1)), fastGelu),
  FusedConv: fusedConv,
  FusedGemm: fusedGemm,
  FusedMatMul: fusedMatMul,
  Gelu: (c) => each(c.at(0), gelu),
  GroupQueryAttention: groupQueryAttention,
  LinearAttention: linearAttention,
  MultiHeadAttention: multiHeadAttention,
  QuickGelu: (c) => each(c.at(0), (v) => v * sigmoid(c.node.float("alpha", 1.702) * v)),
  RotaryEmbedding: rotaryEmbedding,
  SkipLayerNormalization: skipLayerNormalization,
  SkipSimplifiedLayerNormalization: skipSimplified,
  TransposeMatMul: fusedMatMul,
  Trilu: (c) => run("Trilu", c.inputs, c.node.attributes),
};

/** By name, after their domain. */
export const microsoft: Readonly<Record<string, Op>> = Object.fromEntries(
  Object.entries(named).map(([name, op]) => [`com.microsoft::${name}`, op]),
);
