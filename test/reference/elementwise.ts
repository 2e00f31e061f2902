/** Operators that work element by element. */
import type { Node } from "../../src/ir/graph.js";
import { dtypeOfCode, isFloat, type DType } from "../../src/util/dtype.js";
import { array, combine, full, map, sameDType, scalar, type Array64 } from "./array.js";
import type { Op } from "./call.js";
import { erf, roundEven, sigmoid, softplus } from "./special.js";

const unary =
  (f: (x: number, node: Node) => number): Op =>
  (c) =>
    map(c.at(0), (x) => f(x, c.node));

const binary =
  (f: (a: number, b: number) => number, dtype?: DType): Op =>
  (c) =>
    combine([c.at(0), c.at(1)], f, dtype ?? sameDType(c.at(0), c.at(1)));

const variadic =
  (f: (xs: number[]) => number): Op =>
  (c) =>
    combine(c.all(), (...xs) => f(xs), sameDType(...c.all()));

const truth = (b: boolean): number => (b ? 1 : 0);
const compare = (f: (a: number, b: number) => boolean): Op => {
  const op = binary((a, b) => truth(f(a, b)), "bool");
  return (c) => (sameDType(c.at(0), c.at(1)), op(c));
};

const divide: Op = (c) => {
  const dtype = sameDType(c.at(0), c.at(1));
  return combine([c.at(0), c.at(1)], (a, b) => (isFloat(dtype) ? a / b : Math.trunc(a / b)));
};

/** fmod = 1: the sign of the dividend; else, of the divisor. */
const mod: Op = (c) =>
  combine([c.at(0), c.at(1)], (a, b) => (c.node.int("fmod", 0) === 1 ? a % b : a - b * Math.floor(a / b)));

const gelu: Op = unary((x, node) =>
  node.string("approximate", "none") === "tanh"
    ? 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
    : 0.5 * x * (1 + erf(x / Math.SQRT2)),
);

const clip: Op = (c) => {
  const low = c.maybe(1)?.data[0] ?? c.node.float("min", -Infinity);
  const high = c.maybe(2)?.data[0] ?? c.node.float("max", Infinity);
  return map(c.at(0), (x) => (Number.isNaN(x) ? x : Math.min(Math.max(x, low), high)));
};

const where: Op = (c) => combine(c.all(), (condition, x, y) => (condition !== 0 ? x : y), sameDType(c.at(1), c.at(2)));

const prelu: Op = (c) => combine([c.at(0), c.at(1)], (x, slope) => (x < 0 ? slope * x : x));

const isInf: Op = (c) =>
  map(
    c.at(0),
    (x) =>
      truth(
        (x === Infinity && c.node.int("detect_positive", 1) === 1) ||
          (x === -Infinity && c.node.int("detect_negative", 1) === 1),
      ),
    "bool",
  );

const castTo = (x: Array64, dtype: DType): Array64 =>
  map(x, (v) => (isFloat(dtype) || dtype === "bool" ? v : Math.trunc(v)), dtype);

const cast: Op = (c) => {
  const dtype = dtypeOfCode(c.node.int("to", 0));
  if (!dtype) throw new Error(`${c.node.label}: no dtype has the number ${c.node.int("to", 0)}`);
  return castTo(c.at(0), dtype);
};

/** The probability of dropping is `ratio`; the mask is a fixed function of the seed and the position. */
const dropout: Op = (c) => {
  const x = c.at(0);
  const ratio = c.maybe(1)?.data[0] ?? c.node.float("ratio", 0.5);
  const training = (c.maybe(2)?.data[0] ?? 0) !== 0;
  if (!training || ratio === 0) return [x, full("bool", x.dims, 1)];
  const mask = x.data.map((_, i) => truth(hash(i, c.node.int("seed", 0)) >= ratio));
  return [
    array(
      x.dtype,
      x.dims,
      x.data.map((v, i) => (v * mask[i]!) / (1 - ratio)),
    ),
    array("bool", x.dims, mask),
  ];
};

/** A number in [0, 1) for a position. */
function hash(i: number, seed: number): number {
  let h = Math.imul(i + 1, 0x9e3779b1) ^ Math.imul(seed + 1, 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 16), 0x7feb352d);
  h = Math.imul(h ^ (h >>> 15), 0x846ca68b);
  return ((h ^ (h >>> 16)) >>> 0) / 2 ** 32;
}

const bitwise =
  (f: (a: bigint, b: bigint) => bigint): Op =>
  (c) =>
    combine([c.at(0), c.at(1)], (a, b) => Number(BigInt.asIntN(64, f(BigInt(a), BigInt(b)))));

