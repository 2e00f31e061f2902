import { float, int, type Value } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import type { RuleBuilder } from "../../src/ops/rule.js";
import { array } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { checkCases } from "./check.js";
import { Inputs, differentiate, type Case, type Shapes } from "./check_derivatives.js";
import { uniform, type Uniform } from "./check_sample.js";

type Step = (b: RuleBuilder, x: Value, y: Value) => Value;

/** Smooth, and bounded for bounded inputs, so that any chain of them is. `y` broadcasts against `x` or is left alone. */
const steps: Record<string, Step> = {
  tanh: (b, x) => e.tanh(b, x),
  sine: (b, x) => b.op("Sin", [x]),
  gelu: (b, x) => b.op("Gelu", [x]),
  sigmoid: (b, x) => b.op("Sigmoid", [x]),
  softplus: (b, x) => b.op("Softplus", [x]),
  sum: (b, x, y) => e.add(b, x, y),
  difference: (b, x, y) => e.sub(b, x, y),
  product: (b, x, y) => e.mul(b, x, e.tanh(b, y)),
  square: (b, x) => e.tanh(b, e.mul(b, x, x)),
  quotient: (b, x, y) => e.div(b, x, e.shift(b, e.square(b, y), 1)),
  power: (b, x, y) => e.pow(b, e.shift(b, e.sigmoid(b, x), 0.5), e.tanh(b, y)),
  softmax: (b, x) => e.softmax(b, x, -1),
  centred: (b, x) => e.sub(b, x, e.reduceMean(b, x, [-1])),
  normalized: (b, x) => e.div(b, x, e.sqrt(b, e.shift(b, e.reduceSum(b, e.square(b, x), [0]), 1))),
  logSumExp: (b, x) => b.op("ReduceLogSumExp", [x, b.int64s([-1])]),
  attention: (b, x) => e.matmul(b, e.softmax(b, e.matmul(b, x, e.transposeLast(b, x)), -1), x),
  swapped: (b, x, y) => e.transposeLast(b, e.mul(b, e.transposeLast(b, x), e.transposeLast(b, e.tanh(b, y)))),
  rows: (b, x, y) => e.mul(b, x, e.gather(b, y, b.int64s([0]), 0)),
  joined: (b, x) => e.reduceMean(b, e.concat(b, [x, e.tanh(b, x)], 0), [0]),
  scaled: (b, x) => b.op("LeakyRelu", [e.shift(b, e.sigmoid(b, x), 0.1)], { alpha: float(0.3) }),
  accumulated: (b, x) => e.tanh(b, b.op("CumSum", [x, b.scalar(1, "int64")], { reverse: int(1) })),
};

/** Matrices that broadcast against each other in every way. */
const shapes = [
  [2, 3],
  [1, 3],
  [2, 1],
  [1, 1],
];

/** Eight random steps from four inputs; the outputs are the last value and one from the middle. */
function compose(seed: number, mode: Shapes): Case {
  const random = uniform(`composition ${seed}`);
  const b = newBuilder("composition");
  const inputs = new Inputs(b, "", mode);
  const xs = shapes.map((dims, i) =>
    inputs.add(
      `x${i}`,
      array(
        "float64",
        dims,
        Array.from({ length: dims[0]! * dims[1]! }, () => 2 * random() - 1),
      ),
    ),
  );
  const values = [...xs];
  const names: string[] = [];
  for (let i = 0; i < 8; i++) {
    const [name, step] = pick(random, Object.entries(steps));
    names.push(name);
    values.push(step(b, pick(random, values.slice(-3)), pick(random, values)));
  }
  const known = evaluate(b.graph, inputs.feeds);
  const outputs = [values[8]!, values.at(-1)!].map((v) => [v, known.get(v)!] as const);
  const label = `composition ${seed} (${names.join(", ")})${mode === "static" ? "" : `, ${mode} shapes`}`;
  return differentiate(label, inputs, xs, outputs, random);
}

const pick = <T>(random: Uniform, from: readonly T[]): T => from[Math.floor(random() * from.length)]!;

describe("derivatives of random compositions, to the second order", () => {
  it("agree with float64 differences, in both modes and with shapes unknown", () => {
    for (let seed = 0; seed < 40; seed++)
      checkCases((["static", "named", "erased"] as const).map((mode) => () => compose(seed, mode)));
  });
});
