import { expect } from "chai";
import { Matrix, SingularValueDecomposition } from "ml-matrix";
import { asMatrix } from "../../src/curvature/kronecker.js";
import { findSource } from "../../src/frontend/source.js";
import { int, Node, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import { compose } from "../../src/optim/compose.js";
import { parameterInfos } from "../../src/pack/ports.js";
import { must } from "../../src/util/assert.js";
import { Rng } from "../../src/util/rng.js";
import { array, scalar, type Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import { dampedInverses, Kfac, type Rows } from "../reference/kfac.js";
import { Sam } from "../reference/ascents.js";
import { type Vectors } from "../reference/optimizers.js";
import { rejects } from "../support/rejects.js";
import { threeLayers, threeLayersBatch } from "../support/three_layers.js";
import { Trainer, type Feeds } from "../support/trainer.js";
import { twoLayers } from "../support/two_layers.js";
import { wave, waves } from "../support/waves.js";

const matrixOf = (x: Array64): Matrix => {
  const [rows = 1, columns = 1] = x.dims;
  return new Matrix(Array.from({ length: rows }, (_, i) => [...x.data.slice(i * columns, (i + 1) * columns)]));
};

const near = (got: ArrayLike<number>, want: ArrayLike<number>, tolerance: number, what = ""): void => {
  expect(got.length, what).to.equal(want.length);
  for (let i = 0; i < want.length; i++) expect(got[i], `${what} [${i}]`).to.be.closeTo(want[i] ?? NaN, tolerance);
};

/** The graphs hold their constants in float32: this is the factor between normal noise and the cotangent of a squared error. */
const rootOfTwo = Math.fround(Math.SQRT2);

/** One linear layer, y = x W (+ b). */
function oneLayer(inputs: number, outputs: number, bias: boolean): Graph {
  const b = newBuilder("one_layer");
  const parameter = (name: string, dims: number[]): Value => {
    const value = new Value(name, tensorType("float32", dims));
    const size = dims.reduce((n, d) => n * d, 1);
    b.graph.initializers.set(
      value,
      Tensor.of(
        "float32",
        dims,
        Array.from({ length: size }, (_, i) => Math.cos(3 * i)),
      ),
    );
    return value;
  };
  const x = b.input("x", tensorType("float32", ["batch", inputs]));
  const y = b.op("MatMul", [x, parameter("weight", [inputs, outputs])]);
  b.output(bias ? b.op("Add", [y, parameter("bias", [outputs])]) : y, "logits");
  return b.graph;
}

describe("K-FAC on one linear layer", () => {
  for (const bias of [false, true]) {
    it(`is the natural gradient, and one step solves least squares${bias ? ", the bias too" : ""}`, () => {
      const [rows, inputs, outputs] = [16, 5, 3];
      const source = findSource(oneLayer(inputs, outputs, bias), { loss: { kind: "mse" } });
      const optimizer = compose("none", "kfac", { base: { factors: 1, inverses: 1 } });
      const trainer = new Trainer(source, optimizer, { lr: 0, kfac_damping: 0 });
      const draw = (n: number, key: string): Float64Array => {
        const values = new Float64Array(n);
        new Rng(key).fillNormal(values);
        return values;
      };
      // Noise with NᵀN/B = I: orthonormal columns, times √B.
      const noise = new SingularValueDecomposition(
        matrixOf(array("float32", [rows, outputs], draw(rows * outputs, "n"))),
        {
          autoTranspose: true,
        },
      ).leftSingularVectors.mul((Math.sqrt(rows) * Math.SQRT2) / rootOfTwo);
      const batch: Feeds = {
        x: array("float32", [rows, inputs], draw(rows * inputs, "x")),
        labels: array("float32", [rows, outputs], draw(rows * outputs, "y")),
        "random/base_labels": array("float32", [rows, outputs], noise.to1DArray()),
      };
      trainer.run(0, batch);
      trainer.feeds["hyper/lr"] = scalar(1, "float32");
      trainer.run(1, batch);
      const x = matrixOf(must(batch["x"], "x"));
      const extended = bias ? x.clone().addColumn(inputs, Array<number>(rows).fill(1)) : x;
      const solution = new SingularValueDecomposition(extended)
        .solve(matrixOf(must(batch["labels"], "labels")))
        .to1DArray();
      near(
        trainer.weights().flatMap((v) => [...v]),
        solution,
        1e-8,
      );
      const residual = trainer.gradient(trainer.weights(), batch);
      expect(Math.max(...residual.flatMap((v) => [...v].map(Math.abs)))).to.be.below(1e-8);
    });
  }
});

/** Two layers by hand: y = tanh(x W₁ + b₁) W₂ + b₂, mean squared error; S from `cotangent` of the outputs. */
function measured(w: Vectors, x: Matrix, cotangent: (y: Matrix) => Matrix): Rows[] {
  const [w1, b1, w2, b2] = w as [Float64Array, Float64Array, Float64Array, Float64Array];
  const affine = (a: Matrix, weight: Float64Array, bias: Float64Array): Matrix => {
    const y = a.mmul(matrixOf(array("float32", [a.columns, bias.length], weight)));
    return y.addRowVector([...bias]);
  };
  const hidden = affine(x, w1, b1).apply(function (this: Matrix, i, j) {
    this.set(i, j, Math.tanh(this.get(i, j)));
  });
  const second = cotangent(affine(hidden, w2, b2));
  const back = second.mmul(matrixOf(array("float32", [4, 2], w2)).transpose());
  const first = Matrix.mul(back, Matrix.sub(Matrix.ones(hidden.rows, 4), Matrix.mul(hidden, hidden)));
  return [
    { a: x, s: first },
    { a: hidden, s: second },
  ];
}

describe("K-FAC in float64 against a reference by eigendecompositions", () => {
  const source = findSource(twoLayers("float32"), { loss: { kind: "mse" } });
  const batch = (t: number): Feeds => ({
    ...waves(t, 6),
    "random/base_labels": wave([6, 2], (i) => 1.4 * Math.sin(5 * i + 2 * t)),
  });
  for (const fisher of ["sampled", "empirical"] as const) {
    for (const ascent of ["none", "sam"]) {
      it(`${ascent} with the ${fisher} Fisher`, () => {
        const hyper = { lr: 0.05, momentum: 0.8, weight_decay: 0.1, kfac_damping: 0.01, kfac_decay: 0.7, rho: 0.1 };
        const schedule = { factors: 2, inverses: 3, start: 1 };
        const optimizer = compose(ascent, "kfac", { base: { fisher, momentum: 0.8, ...schedule } });
        const trainer = new Trainer(source, optimizer, hyper);
        const base = new Kfac({ lr: 0.05, momentum: 0.8, weightDecay: 0.1, damping: 0.01, decay: 0.7, ...schedule });
        const sam = new Sam(base, 0.1);
        base.examples = 12;
        let w: Vectors = trainer.weights();
        for (let t = 0; t < 10; t++) {
          const feeds = batch(t);
          const x = matrixOf(must(feeds["x"], "x"));
          // Factors are those of the point where the descent gradient was taken: the last one that is asked for.
          const gradient = (at: Vectors): Vectors => {
            base.rows = measured(at, x, (y) =>
              fisher === "empirical"
                ? Matrix.sub(y, matrixOf(must(feeds["labels"], "labels"))).mul(2 / 12)
                : matrixOf(must(feeds["random/base_labels"], "noise")).mul(rootOfTwo / 12),
            );
            return trainer.gradient(at, feeds);
          };
          w = ascent === "sam" ? sam.step(w, gradient) : base.step(w, gradient(w));
          trainer.run(t, feeds);
          trainer.weights().forEach((v, k) => {
            near(v, must(w[k], "weights"), 1e-8, `step ${t}`);
          });
        }
      });
    }
  }
});

describe("K-FAC on layers of every kind", () => {
  const source = findSource(threeLayers(), { loss: { kind: "mse" } });
  const batch = (t: number): Feeds => threeLayersBatch(t, (i) => (i * i + t) % 5);
  const layers = [...parameterInfos(source).values()].flatMap(({ name, layer }) =>
    layer?.weight === name ? [layer] : [],
  );

  for (const others of ["sgd", "adamw"]) {
    it(`moves each by A⁻¹ ∇W S⁻¹ under its own factors, and the others by ${others}`, () => {
      const optimizer = compose("none", "kfac", { base: { fisher: "empirical", factors: 1, inverses: 1, others } });
      const trainer = new Trainer(source, optimizer, {
        lr: 0.01,
        kfac_damping: 0.02,
        others_lr: 0.003,
        weight_decay: 0,
      });
      trainer.run(0, batch(0));
      const before = { ...trainer.feeds };
      const c = must(before["state/kfac_c"], "c").data[0] ?? NaN;
      const gradients = trainer.gradient(trainer.weights(), batch(1));
      const gradientOf = (name: string): Array64 =>
        array("float32", must(before[name], name).dims, must(gradients[trainer.names.indexOf(name)], name));
      trainer.run(1, batch(1));
      const change = (name: string): Array64 => {
        const [old, now] = [must(before[name], name), must(trainer.feeds[name], name)];
        return array(
          "float32",
          old.dims,
          old.data.map((v, i) => (v - (now.data[i] ?? NaN)) / 0.01),
        );
      };
      for (const layer of layers) {
        const { weight, bias } = layer;
        const b = newBuilder("matrix");
        const input = (name: string, x: Array64): Value => b.input(name, tensorType("float32", x.dims));
        const [g, gb] = [gradientOf(weight), bias === null ? null : gradientOf(bias)];
        b.output(asMatrix(b, layer, input("w", g), gb && input("b", gb)), "matrix");
        const asRows = (w: Array64, bias: Array64 | null): Matrix =>
          matrixOf(must(outputsOf(b.graph, { w, ...(bias && { b: bias }) })["matrix"], weight));
        const a = must(before[`kfac_a/${weight}`], weight);
        const factor = layer.kind === "embedding" ? Matrix.diag([...a.data]) : matrixOf(a);
        const s = matrixOf(must(before[`kfac_s/${weight}`], weight));
        const [left, right] = dampedInverses(factor.div(c), s.div(c), 0.02);
        const want = left.mmul(asRows(g, gb)).mmul(right);
        const got = asRows(change(weight), bias === null ? null : change(bias));
        near(got.to1DArray(), want.to1DArray(), 1e-8, weight);
        expect(Matrix.sub(want, asRows(g, gb)).norm()).to.be.above(0.01);
      }
      for (const name of ["gain", "tied.weight"]) {
        if (others === "sgd") near(change(name).data, gradientOf(name).data, 1e-9, name);
        else for (const v of change(name).data) expect(Math.abs(v)).to.be.within(1e-4, 0.33);
      }
    });
  }

  it("keeps state for the parameters that have need of it, and none beyond the limit", () => {
    const kinds = (o: object): Record<string, string[]> => {
      const { state } = compose("none", "kfac", { base: { momentum: 0.9, others: "adamw", ...o } });
      const infos = [...parameterInfos(source).values()];
      return Object.fromEntries(
        state.tensors.map((t) => [t.kind, infos.filter((p) => (t.shape ? t.shape(p) : p.shape)).map((p) => p.name)]),
      );
    };
    const all = kinds({});
    expect(all["kfac_a"]).to.deep.equal(["table.weight", "conv.weight", "dense.weight", "head.weight"]);
    expect(all["adam_m"]).to.deep.equal(["tied.weight", "gain"]);
    expect(all["momentum"]).to.have.lengthOf(7);
    const few = kinds({ limit: 13 });
    expect(few["kfac_a"]).to.deep.equal(["table.weight", "conv.weight", "head.weight"]);
    expect(few["adam_m"]).to.deep.equal(["tied.weight", "dense.weight", "dense.bias", "gain"]);
  });

  it("keeps factors and inverses where a gradient is not finite or all are zero", () => {
    const optimizer = compose("none", "kfac", { base: { fisher: "empirical", factors: 1, inverses: 1 } });
    const trainer = new Trainer(source, optimizer, { lr: 0.1 });
    const zero = { ...batch(0), labels: array("float32", [4, 2], new Float64Array(8)) };
    trainer.names.forEach((n) => {
      const { dims, data } = must(trainer.feeds[n], n);
      trainer.feeds[n] = array(
        "float32",
        dims,
        data.map(() => 0),
      );
    });
    for (let t = 0; t < 3; t++) {
      trainer.run(t, zero);
      for (const [name, x] of Object.entries(trainer.feeds))
        expect([...x.data].every(Number.isFinite), name).to.equal(true);
    }
    expect(Math.max(...trainer.weights().flatMap((x) => [...x].map(Math.abs)))).to.equal(0);
    const before = { ...trainer.feeds };
    const out = trainer.run(3, { ...batch(1), labels: array("float32", [4, 2], [1, 2, NaN, 4, 5, 6, 7, 8]) });
    expect(out["skipped"]?.data[0]).to.equal(1);
    for (const name of Object.keys(before).filter((n) => !n.startsWith("kfac_inverse"))) {
      near(must(trainer.feeds[name], name).data, must(before[name], name).data, 0, name);
    }
  });

  it("says what to do where no labels can be drawn", async () => {
    const graph = twoLayers();
    const loss = new Value("loss", tensorType("float32", []));
    graph.nodes.push(new Node("ReduceSumSquare", [must(graph.outputs[0], "logits")], [loss], { keepdims: int(0) }));
    graph.outputs.push(loss);
    const own = findSource(graph, { loss: { kind: "output", output: "loss" } });
    const x = array("float32", [2, 3], [1, 2, 3, 4, 5, 6]);
    await rejects(
      () => new Trainer(own, compose("none", "kfac")).run(0, { x }),
      "kfac: the model computes its own loss",
      'fisher to "empirical"',
    );
    new Trainer(own, compose("none", "kfac", { base: { fisher: "empirical" } })).run(0, { x });
  });
});
