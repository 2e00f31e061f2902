import { int, type Value } from "../ir/graph.js";
import * as e from "./emit.js";
import type { RuleBuilder, Sample, SampleInput } from "./rule.js";

const bool = (value: number): SampleInput => ({ shape: [], dtype: "bool", values: [value] });
const x = (...shape: number[]): SampleInput => ({ shape });

type Branch = (b: RuleBuilder, v: readonly Value[]) => readonly Value[];

/** Both branches, over the same captures. */
const branches =
  (yes: Branch, no: Branch): NonNullable<Sample["bodies"]> =>
  (b, captured) => {
    const make = (name: string, branch: Branch) => {
      const inner = b.body(name);
      return inner.returns(branch(inner, captured));
    };
    return { then_branch: make("then", yes), else_branch: make("else", no) };
  };

const at = (v: readonly Value[], i: number): Value => v[i] as Value;

/** Each branch is taken once: the other one reads other captures, or none. */
const once = (name: string, sample: Omit<Sample, "inputs" | "name">): Sample[] =>
  [1, 0].map((taken) => ({ name: `${name}, ${taken ? "then" : "else"}`, inputs: [bool(taken)], ...sample }));

export const ifSamples: readonly Sample[] = [
  ...once("different captures", {
    captured: [x(2, 3), x(2, 3), x(2, 3)],
    bodies: branches(
      (b, v) => [e.mul(b, at(v, 0), e.tanh(b, at(v, 1)))],
      (b, v) => [e.mul(b, at(v, 2), e.mul(b, at(v, 0), at(v, 2)))],
    ),
  }),
  ...once("two outputs, one passed through, one constant", {
    captured: [x(3), x()],
    outputs: 2,
    bodies: branches(
      (b, v) => [at(v, 0), e.mul(b, e.sin(b, at(v, 0)), at(v, 1))],
      (b, v) => [e.fullLike(b, 2, at(v, 0)), e.square(b, at(v, 0))],
    ),
  }),
  ...once("broadcast captures", {
    captured: [x(2, 1), x(3)],
    bodies: branches(
      (b, v) => [e.mul(b, at(v, 0), e.exp(b, at(v, 1)))],
      (b, v) => [e.add(b, e.square(b, at(v, 0)), at(v, 1))],
    ),
  }),
  ...once("an integer beside", {
    captured: [x(2, 3)],
    outputs: 2,
    bodies: branches(
      (b, v) => [e.shapeOf(b, at(v, 0)), e.tanh(b, at(v, 0))],
      (b, v) => [b.int64s([7, 7]), e.mul(b, at(v, 0), at(v, 0))],
    ),
  }),
  {
    name: "an If in an If",
    inputs: [bool(1)],
    captured: [x(2, 2), bool(0), x(2, 2)],
    bodies: branches(
      (b, v) => {
        const nested = branches(
          (inner, w) => [e.tanh(inner, at(w, 0))],
          (inner, w) => [e.mul(inner, at(w, 0), e.square(inner, at(w, 1)))],
        )(b, [e.square(b, at(v, 0)), at(v, 2)], []);
        return [b.node("If", [at(v, 1)], {}, nested, { types: [at(v, 0).type] }).output()];
      },
      (b, v) => [b.op("Softmax", [at(v, 0)], { axis: int(-1) })],
    ),
  },
];
