import { expect } from "chai";
import { findSource } from "../../src/frontend/source.js";
import type { Graph } from "../../src/ir/graph.js";
import { compose, type Optimizer } from "../../src/optim/compose.js";
import { gradientGraph } from "../../src/pack/phases.js";
import type { Recipe } from "../../src/pack/ports.js";
import { stepGraph } from "../../src/pack/step.js";
import { variantsOf } from "../../src/pack/variants.js";
import { must } from "../../src/util/assert.js";
import { array, scalar as typedScalar, type Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import { AdamW, CurvSam, norm, Sam, Sgd, type Base, type Vectors } from "../reference/optimizers.js";
import { rejects } from "../support/rejects.js";
import { twoLayers } from "../support/two_layers.js";

const scalar = (x: number): Array64 => typedScalar(x, "float32");

type Feeds = Record<string, Array64>;

/** A network whose float32 tensors the evaluator computes in float64, its step graphs under an optimizer, and the state that goes round. */
class Trainer {
  readonly recipe: Recipe;
  readonly names: string[];
  readonly feeds: Feeds = {};
  private readonly graphs = new Map<string, Graph>();
  private readonly derivatives: Graph;

  constructor(
    readonly optimizer: Optimizer,
    hyper: Record<string, number>,
    decayOfBiases?: number,
  ) {
    const group = (name: string): string =>
      decayOfBiases !== undefined && name.endsWith("bias") ? "biases" : "default";
    const source = findSource(twoLayers("float32"), { loss: { kind: "mse" }, group });
    this.recipe = { source, optimizer, groupedHyper: new Set(decayOfBiases === undefined ? [] : ["weight_decay"]) };
    this.names = source.parameters.map((p) => p.name);
    for (const p of source.parameters) {
      const tensor = must(source.graph.initializers.get(p.value), p.name);
      this.feeds[p.name] = array("float32", tensor.dims, tensor.numbers());
      for (const t of optimizer.state.tensors) {
        this.feeds[`${t.kind}/${p.name}`] = array(
          "float32",
          tensor.dims,
          tensor.numbers().map(() => t.fill),
        );
      }
    }
    this.feeds["state/step"] = scalar(0);
    for (const s of optimizer.state.scalars) this.feeds[`state/${s.name}`] = scalar(s.fill);
    for (const h of optimizer.hyper) this.feeds[`hyper/${h.name}`] = scalar(hyper[h.name] ?? h.default);
    this.feeds["hyper/weight_decay/default"] = scalar(hyper["weight_decay"] ?? 0);
    this.feeds["hyper/weight_decay/biases"] = scalar(decayOfBiases ?? 0);
    this.derivatives = gradientGraph({ ...this.recipe, optimizer: compose("curvsam", "sgd") }, "ascent");
  }

  batch(t: number): Feeds {
    return {
      x: array(
        "float32",
        [4, 3],
        Array.from({ length: 12 }, (_, i) => Math.sin(1.3 * i + t)),
      ),
      labels: array(
        "float32",
        [4, 2],
        Array.from({ length: 8 }, (_, i) => Math.cos(0.7 * i - t)),
      ),
    };
  }

  probe(t: number): Vectors {
    return this.weights().map((w, k) => w.map((_, i) => 1.5 * Math.sin(5 * i + 3 * k + t)));
  }

  weights(prefix = ""): Float64Array[] {
    return this.names.map((n) => must(this.feeds[prefix + n], n).data);
  }

  private named(prefix: string, values: Vectors): Feeds {
    return Object.fromEntries(
      this.names.map((n, k) => [prefix + n, array("float32", must(this.feeds[n], n).dims, must(values[k], n))]),
    );
  }

  gradient(t: number, w: Vectors): Float64Array[] {
    return this.derive(t, w, w, "grad/");
  }

  hvp(t: number, w: Vectors, z: Vectors): Float64Array[] {
    return this.derive(t, w, z, "hvp/");
  }

  private derive(t: number, w: Vectors, z: Vectors, kind: string): Float64Array[] {
    const out = outputsOf(this.derivatives, {
      ...this.feeds,
      ...this.batch(t),
      ...this.named("", w),
      ...this.named("z/", z),
    });
    return this.names.map((n) => must(out[kind + n], n).data);
  }

  /** One fused step; returns its outputs. */
  run(t: number, batch: Feeds = this.batch(t), probe: Vectors = this.probe(t)): Record<string, Array64> {
    const variant = must(
      variantsOf(this.optimizer).find(({ every }) => t % every === 0),
      `a variant for step ${t}`,
    );
    const graph = this.graphs.get(variant.name) ?? stepGraph(this.recipe, variant);
    this.graphs.set(variant.name, graph);
    const out = outputsOf(graph, { ...this.feeds, ...batch, ...this.named("z/", probe) });
    for (const [name, x] of Object.entries(out)) if (name.startsWith("next/")) this.feeds[name.slice(5)] = x;
    return out;
  }
}

const close = (a: Vectors, b: Vectors, tolerance = 1e-10): void => {
  a.forEach((x, k) => x.forEach((v, i) => expect(v).to.be.closeTo(b[k]?.[i] ?? NaN, tolerance)));
};

const sgd = (o: Record<string, unknown>, hyper: Record<string, number>) => ({
  options: o,
  hyper,
  reference: (): Base =>
    new Sgd({
      lr: hyper["lr"] ?? 0,
      momentum: hyper["momentum"] ?? 0,
      dampening: hyper["dampening"] ?? 0,
      nesterov: o["nesterov"] === true,
      decoupled: o["decoupled"] === true,
      weightDecay: hyper["weight_decay"] ?? 0,
    }),
});

const adamHyper = { lr: 0.01, beta1: 0.85, beta2: 0.95, eps: 1e-6, weight_decay: 0.1 };
const bases = [
  { name: "sgd", ...sgd({}, { lr: 0.1 }) },
  { name: "sgd", ...sgd({}, { lr: 0.1, weight_decay: 0.05 }) },
  { name: "sgd", ...sgd({}, { lr: 0.1, momentum: 0.8, dampening: 0.3, weight_decay: 0.05 }) },
  { name: "sgd", ...sgd({ nesterov: true }, { lr: 0.1, momentum: 0.8 }) },
  { name: "sgd", ...sgd({ decoupled: true }, { lr: 0.1, momentum: 0.8, weight_decay: 0.1 }) },
  {
    name: "adamw",
    options: {},
    hyper: adamHyper,
    reference: (): Base => new AdamW({ lr: 0.01, beta1: 0.85, beta2: 0.95, epsilon: 1e-6, weightDecay: 0.1 }),
  },
];

describe("steps in float64 against references written from the papers", () => {
  for (const base of bases) {
    for (const ascent of ["none", "sam", "curvsam"]) {
      it(`${ascent} with ${base.name} ${JSON.stringify({ ...base.options, ...base.hyper })}`, () => {
        const hyper = { rho: 0.1, beta: 0.8, delta: 0.3, ...base.hyper };
        const optimizer = compose(ascent, base.name, {
          ascent: ascent === "curvsam" ? { frequency: 3 } : {},
          base: { ...base.options, ...base.hyper },
        });
        const trainer = new Trainer(optimizer, hyper);
        let w: Vectors = trainer.weights();
        const reference = base.reference();
        const sam = new Sam(reference, hyper.rho);
        const curvsam = new CurvSam(reference, { ...hyper, frequency: 3 });
        for (let t = 0; t < 10; t++) {
          const gradient = (at: Vectors): Vectors => trainer.gradient(t, at);
          const hvp = (at: Vectors, z: Vectors): Vectors => trainer.hvp(t, at, z);
          if (ascent === "none") w = reference.step(w, gradient(w));
          else if (ascent === "sam") w = sam.step(w, gradient);
          else w = curvsam.step(w, gradient, hvp, () => trainer.probe(t));
          const out = trainer.run(t);
          close(trainer.weights(), w);
          if (ascent === "curvsam") close(trainer.weights("curvature/"), curvsam.curvature);
          if (ascent !== "none") {
            const point = ascent === "sam" ? sam.perturbation : curvsam.perturbation;
            expect(out["perturbation_norm"]?.data[0]).to.be.closeTo(norm(point), 1e-12);
          }
        }
        expect(trainer.feeds["state/step"]?.data[0]).to.equal(10);
      });
    }
  }

  it("gives every group its own decay", () => {
    const trainer = new Trainer(compose("none", "sgd"), { lr: 0.1, weight_decay: 0.5 }, 0);
    const before = trainer.weights();
    const g = trainer.gradient(0, before);
    trainer.run(0);
    const expected = before.map((w, k) =>
      w.map((x, i) => x - 0.1 * ((g[k]?.[i] ?? NaN) + (trainer.names[k]?.endsWith("bias") ? 0 : 0.5) * x)),
    );
    close(trainer.weights(), expected);
  });
});

describe("a step that cannot be taken", () => {
  const optimizer = compose("curvsam", "adamw", { ascent: { frequency: 2 } });
  const batchWith = (trainer: Trainer, value: number): Feeds => {
    const { x, labels } = trainer.batch(0) as { x: Array64; labels: Array64 };
    return {
      x: array(
        "float32",
        x.dims,
        x.data.map((v, i) => (i === 4 ? value : v)),
      ),
      labels,
    };
  };

  for (const value of [NaN, Infinity]) {
    it(`leaves everything as it was after an input of ${value}, and says so`, () => {
      const trainer = new Trainer(optimizer, {});
      trainer.run(0);
      const before = { ...trainer.feeds };
      const out = trainer.run(2, batchWith(trainer, value));
      expect(out["skipped"]?.data[0]).to.equal(1);
      for (const [name, x] of Object.entries(before))
        expect([...must(trainer.feeds[name], name).data], name).to.deep.equal([...x.data]);
      const next = trainer.run(2);
      expect(next["skipped"]?.data[0]).to.equal(0);
      expect(trainer.feeds["state/step"]?.data[0]).to.equal(2);
    });
  }

  it("keeps the curvature where Hz is not finite, and goes on", () => {
    const trainer = new Trainer(optimizer, {});
    const before = trainer.weights("curvature/");
    const out = trainer.run(
      0,
      trainer.batch(0),
      trainer.probe(0).map((z) => z.map((v, i) => (i === 1 ? Infinity : v))),
    );
    expect(out["skipped"]?.data[0]).to.equal(0);
    close(trainer.weights("curvature/"), before, 0);
    expect(trainer.feeds["state/step"]?.data[0]).to.equal(1);
  });

  for (const ascent of ["sam", "curvsam"]) {
    it(`${ascent}: a zero gradient gives ε = 0`, () => {
      const trainer = new Trainer(compose(ascent, "sgd"), { lr: 0.1 });
      const zero = trainer.names.map((n) => must(trainer.feeds[n], n));
      trainer.names.forEach(
        (n, k) =>
          (trainer.feeds[n] = array(
            "float32",
            must(zero[k], n).dims,
            must(zero[k], n).data.map(() => 0),
          )),
      );
      const batch = { ...trainer.batch(0), labels: array("float32", [4, 2], new Float64Array(8)) };
      const out = trainer.run(0, batch);
      expect(out["grad_norm"]?.data[0]).to.equal(0);
      expect(out["perturbation_norm"]?.data[0]).to.equal(0);
      expect(out["skipped"]?.data[0]).to.equal(0);
      expect(norm(trainer.weights())).to.equal(0);
    });

    it(`${ascent}: a norm that overflows gives ε = 0 and a step is taken`, () => {
      const trainer = new Trainer(compose(ascent, "sgd"), { lr: 1e-300 });
      const weight = must(trainer.feeds["second.weight"], "second.weight");
      trainer.feeds["second.weight"] = array(
        "float32",
        weight.dims,
        weight.data.map((x) => 1e100 * x),
      );
      const out = trainer.run(0);
      expect(out["loss"]?.data[0]).to.be.below(Infinity);
      expect(out["grad_norm"]?.data[0]).to.equal(Infinity);
      expect(out["perturbation_norm"]?.data[0]).to.equal(0);
      expect(out["skipped"]?.data[0]).to.equal(0);
    });
  }
});

describe("the choice of an optimizer", () => {
  it("names what there is where something is not", async () => {
    await rejects(() => compose("sharp", "sgd"), 'no optimizer is called "sharp"', "none, sam, asam, curvsam");
    await rejects(() => compose("sam", "sdg"), 'no base optimizer is called "sdg"', "sgd, adamw");
    await rejects(() => compose("curvsam", "sgd", { ascent: { frequency: 0 } }), "curvsam: frequency");
    await rejects(() => compose("sam", "sgd", { ascent: { frequency: 3 } }), "sam: option");
    await rejects(() => compose("none", "sgd", { base: { nesterov: true } }), "nesterov needs momentum");
  });
});
