import { expect } from "chai";
import { Matrix } from "ml-matrix";
import type { Source } from "../../src/frontend/objective.js";
import type { Optimizer } from "../../src/optim/compose.js";
import { parameterInfos } from "../../src/pack/ports.js";
import { must } from "../../src/util/assert.js";
import { array, type Array64 } from "../reference/array.js";
import { Composition, layersWithin, type Oracle } from "../reference/composition.js";
import type { Loss } from "../reference/estimators.js";
import { norm, type Vectors } from "../reference/optimizers.js";
import { Trainer, type Feeds } from "./trainer.js";

export interface Net {
  source: Source;
  /** The batch of step t, with what is drawn for it. */
  batch: (t: number) => Feeds;
}

/** The first ⌈share · rows⌉ rows of every input. */
export const firstRows = (feeds: Feeds, share: number): Feeds =>
  Object.fromEntries(
    Object.entries(feeds).map(([name, { dtype, dims, data }]) => {
      const [rows = 1, ...rest] = dims;
      const kept = Math.ceil(share * rows);
      return [name, array(dtype, [kept, ...rest], data.slice(0, (data.length / rows) * kept))];
    }),
  );

const asMatrix = ({ dims, data }: Array64): Matrix => {
  const [n = 1, m = 1] = dims;
  if (dims.length === 3) return Matrix.diag([...data]);
  return new Matrix(Array.from({ length: n }, (_, i) => [...data.subarray(i * m, (i + 1) * m)]));
};

function lossOn(trainer: Trainer, feeds: Feeds): Loss {
  const labels = feeds["labels"];
  return {
    gradient: (w) => trainer.gradient(w, feeds),
    hvp: (w, z) => trainer.hvp(w, z, feeds),
    // Of a mean squared error: residuals of N(0, ½), or ±√½, at the model's outputs.
    drawn: (w, kind) => {
      const noise = must(feeds[`random/${kind}`], "noise").data;
      const drawn = trainer.outputs(w, feeds).data.map((y, i) => y - (noise[i] ?? NaN) / Math.SQRT2);
      return trainer.gradient(w, { ...feeds, labels: array("float32", must(labels, "labels").dims, drawn) });
    },
    weight: labels?.data.length ?? NaN,
  };
}

/**
 * Takes ten steps in float64, and holds weights, buffers and ‖ε‖₂ at each against the references of the optimizer's parts, which go their
 * own way. Buffers are to be moved by the first pass alone. Returns the weights.
 */
export function follow(
  { source, batch }: Net,
  optimizer: Optimizer,
  values: Record<string, number>,
  bound = 1e-7,
): Vectors {
  const trainer = new Trainer(source, optimizer, values);
  const infos = [...parameterInfos(source).values()];
  const reference = new Composition(optimizer, values, infos);
  const layers = layersWithin(infos, Number(optimizer.baseOptions["limit"]));
  const probes = Number(optimizer.ascentOptions["probes"] ?? 1);
  let w: Vectors = trainer.weights();
  for (let t = 0; t < 10; t++) {
    const feeds = batch(t);
    const oracle: Oracle = {
      ...lossOn(trainer, feeds),
      first: (share) => lossOn(trainer, firstRows(feeds, share)),
      probes: Array.from({ length: probes }, (_, k) =>
        w.map((x, i) => x.map((_, j) => 1.5 * Math.sin(5 * j + 3 * i + t + 11 * k))),
      ),
      baseProbe: w.map((x, i) => x.map((_, j) => (Math.cos(7 * j + 2 * i + 3 * t) > 0 ? 1 : -1))),
      factors: (at) => {
        const out = trainer.measure(optimizer, "base", at, feeds);
        return layers.map(({ weight }) => ({
          a: asMatrix(must(out[`base_input_factor/${weight}`], weight)),
          s: asMatrix(must(out[`base_output_factor/${weight}`], weight)),
        }));
      },
    };
    const buffers = trainer.buffers(w, feeds);
    w = reference.step(w, oracle);
    const drawn = oracle.probes.map((z, k) => trainer.named(k === 0 ? "z/" : `z_${k + 1}/`, z));
    const out = trainer.run(t, Object.assign({}, feeds, ...drawn, trainer.named("base_z/", oracle.baseProbe)) as Feeds);
    const length = out["perturbation_norm"]?.data[0];
    expect(length === undefined).to.equal(reference.perturbation === null);
    if (length !== undefined) expect(length).to.be.closeTo(norm(reference.perturbation ?? []), bound);
    const same = (name: string, got: Float64Array, want: Float64Array): void =>
      got.forEach((v, j) => {
        const x = want[j] ?? NaN;
        if (!(Math.abs(v - x) <= bound)) expect.fail(`step ${t + 1}, ${name}[${j}]: ${v}, ${x} expected`);
      });
    trainer.weights().forEach((x, i) => same(trainer.names[i] ?? "", x, must(w[i], "weights")));
    source.buffers.forEach(({ name }, i) => same(name, must(trainer.feeds[name], name).data, must(buffers[i], name)));
  }
  expect(trainer.feeds["state/step"]?.data[0]).to.equal(10);
  return trainer.weights();
}
