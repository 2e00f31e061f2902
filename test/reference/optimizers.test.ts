import { expect } from "chai";
import { CurvSam, Sam } from "./ascents.js";
import { AdamW, Sgd, norm, total, zip, type Base, type Gradient, type Hvp, type Vectors } from "./optimizers.js";

const start: Vectors = [Float64Array.of(0.5, -1.25, 2), Float64Array.of(0.75)];

/** L = Σ w₀⁴/4 + Σ w₀·w₁ + w₁². */
const gradient: Gradient = ([w, u]) => [
  w!.map((x) => x ** 3 + u![0]!),
  Float64Array.of(w!.reduce((a, b) => a + b) + 2 * u![0]!),
];

const hvp: Hvp = ([w], [z, y]) => [
  w!.map((x, i) => 3 * x * x * z![i]! + y![0]!),
  Float64Array.of(z!.reduce((a, b) => a + b) + 2 * y![0]!),
];

const flat = (x: Vectors): number[] => x.flatMap((t) => Array.from(t));

function expectClose(got: Vectors, expected: readonly number[]): void {
  const numbers = flat(got);
  expect(numbers.length).to.equal(expected.length);
  numbers.forEach((x, i) => expect(x).to.be.closeTo(expected[i]!, 1e-13));
}

const run = (base: Base, steps: number): Vectors => {
  let w = start;
  for (let t = 0; t < steps; t++) w = base.step(w, gradient(w));
  return w;
};

/** What PyTorch 2's optimizers make of `start` in three float64 steps. */
describe("the reference optimizers, against PyTorch", () => {
  const cases: { name: string; base: Base; expected: number[] }[] = [
    {
      name: "SGD",
      base: new Sgd({ lr: 0.05 }),
      expected: [0.39165838877368464, -1.0883868075725098, 1.1950373565635588, 0.42753559832215315],
    },
    {
      name: "SGD with momentum, dampening and decay",
      base: new Sgd({ lr: 0.05, momentum: 0.9, dampening: 0.1, weightDecay: 0.02 }),
      expected: [0.2982656549927669, -0.9497110482829906, 0.37001619724135104, 0.15116176522101288],
    },
    {
      name: "SGD with Nesterov momentum",
      base: new Sgd({ lr: 0.05, momentum: 0.9, nesterov: true, weightDecay: 0.02 }),
      expected: [0.2442648126463555, -0.8333717663242409, 0.15966549355555557, 0.03964426699540042],
    },
    {
      name: "AdamW",
      base: new AdamW({ lr: 0.05, beta1: 0.8, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1 }),
      expected: [0.3443903136190315, -1.084256991534486, 1.8217919914538225, 0.5901332008492872],
    },
  ];
  for (const { name, base, expected } of cases) it(name, () => expectClose(run(base, 3), expected));
});

describe("the reference CurvSAM", () => {
  const signs: Vectors = [Float64Array.of(1, -1, 1), Float64Array.of(-1)];

  it("perturbs to εᵀDε = ρ², and refreshes h every F steps", () => {
    const o = new CurvSam(new Sgd({ lr: 0.01 }), { rho: 0.1, beta: 0.9, frequency: 2 });
    let w = start;
    const seen: Vectors[] = [];
    for (let t = 0; t < 4; t++) {
      w = o.step(w, gradient, hvp, () => signs);
      seen.push(o.curvature);
      expect(total(zip((e, d) => e * e * d, o.perturbation, o.scale))).to.be.closeTo(0.01, 1e-15);
    }
    // At w₀: z ⊙ Hz = (3x² + z₀y, …) and h₁ = 0.9 + 0.1 |z ⊙ Hz|.
    expectClose(seen[0]!, [
      0.9 + 0.1 * Math.abs(0.75 - 1),
      0.9 + 0.1 * Math.abs(4.6875 + 1),
      0.9 + 0.1 * (12 - 1),
      0.9 + 0.1 * 1,
    ]);
    expect(seen[1]).to.equal(seen[0]);
    expect(seen[2]).not.to.deep.equal(seen[1]);
  });

  it("is SAM where d = 1 everywhere", () => {
    const flatHvp: Hvp = (w) => w.map((t) => new Float64Array(t.length).fill(1));
    const ones: Vectors = start.map((t) => new Float64Array(t.length).fill(1));
    const curved = new CurvSam(new Sgd({ lr: 0.01 }), { rho: 0.1 });
    const sam = new Sam(new Sgd({ lr: 0.01 }), 0.1);
    expectClose(
      curved.step(start, gradient, flatHvp, () => ones),
      flat(sam.step(start, gradient)),
    );
    expect(norm(sam.perturbation)).to.be.closeTo(0.1, 1e-15);
  });

  it("keeps the Euclidean radius, and corrects a curvature that starts at zero", () => {
    const o = new CurvSam(new Sgd({ lr: 0.01 }), { rho: 0.1, radius: "euclidean", initial: "zero", frequency: 1 });
    o.step(start, gradient, hvp, () => signs);
    expect(norm(o.perturbation)).to.be.closeTo(0.1, 1e-15);
    expectClose(o.scale, [0.25, 5.6875, 11, 1].map(Math.sqrt));
  });

  it("skips a step whose gradient is not finite, and stays where the gradient is zero", () => {
    const o = new CurvSam(new Sgd({ lr: 0.01 }), { rho: 0.1 });
    expect(
      o.step(
        start,
        (w) => zip(() => NaN, w),
        hvp,
        () => signs,
      ),
    ).to.equal(start);
    expect(o.curvature).to.deep.equal([]);
    expectClose(
      o.step(
        start,
        (w) => zip(() => 0, w),
        hvp,
        () => signs,
      ),
      flat(start),
    );
    expect(norm(o.perturbation)).to.equal(0);
  });
});
