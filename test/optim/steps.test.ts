import { expect } from "chai";
import { findSource } from "../../src/frontend/source.js";
import { compose } from "../../src/optim/compose.js";
import { must } from "../../src/util/assert.js";
import { array } from "../reference/array.js";
import { norm, type Vectors } from "../reference/optimizers.js";
import { rejects } from "../support/rejects.js";
import { Trainer, type Feeds } from "../support/trainer.js";
import { twoLayers } from "../support/two_layers.js";
import { wave, waves } from "../support/waves.js";

const source = findSource(twoLayers(), { loss: { kind: "mse" } });
const batch = (t: number): Feeds => waves(t);
/** Batch and probe of step t. */
const feeds = (trainer: Trainer, t: number): Feeds => ({
  ...batch(t),
  ...trainer.named(
    "z/",
    trainer.weights().map((w, k) => w.map((_, i) => 1.5 * Math.sin(5 * i + 3 * k + t))),
  ),
});
const close = (a: Vectors, b: Vectors): void => {
  a.forEach((x, k) => x.forEach((v, i) => expect(v).to.be.closeTo(b[k]?.[i] ?? NaN, 1e-10)));
};

describe("parameter groups", () => {
  it("have their own decay", () => {
    const group = (name: string): string => (name.endsWith("bias") ? "biases" : "default");
    const grouped = findSource(twoLayers(), { loss: { kind: "mse" }, group });
    const decay = { default: 0.5, biases: 0 };
    const trainer = new Trainer(grouped, compose("none", "sgd"), { lr: 0.1 }, { weight_decay: decay });
    const before = trainer.weights();
    const g = trainer.gradient(before, batch(0));
    trainer.run(0, batch(0));
    const expected = before.map((w, k) =>
      w.map((x, i) => x - 0.1 * ((g[k]?.[i] ?? NaN) + (trainer.names[k]?.endsWith("bias") ? 0 : 0.5) * x)),
    );
    close(trainer.weights(), expected);
  });
});

describe("a step that cannot be taken", () => {
  const optimizer = compose("curvsam", "adamw", { ascent: { frequency: 2 } });
  const poisoned = (value: number): Feeds => ({
    ...batch(0),
    x: wave([4, 3], (i) => (i === 4 ? value : Math.sin(1.3 * i))),
  });

  for (const value of [NaN, Infinity]) {
    it(`leaves everything as it was after an input of ${value}, and says so`, () => {
      const trainer = new Trainer(source, optimizer);
      trainer.run(0, feeds(trainer, 0));
      const before = { ...trainer.feeds };
      const out = trainer.run(2, { ...feeds(trainer, 2), ...poisoned(value) });
      expect(out["skipped"]?.data[0]).to.equal(1);
      for (const [name, x] of Object.entries(before))
        expect([...must(trainer.feeds[name], name).data], name).to.deep.equal([...x.data]);
      const next = trainer.run(2, feeds(trainer, 2));
      expect(next["skipped"]?.data[0]).to.equal(0);
      expect(trainer.feeds["state/step"]?.data[0]).to.equal(2);
    });
  }

  it("keeps the curvature where Hz is not finite, and goes on", () => {
    const trainer = new Trainer(source, optimizer);
    const curvature = (): Vectors => trainer.names.map((n) => must(trainer.feeds[`curvature/${n}`], n).data);
    const before = curvature();
    const probe = trainer.weights().map((w) => w.map((_, i) => (i === 1 ? Infinity : 1)));
    const out = trainer.run(0, { ...batch(0), ...trainer.named("z/", probe) });
    expect(out["skipped"]?.data[0]).to.equal(0);
    expect(curvature()).to.deep.equal(before);
    expect(trainer.feeds["state/step"]?.data[0]).to.equal(1);
  });

  for (const ascent of ["sam", "curvsam"]) {
    it(`${ascent}: a zero gradient gives ε = 0`, () => {
      const trainer = new Trainer(source, compose(ascent, "sgd"), { lr: 0.1 });
      const zero = trainer.weights().map((w) => w.map(() => 0));
      Object.assign(trainer.feeds, trainer.named("", zero));
      const out = trainer.run(0, { ...feeds(trainer, 0), labels: wave([4, 2], () => 0) });
      expect(out["grad_norm"]?.data[0]).to.equal(0);
      expect(out["perturbation_norm"]?.data[0]).to.equal(0);
      expect(out["skipped"]?.data[0]).to.equal(0);
      expect(norm(trainer.weights())).to.equal(0);
    });

    it(`${ascent}: a norm that overflows gives ε = 0 and a step is taken`, () => {
      const trainer = new Trainer(source, compose(ascent, "sgd"), { lr: 1e-300 });
      const weight = must(trainer.feeds["second.weight"], "second.weight");
      trainer.feeds["second.weight"] = array(
        "float32",
        weight.dims,
        weight.data.map((x) => 1e100 * x),
      );
      const out = trainer.run(0, feeds(trainer, 0));
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