const bitShift: Op = (c) =>
  combine([c.at(0), c.at(1)], (a, b) => (c.node.string("direction") === "LEFT" ? a * 2 ** b : Math.floor(a / 2 ** b)));

export const elementwise: Record<string, Op> = {
  Add: binary((a, b) => a + b),
  Sub: binary((a, b) => a - b),
  Mul: binary((a, b) => a * b),
  Div: divide,
  Pow: (c) => combine([c.at(0), c.at(1)], (a, b) => a ** b),
  Mod: mod,
  PRelu: prelu,
  Neg: unary((x) => -x),
  Abs: unary(Math.abs),
  Sqrt: unary(Math.sqrt),
  Exp: unary(Math.exp),
  Log: unary(Math.log),
  Reciprocal: unary((x) => 1 / x),
  Sin: unary(Math.sin),
  Cos: unary(Math.cos),
  Tan: unary(Math.tan),
  Asin: unary(Math.asin),
  Acos: unary(Math.acos),
  Atan: unary(Math.atan),
  Sinh: unary(Math.sinh),
  Cosh: unary(Math.cosh),
  Tanh: unary(Math.tanh),
  Asinh: unary(Math.asinh),
  Acosh: unary(Math.acosh),
  Atanh: unary(Math.atanh),
  Erf: unary(erf),
  Sign: unary(Math.sign),
  Floor: unary(Math.floor),
  Ceil: unary(Math.ceil),
  Round: unary(roundEven),
  Sigmoid: unary(sigmoid),
  Relu: unary((x) => (x < 0 ? 0 : x)),
  LeakyRelu: unary((x, n) => (x < 0 ? n.float("alpha", 0.01) * x : x)),
  Elu: unary((x, n) => (x < 0 ? n.float("alpha", 1) * Math.expm1(x) : x)),
  Selu: unary((x, n) => {
    const alpha = n.float("alpha", 1.67326319217681884765625);
    const gamma = n.float("gamma", 1.05070102214813232421875);
    return gamma * (x <= 0 ? alpha * Math.expm1(x) : x);
  }),
  Celu: unary((x, n) => Math.max(0, x) + Math.min(0, n.float("alpha", 1) * Math.expm1(x / n.float("alpha", 1)))),
  ThresholdedRelu: unary((x, n) => (x > n.float("alpha", 1) ? x : 0)),
  Softplus: unary(softplus),
  Softsign: unary((x) => x / (1 + Math.abs(x))),
  HardSigmoid: unary((x, n) => Math.max(0, Math.min(1, n.float("alpha", 0.2) * x + n.float("beta", 0.5)))),
  HardSwish: unary((x) => x * Math.max(0, Math.min(1, x / 6 + 0.5))),
  Swish: unary((x, n) => x * sigmoid(n.float("alpha", 1) * x)),
  Mish: unary((x) => x * Math.tanh(softplus(x))),
  Shrink: unary((x, n) => {
    const [lambda, bias] = [n.float("lambd", 0.5), n.float("bias", 0)];
    return x < -lambda ? x + bias : x > lambda ? x - bias : 0;
  }),
  Gelu: gelu,
  Clip: clip,
  Min: variadic((xs) => Math.min(...xs)),
  Max: variadic((xs) => Math.max(...xs)),
  Sum: variadic((xs) => xs.reduce((a, b) => a + b)),
  Mean: variadic((xs) => xs.reduce((a, b) => a + b) / xs.length),
  Equal: compare((a, b) => a === b),
  Less: compare((a, b) => a < b),
  Greater: compare((a, b) => a > b),
  LessOrEqual: compare((a, b) => a <= b),
  GreaterOrEqual: compare((a, b) => a >= b),
  Not: unary((x) => truth(x === 0)),
  And: compare((a, b) => a !== 0 && b !== 0),
  Or: compare((a, b) => a !== 0 || b !== 0),
  Xor: compare((a, b) => (a !== 0) !== (b !== 0)),
  Where: where,
  IsNaN: (c) => map(c.at(0), (x) => truth(Number.isNaN(x)), "bool"),
  IsInf: isInf,
  BitwiseAnd: bitwise((a, b) => a & b),
  BitwiseOr: bitwise((a, b) => a | b),
  BitwiseXor: bitwise((a, b) => a ^ b),
  BitwiseNot: unary((x) => -x - 1),
  BitShift: bitShift,
  Identity: (c) => c.at(0),
  Cast: cast,
  CastLike: (c) => castTo(c.at(0), c.at(1).dtype),
  Dropout: dropout,
  Size: (c) => scalar(c.at(0).data.length, "int64"),
};
