import { expect } from "chai";
import { findSource } from "../../src/frontend/source.js";
import { compose } from "../../src/optim/compose.js";
import { must } from "../../src/util/assert.js";
import { array } from "../reference/array.js";
import { Sam } from "../reference/ascents.js";
import { type Vectors } from "../reference/optimizers.js";
import { Shampoo, type ShampooOptions } from "../reference/shampoo.js";
import { rejects } from "../support/rejects.js";
import { threeLayers, threeLayersBatch } from "../support/three_layers.js";
import { Trainer, type Feeds } from "../support/trainer.js";

const source = findSource(threeLayers(), { loss: { kind: "mse" } });

const batch = (t: number): Feeds => threeLayersBatch(t, (i) => (i * i + 3 * t) % 7);

const near = (got: Vectors, want: Vectors, tolerance: number, what: string): void =>
  got.forEach((x, k) => x.forEach((v, i) => expect(v, what).to.be.closeTo(want[k]?.[i] ?? NaN, tolerance)));

const hyper = { lr: 0.05, weight_decay: 0.1, momentum: 0.8, shampoo_eps: 1e-6, shampoo_ridge: 1e-5 };
const reference = (o: Partial<ShampooOptions>, shapes: readonly (readonly number[])[]): Shampoo =>
  new Shampoo(
    {
      lr: 0.05,
      weightDecay: 0.1,
      epsilon: 1e-6,
      ridge: 1e-5,
      block: 5,
      grafting: "sgd",
      statistics: 1,
      roots: 2,
      start: 1,
      ...o,
    },
    shapes,
  );

const cases = [
  { ascents: ["none"], options: { grafting: "none" }, hyper: {}, reference: { grafting: "none" } },
  {
    ascents: ["none", "sam"],
    options: { grafting: "sgd", momentum: 0.8 },
    hyper: {},
    reference: { grafting: "sgd", momentum: 0.8 },
  },
  {
    ascents: ["sam"],
    options: { grafting: "sgd", momentum: 0.8, nesterov: true, statistics: 3, block: 192 },
    hyper: { shampoo_decay: 0.9 },
    reference: { momentum: 0.8, nesterov: true, statistics: 3, block: 192, decay: 0.9 },
  },
  { ascents: ["none"], options: { grafting: "adam", start: 3 }, hyper: {}, reference: { grafting: "adam", start: 3 } },
] as const;

describe("Shampoo in float64 against a reference by eigendecompositions", () => {
  for (const c of cases) {
    for (const ascent of c.ascents) {
      it(`${ascent} with ${JSON.stringify(c.options)} ${JSON.stringify(c.hyper)}`, () => {
        const optimizer = compose(ascent, "shampoo", {
          base: { block: 5, statistics: 1, roots: 2, start: 1, ...c.options },
        });
        const trainer = new Trainer(source, optimizer, { ...hyper, rho: 0.1, ...c.hyper });
        const base = reference(c.reference, trainer.shapes());
        const sam = new Sam(base, 0.1);
        let w: Vectors = trainer.weights();
        for (let t = 0; t < 10; t++) {
          const gradient = (at: Vectors): Vectors => trainer.gradient(at, batch(t));
          w = ascent === "sam" ? sam.step(w, gradient) : base.step(w, gradient(w));
          trainer.run(t, batch(t));
          near(trainer.weights(), w, 1e-8, `step ${t}`);
        }
      });
    }
  }

  it("moves otherwise than SGD: the roots matter", () => {
    const run = (base: string): Vectors => {
      const options = base === "shampoo" ? { block: 5, statistics: 1, roots: 1, start: 1 } : {};
      const trainer = new Trainer(source, compose("none", base, { base: options }), { lr: 0.05 });
      for (let t = 0; t < 4; t++) trainer.run(t, batch(t));
      return trainer.weights();
    };
    const [a, b] = [run("shampoo"), run("sgd")];
    const [x = new Float64Array(), y = new Float64Array()] = [a[2], b[2]];
    expect(Math.max(...x.map((v, i) => Math.abs(v - (y[i] ?? NaN))))).to.be.above(1e-3);
  });
});

describe("Shampoo's state", () => {
  it("holds a matrix for each side of each block, none for vectors, and starts its roots from the identity", () => {
    const optimizer = compose("none", "shampoo", { base: { block: 5 } });
    const shape = (kind: string, dims: number[]): readonly number[] | null => {
      const state = must(
        optimizer.state.tensors.find((t) => t.kind === kind),
        kind,
      );
      return must(state.shape, kind)({ name: "w", shape: dims, group: "default", role: null, layer: null });
    };
    expect(shape("shampoo_l", [7, 12])).to.deep.equal([6, 4, 4]);
    expect(shape("shampoo_pr", [7, 12])).to.deep.equal([6, 4, 4]);
    expect(shape("shampoo_l", [3, 2, 2, 2])).to.deep.equal([2, 3, 3]);
    expect(shape("shampoo_r", [3, 2, 2, 2])).to.deep.equal([2, 4, 4]);
    for (const vector of [[], [1], [9], [1, 9], [9, 1, 1]]) expect(shape("shampoo_l", vector)).to.equal(null);
    expect(optimizer.state.tensors.find((t) => t.kind === "shampoo_pl")?.identity).to.equal(true);
  });

  it("stays where a step is skipped, and a zero gradient moves nothing", () => {
    const optimizer = compose("none", "shampoo", { base: { statistics: 1, roots: 1, start: 1 } });
    const trainer = new Trainer(source, optimizer, { lr: 0.1 });
    trainer.run(0, batch(0));
    const before = { ...trainer.feeds };
    const poisoned = { ...batch(1), labels: array("float32", [4, 2], [1, 2, NaN, 4, 5, 6, 7, 8]) };
    const out = trainer.run(1, poisoned);
    expect(out["skipped"]?.data[0]).to.equal(1);
    for (const name of Object.keys(before).filter((n) => !n.startsWith("shampoo_p"))) {
      expect([...must(trainer.feeds[name], name).data], name).to.deep.equal([...must(before[name], name).data]);
    }
    trainer.names.forEach((n) => {
      const { dims, data } = must(trainer.feeds[n], n);
      trainer.feeds[n] = array(
        "float32",
        dims,
        data.map(() => 0),
      );
    });
    trainer.run(1, { ...batch(1), labels: array("float32", [4, 2], new Float64Array(8)) });
    expect(Math.max(...trainer.weights().flatMap((x) => [...x].map(Math.abs)))).to.equal(0);
  });

  it("refuses momentum over Adam's, which has its own", async () => {
    await rejects(
      () => compose("none", "shampoo", { base: { grafting: "adam", momentum: 0.8 } }),
      "shampoo: grafting adam keeps a mean",
      "grafting adam",
    );
  });
});
