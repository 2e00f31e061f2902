import { int, ints, type Value } from "../ir/graph.js";
import * as e from "./emit.js";
import type { RuleBuilder, Sample, SampleInput } from "./rule.js";

const x = (...shape: number[]): SampleInput => ({ shape });

/** A body over the types of its inputs. */
const body =
  (
    types: readonly (readonly number[])[],
    make: (b: RuleBuilder, s: readonly Value[], captured: readonly Value[]) => readonly Value[],
  ): NonNullable<Sample["bodies"]> =>
  (b, captured, inputs) => {
    const inner = b.body("body");
    const dtype = (inputs[0] as Value).dtype;
    const s = types.map((shape) => inner.parameter("s", { kind: "tensor", dtype, shape }));
    return { body: inner.returns(make(inner, s, captured)) };
  };

const at = (v: readonly Value[], k: number): Value => v[k] as Value;

export const scanSamples: readonly Sample[] = [
  {
    name: "a recurrent cell",
    inputs: [x(2, 2), x(3, 2, 2)],
    captured: [x(2, 2)],
    attributes: { num_scan_inputs: int(1) },
    outputs: 2,
    bodies: body(
      [
        [2, 2],
        [2, 2],
      ],
      (b, s, v) => {
        const next = e.tanh(b, e.add(b, e.matmul(b, at(s, 0), at(v, 0)), at(s, 1)));
        return [next, e.square(b, next)];
      },
    ),
  },
  {
    name: "axes and directions, without a carry",
    inputs: [x(2, 3), x(3, 2)],
    attributes: {
      num_scan_inputs: int(2),
      scan_input_axes: ints([1, 0]),
      scan_input_directions: ints([0, 1]),
      scan_output_axes: ints([-1, 0]),
      scan_output_directions: ints([1, 0]),
    },
    outputs: 2,
    bodies: body([[2], [2]], (b, s) => [e.mul(b, e.sin(b, at(s, 0)), at(s, 1)), e.exp(b, at(s, 1))]),
  },
  {
    name: "two carries, both directions",
    inputs: [x(2), x(2), x(3, 2), x(3, 2)],
    attributes: {
      num_scan_inputs: int(2),
      scan_input_directions: ints([1, 0]),
      scan_output_directions: ints([1]),
    },
    outputs: 3,
    bodies: body([[2], [2], [2], [2]], (b, s) => [
      e.mul(b, at(s, 1), e.sin(b, at(s, 2))),
      e.add(b, at(s, 0), e.square(b, at(s, 3))),
      e.mul(b, at(s, 0), at(s, 3)),
    ]),
  },
];
