import type { Value } from "../ir/graph.js";
import * as e from "./emit.js";
import { Iteration } from "./iteration.js";
import type { RuleBuilder, Sample, SampleInput } from "./rule.js";

const x = (...shape: number[]): SampleInput => ({ shape });
const trips = (n: number): SampleInput => ({ shape: [], dtype: "int64", values: [n] });
const bool = (value: number): SampleInput => ({ shape: [], dtype: "bool", values: [value] });

interface Body {
  b: RuleBuilder;
  i: Value;
  going: Value;
  /** The carries. */
  s: readonly Value[];
  /** What it captures. */
  v: readonly Value[];
}

/** A body: what it gives, the condition first where it has one of its own. */
const body =
  (
    make: (body: Body) => { going?: Value; next: readonly Value[]; scanned?: readonly Value[] },
  ): NonNullable<Sample["bodies"]> =>
  (b, captured, inputs) => {
    const inner = b.body("body");
    const i = inner.parameter("i", { kind: "tensor", dtype: "int64", shape: [] });
    const going = inner.parameter("going", { kind: "tensor", dtype: "bool", shape: [] });
    const s = inputs.slice(2).map((v) => inner.parameter("s", v.type));
    const made = make({ b: inner, i, going, s, v: captured });
    return { body: inner.returns([made.going ?? going, ...made.next, ...(made.scanned ?? [])]) };
  };

const at = (v: readonly Value[], k: number): Value => v[k] as Value;

/** tanh(s W + x[i]): a recurrent cell, with captured weights and captured sequences read by the iteration. */
const cell = body(({ b, i, s, v }) => {
  const next = e.tanh(b, e.add(b, e.matmul(b, at(s, 0), at(v, 0)), e.gather(b, at(v, 1), i, 0)));
  return { next: [next], scanned: [next] };
});

export const loopSamples: readonly Sample[] = [
  {
    name: "a recurrent cell",
    inputs: [trips(3), null, x(2, 2)],
    captured: [x(2, 2), x(3, 2, 2)],
    outputs: 2,
    bodies: cell,
  },
  {
    name: "no iteration",
    inputs: [trips(0), null, x(2, 2)],
    captured: [x(2, 2), x(3, 2, 2)],
    outputs: 1,
    bodies: cell,
  },
  {
    name: "one iteration",
    inputs: [trips(1), null, x(2, 2)],
    captured: [x(2, 2), x(3, 2, 2)],
    outputs: 2,
    bodies: cell,
  },
  {
    name: "two carries that change places, an integer beside them",
    inputs: [trips(3), bool(1), x(3), x(3), { shape: [], dtype: "int64", values: [2] }],
    captured: [x(3)],
    outputs: 5,
    bodies: body(({ b, i, s, v }) => {
      const power = e.cast(b, e.add(b, at(s, 2), i), at(s, 0).dtype);
      return {
        next: [e.mul(b, at(s, 1), e.sin(b, at(v, 0))), e.mul(b, at(s, 0), power), e.add(b, at(s, 2), i)],
        scanned: [e.square(b, at(s, 0)), at(s, 2)],
      };
    }),
  },
  {
    name: "as long as a condition on the carry holds",
    inputs: [null, bool(1), { shape: [], values: [0.3] }],
    captured: [{ shape: [], values: [1.2] }],
    outputs: 2,
    bodies: body(({ b, s, v }) => {
      const next = e.mul(b, at(s, 0), e.shift(b, e.square(b, at(v, 0)), 0.2));
      return { going: e.less(b, next, e.scalarLike(b, 2, next)), next: [next], scanned: [e.sin(b, next)] };
    }),
  },
  {
    name: "trip count and condition; a condition that fails first",
    inputs: [trips(10), bool(1), x(2), { shape: [], dtype: "int64", values: [0] }],
    captured: [x(2)],
    outputs: 2,
    bodies: body(({ b, s, v }) => ({
      going: e.less(b, at(s, 1), b.scalar(3, "int64")),
      next: [e.mul(b, e.sin(b, at(s, 0)), at(v, 0)), e.add(b, at(s, 1), b.scalar(1, "int64"))],
    })),
  },
  {
    name: "a carry without a derivative at the start, one that is not read, and one that is passed on",
    inputs: [trips(2), null, { shape: [2], values: [1, 1], constant: true }, x(2), x(2)],
    captured: [x(2)],
    outputs: 3,
    bodies: body(({ b, s, v }) => ({
      next: [e.mul(b, at(s, 0), e.mul(b, at(v, 0), at(s, 2))), e.square(b, at(s, 0)), at(s, 2)],
    })),
  },
  {
    name: "a Loop in a Loop",
    inputs: [trips(2), null, x(2)],
    captured: [x(2), x(2)],
    outputs: 2,
    bodies: body(({ b, i, s, v }) => {
      const inner = new Iteration(b, "inner", "?trips");
      const h = inner.carry(at(s, 0));
      inner.setNext(h, e.mul(inner.body, e.sin(inner.body, h), at(v, 0)));
      inner.scan(e.mul(inner.body, h, at(v, 1)));
      const { final, scanned } = inner.emit(e.add(b, i, b.scalar(1, "int64")));
      const sum = b.op(
        "ReduceSum",
        [at(scanned, 0), b.int64s([0])],
        {},
        { types: [{ kind: "tensor", dtype: at(s, 0).dtype, shape: [1, at(s, 0).dims[0] ?? 2] }] },
      );
      return { next: [e.add(b, at(final, 0), e.squeeze(b, sum, [0]))], scanned: [e.square(b, at(final, 0))] };
    }),
  },
  {
    name: "an If in a Loop",
    inputs: [trips(4), null, x(2, 2)],
    captured: [x(2, 2), x(2, 2)],
    outputs: 1,
    bodies: body(({ b, i, s, v }) => {
      const then = b.body("then");
      const other = b.body("else");
      const bodies = {
        then_branch: then.returns([e.matmul(then, at(s, 0), at(v, 0))]),
        else_branch: other.returns([e.mul(other, e.tanh(other, at(s, 0)), at(v, 1))]),
      };
      const even = e.equal(b, b.op("Mod", [i, b.scalar(2, "int64")]), b.scalar(0, "int64"));
      return { next: [b.node("If", [even], {}, bodies, { types: [at(s, 0).type] }).output()] };
    }),
  },
  {
    name: "captures read at computed indices, along another axis",
    inputs: [trips(3), null, x(2)],
    captured: [x(2, 4), x(4, 2)],
    outputs: 2,
    bodies: body(({ b, i, s, v }) => {
      const index = b.op("Mod", [e.mul(b, i, b.scalar(2, "int64")), b.scalar(4, "int64")]);
      const column = b.op("Gather", [at(v, 0), index], { axis: { type: "int", value: 1n } });
      const rows = e.gather(b, at(v, 1), e.concat(b, [e.unsqueeze(b, index, [0]), b.int64s([3])], 0), 0);
      const next = e.mul(b, e.sin(b, at(s, 0)), e.add(b, column, e.reduceSum(b, rows, [0], false)));
      return { next: [next], scanned: [rows] };
    }),
  },
];
