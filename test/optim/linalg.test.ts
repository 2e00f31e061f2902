import { expect } from "chai";
import { statSync } from "node:fs";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { newModel, tensorType, type Value } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import type { RuleBuilder } from "../../src/ops/rule.js";
import { computedIn, inverseRoot, rootSteps } from "../../src/optim/linalg.js";
import { simplify } from "../../src/passes/simplify.js";
import { serializeModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import type { DType } from "../../src/util/dtype.js";
import { array, type Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import { withSpectrum, geometric } from "../reference/linalg.js";
import { matmul } from "../reference/products.js";
import { runOnce } from "../support/ort.js";
import { temporaryFolder } from "../support/temp.js";

type Emit = (b: RuleBuilder, x: Value) => Value;

function graphOf(dtype: DType, dims: readonly number[], emit: Emit) {
  const b = newBuilder("root");
  b.output(emit(b, b.input("a", tensorType(dtype, dims))), "x");
  return b.graph;
}

async function onRuntime(a: Array64, emit: Emit): Promise<Array64> {
  const graph = graphOf(a.dtype, a.dims, emit);
  return must((await runOnce(serializeModel(newModel(graph)), { a }))["x"], "x");
}

const inFloat = (a: Array64, emit: Emit): Array64 => must(outputsOf(graphOf(a.dtype, a.dims, emit), { a })["x"], "x");

const stack = (dtype: DType, n: number, matrices: readonly Float64Array[]): Array64 =>
  array(
    dtype,
    [matrices.length, n, n],
    matrices.flatMap((m) => [...m]),
  );

/** max |Π − I| over the matrices of a stack, all of the dtype of the first. */
function departure(...factors: Array64[]): number {
  const product = factors.map((f) => array("float64", f.dims, f.data)).reduce((x, y) => matmul(x, y));
  const n = must(product.dims.at(-1), "a size");
  return product.data.reduce(
    (worst, v, i) => Math.max(worst, Math.abs(v - ((i % (n * n)) % (n + 1) === 0 ? 1 : 0))),
    0,
  );
}

describe("inverse roots by products of matrices", () => {
  const folder = temporaryFolder();
  for (const n of [2, 5, 48]) {
    it(`max|X²LX² − I| ≤ 1e-8 at condition 1e6 for n = ${n} with float64 iterations, and in the runtime`, async () => {
      const a = stack(
        "float64",
        n,
        [0, 1].map((seed) => withSpectrum(geometric(n, 1e6), seed)),
      );
      const x = await onRuntime(a, (b, v) => inverseRoot(b, v, 4, { floor: 1e-8 }));
      expect(departure(x, x, a, x, x)).to.be.below(1e-8);
      expect(departure(x, x, x, x, a)).to.be.below(1e-8);
    });

    it(`max|X²LX² − I| ≤ 1e-3 at condition 1e4 for n = ${n} in float32, and at 1e8 with the ridge in L`, async () => {
      const a = stack("float32", n, [withSpectrum(geometric(n, 1e4), 2)]);
      const bare = await onRuntime(a, (b, v) => inverseRoot(b, v, 4, { floor: 1e-4 }));
      expect(departure(bare, bare, a, bare, bare)).to.be.below(1e-3);
      const spectrum = geometric(n, 1e8);
      const bound = spectrum.reduce((s, x) => s + x ** 8, 0) ** (1 / 8);
      const shifted = stack("float64", n, [
        withSpectrum(
          spectrum.map((x) => x + 1e-4 * bound),
          3,
        ),
      ]);
      const x = await onRuntime(stack("float32", n, [withSpectrum(spectrum, 3)]), (b, v) =>
        inverseRoot(b, v, 4, { floor: 1e-4, ridge: b.scalar(1e-4) }),
      );
      expect(departure(x, x, shifted, x, x)).to.be.below(1e-3);
    });
  }

  it("equals the roots of an eigendecomposition for every order", () => {
    for (const p of [1, 2, 4, 8]) {
      const spectrum = geometric(6, 1e5);
      const a = stack("float64", 6, [withSpectrum(spectrum, 4)]);
      const want = withSpectrum(
        spectrum.map((s) => s ** (-1 / p)),
        4,
      );
      const got = inFloat(a, (b, v) => inverseRoot(b, v, p, { floor: 1e-9 }));
      const scale = Math.max(...want.map(Math.abs));
      got.data.forEach((v, i) => expect(v / scale, `order ${p}`).to.be.closeTo((want[i] ?? NaN) / scale, 1e-9));
    }
  });

  it("scales as the inverse root does, from 1e-30 to 1e30 in float32", async () => {
    const spectrum = geometric(4, 100);
    const scales = [1e-30, 1, 1e30];
    const a = stack(
      "float32",
      4,
      scales.map((s) =>
        withSpectrum(
          spectrum.map((x) => x * s),
          5,
        ),
      ),
    );
    const x = await onRuntime(a, (b, v) => inverseRoot(b, v, 4, { floor: 1e-4 }));
    scales.forEach((s, k) => {
      for (let i = 0; i < 16; i++) {
        const want = (x.data[16 + i] ?? NaN) * s ** -0.25;
        expect((x.data[16 * k + i] ?? NaN) / s ** -0.25).to.be.closeTo(want / s ** -0.25, 1e-4);
      }
    });
  });

  it("gives the identity for a zero matrix, x^(−1/p) for one element, and bounded roots where eigenvalues vanish", () => {
    const zero = inFloat(array("float64", [2, 2], [0, 0, 0, 0]), (b, v) => inverseRoot(b, v, 4, { floor: 1e-8 }));
    expect([...zero.data]).to.deep.equal([1, 0, 0, 1]);
    const one = inFloat(array("float64", [1, 1], [16]), (b, v) => inverseRoot(b, v, 4, { floor: 1e-8 }));
    expect(one.data[0]).to.be.closeTo(0.5, 1e-10);
    const singular = inFloat(stack("float64", 2, [withSpectrum([1, 0], 6)]), (b, v) =>
      inverseRoot(b, v, 4, { floor: 1e-8 }),
    );
    const trace = (singular.data[0] ?? NaN) + (singular.data[3] ?? NaN);
    expect(trace).to.be.within(10, 1 + 3 * 1e-8 ** -0.25);
  });

  it("leaves the runtime no identities to fold into constants", async () => {
    const n = 96;
    const graph = graphOf("float64", [n, n], (b, v) => inverseRoot(b, v, 1, { floor: 1e-10 }));
    simplify(graph);
    const file = join(folder.path, "optimized.onnx");
    const session = await InferenceSession.create(serializeModel(newModel(graph)), {
      ...{ graphOptimizationLevel: "extended", optimizedModelFilePath: file, logSeverityLevel: 3 },
    });
    await session.release();
    // The diagonal in bool, once; in float64 it would be eight times that in each of its steps.
    expect(statSync(file).size).to.be.below(serializeModel(newModel(graph)).length + 2 * n * n);
  });

  it("casts to float64 and back", async () => {
    const a = stack("float32", 3, [withSpectrum([1, 0.5, 1e-3], 7)]);
    const x = await onRuntime(a, (b, v) => computedIn(b, "float64", v, (d) => inverseRoot(b, d, 1, { floor: 1e-10 })));
    expect(x.dtype).to.equal("float32");
    expect(departure(x, a)).to.be.below(1e-4);
  });

  it("takes at most 15 steps to the floor of 1e-8 in float64, and 10 to that of 1e-4 in float32", () => {
    expect(rootSteps(4, 1e-8, 1e-12)).to.have.lengthOf.at.most(15);
    expect(rootSteps(4, 1e-4, 1e-6)).to.have.lengthOf.at.most(10);
    for (const p of [1, 2, 4]) {
      for (const x of [1e-8, 1e-5, 0.3, 1]) {
        const end = rootSteps(p, 1e-8, 1e-12).reduce((v, { a, c }) => v * (a * (1 - c * v)) ** p, x);
        expect(end, `order ${p} from ${x}`).to.be.closeTo(1, 1e-10);
      }
    }
  });
});
