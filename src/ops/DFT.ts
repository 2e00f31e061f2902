import { int, tensorType, type Node } from "../ir/graph.js";
import { check } from "../util/assert.js";
import { freshDim, normalizeAxis } from "../util/shape.js";
import * as e from "./emit.js";
import type { OpRule, Sample } from "./rule.js";
import { constantScalar } from "./shapes.js";

/** `v` with `size` elements along an axis: cut at its end, or zeros after it. */
function fitted(b: e.B, v: e.V, axis: number, like: e.V): e.V {
  const [own, wanted] = [v.dims[axis], like.dims[axis]];
  if (own === wanted && !(typeof own === "string" && own.startsWith("?"))) return v;
  const size = e.dimOf(b, like, axis);
  const dims = (d: typeof own) => v.dims.map((other, i) => (i === axis ? (d ?? freshDim()) : other));
  const zero = b.int64s([0]);
  const cut = e.slice(b, v, zero, size, [axis], tensorType(v.dtype, dims(freshDim())));
  const missing = e.sub(b, size, e.dimOf(b, cut, axis));
  return e.pad(b, cut, [zero], [missing], [axis], tensorType(v.dtype, dims(wanted)));
}

/** Of real and imaginary parts as many as x has. */
function partsOf(b: e.B, v: e.V, x: e.V): e.V {
  const last = v.dims.length - 1;
  const parts = x.dims[last] ?? 1;
  if (parts === 2) return v;
  const type = tensorType(v.dtype, [...v.dims.slice(0, last), parts]);
  return e.slice(b, v, b.int64s([0]), e.dimOf(b, x, last), [last], type);
}

interface Transform {
  inverse: boolean;
  onesided?: boolean;
  length: e.V;
}

function transform(b: e.B, v: e.V, axis: number, { inverse, onesided = false, length }: Transform): e.V {
  const dims = v.dims.map((d, i) => (i === axis ? freshDim() : i === v.dims.length - 1 ? 2 : d));
  const attributes = { inverse: int(inverse ? 1 : 0), onesided: int(onesided ? 1 : 0) };
  return b.op("DFT", [v, length, b.scalar(axis, "int64")], attributes, { types: [tensorType(v.dtype, dims)] });
}

/** How often each element of half a spectrum stands in the whole: 2, but 1 at frequency 0 and in the middle of an even length. */
function multiplicity(b: e.B, half: e.V, axis: number, length: e.V): e.V {
  const k = e.rangeTo(b, e.squeeze(b, e.dimOf(b, half, axis), [0]));
  const [zero, two] = [b.scalar(0, "int64"), b.scalar(2, "int64")];
  const single = e.or(b, e.equal(b, k, zero), e.equal(b, e.mul(b, k, two), length));
  const factors = e.where(b, single, e.scalarLike(b, 1, half), e.scalarLike(b, 2, half));
  return e.unsqueeze(
    b,
    factors,
    Array.from({ length: half.dims.length - 1 - axis }, (_, i) => i + 1),
  );
}

/** dx for y = F x: the conjugate transform, of as many elements as x has. */
function adjoint(b: e.B, node: Node, dy: e.V): e.V {
  const [x, y] = [node.input(0), node.output()];
  const given = node.inputs[2] ? constantScalar(b, node.inputs[2]) : -2;
  check(given !== undefined, () => `${node.label}: its axis is computed; a derivative needs it constant`);
  const axis = normalizeAxis(given, x.dims.length);
  const [inverse, onesided] = [node.int("inverse", 0) !== 0, node.int("onesided", 0) !== 0];
  const dim = (v: e.V): e.V => e.squeeze(b, e.dimOf(b, v, axis), [0]);
  const scalarLength = node.inputs[1] ? e.reshape(b, node.inputs[1], []) : null;
  const length = scalarLength ?? dim(inverse && onesided ? y : x);
  const count = e.cast(b, length, dy.dtype);
  if (inverse && onesided) {
    const half = transform(b, dy, axis, { inverse: false, onesided: true, length });
    const weighted = e.mul(b, half, e.div(b, multiplicity(b, half, axis, length), count));
    return fitted(b, weighted, axis, x);
  }
  const whole = onesided ? padTo(b, dy, axis, length) : dy;
  const turned = transform(b, whole, axis, { inverse: !inverse, length });
  const scaled = inverse ? e.div(b, turned, count) : e.mul(b, turned, count);
  return partsOf(b, fitted(b, scaled, axis, x), x);
}

/** Zeros after `v`, to `length` elements along an axis. */
function padTo(b: e.B, v: e.V, axis: number, length: e.V): e.V {
  const missing = e.sub(b, e.unsqueeze(b, length, [0]), e.dimOf(b, v, axis));
  const type = tensorType(
    v.dtype,
    v.dims.map((d, i) => (i === axis ? freshDim() : d)),
  );
  return e.pad(b, v, [b.int64s([0])], [missing], [axis], type);
}

/** y = the discrete Fourier transform of x along an axis, or its inverse; the last axis holds real and imaginary part. */
export const rule: OpRule<"DFT"> = {
  op: "DFT",
  since: 20,
  vjp: ({ b }, node, [dy]) => [dy ? e.reshapeLike(b, adjoint(b, node, dy), node.input(0)) : null, null, null],
  jvp: "linear",
  samples: [
    sample("complex", [2, 5, 2], {}),
    sample("real", [2, 5, 1], {}),
    sample("real, half a spectrum", [2, 6, 1], { onesided: int(1) }),
    sample("half a spectrum of an odd length", [1, 5, 1], { onesided: int(1) }),
    sample("inverse", [2, 4, 2], { inverse: int(1) }),
    { ...sample("longer than x", [2, 3, 2], {}), inputs: [{ shape: [2, 3, 2], fixed: [2] }, number(5), number(1)] },
    {
      ...sample("shorter than x, first axis", [4, 2, 2], {}),
      inputs: [{ shape: [4, 2, 2], fixed: [2] }, number(3), number(0)],
    },
  ],
};

function number(value: number) {
  return { shape: [], dtype: "int64" as const, values: [value], constant: true };
}

function sample(name: string, shape: number[], attributes: NonNullable<Sample["attributes"]>): Sample {
  return { name, inputs: [{ shape, fixed: [2] }, null, number(-2)], attributes };
}
