import { expect } from "chai";
import { join } from "node:path";
import { newModel } from "../../src/ir/graph.js";
import { patch } from "../../src/pack/patch.js";
import type { Engine } from "../../src/runtime/engine.js";
import { saveModel } from "../../src/serde/index.js";
import { workingCells, type Cell } from "../support/cells.js";
import { engines } from "../support/engines.js";
import { relativeError } from "../support/run_graph.js";
import { temporaryFolder } from "../support/temp.js";
import { twoLayers } from "../support/two_layers.js";
import { batchRows } from "../support/batch_rows.js";

/** Every refresh and every kind of step comes within four. */
const baseOptions: Record<string, Record<string, unknown>> = {
  adahessian: { frequency: 2 },
  sassha: { frequency: 2 },
  shampoo: { statistics: 1, roots: 2, start: 1 },
  kfac: { fisher: "empirical", factors: 2, inverses: 2 },
};

/** A package of the combination with all that may be switched on: groups, both clips, a scaled loss. */
async function packaged(model: string, folder: string, { ascent, combine, base }: Cell): Promise<string> {
  const path = join(folder, `${ascent}-${combine}-${base}`);
  const biases = {
    ...{ lr: 0.005, weight_decay: 0 },
    ...(ascent !== "none" && { rho: 0.1 }),
    ...(ascent === "curvsam" && { delta: 0.5 }),
  };
  await patch(model, path, {
    ...{ loss: { kind: "mse" }, optimizer: ascent, combine, base },
    ...(ascent === "curvsam" && { optimizerOptions: { frequency: 2 } }),
    ...(combine === "looksam" && { combineOptions: { period: 2 } }),
    baseOptions: baseOptions[base] ?? {},
    groups: [{ name: "biases", match: (name) => name.endsWith("bias"), hyper: biases }],
    hyper: {
      ...{ lr: 0.01, weight_decay: 0.1, clip_norm: 2, clip_value: 0.5, loss_scale: 64 },
      // Roots of statistics that have no full rank yet would magnify what rounding leaves of a difference.
      ...(base === "shampoo" && { shampoo_ridge: 0.01 }),
    },
  });
  return path;
}

const everything = (engine: Engine) =>
  engine.read([...Object.keys(engine.manifest.parameters), ...Object.keys(engine.manifest.state)]);

function expectNear(a: Engine, b: Engine): void {
  const want = everything(a);
  for (const [name, { data }] of Object.entries(everything(b))) {
    const [x, y] = [data as Float32Array, want[name]?.data as Float32Array];
    const isSmall = Math.max(...y.map(Math.abs)) < 1e-6;
    expect(isSmall ? Math.max(...x.map(Math.abs)) : relativeError(x, y), name).to.be.below(isSmall ? 1e-5 : 2e-4);
  }
}

/** Groups, clipping and a scaled loss are on; norms by group, saved state and undone steps are looked at. */
describe("every combination steps over micro-batches as over one batch, goes on from its state, and undoes a bad step", () => {
  const work = temporaryFolder();
  const open = engines({ threads: 1, seed: 5 });
  const model = (): string => join(work.path, "model.onnx");
  before(() => saveModel(newModel(twoLayers()), model()));

  for (const cell of workingCells) {
    const { ascent, combine, base } = cell;
    it(`${ascent}, ${combine}, ${base}`, async () => {
      const path = await packaged(model(), work.path, cell);
      const [fused, micro] = [await open(path), await open(path)];
      for (let t = 0; t < 4; t++) {
        const results = [await fused.step([batchRows(t)]), await micro.step([batchRows(t, 0, 2), batchRows(t, 2, 8)])];
        for (const { variant, wasSkipped, diagnostics } of results) {
          expect(wasSkipped).to.equal(false);
          const norms =
            ascent === "none" || variant === "look_step" ? ["grad_norm"] : ["grad_norm", "perturbation_norm"];
          for (const norm of norms) {
            const [whole, ...parts] = [norm, `${norm}/default`, `${norm}/biases`].map((n) => diagnostics[n] ?? NaN);
            expect(Math.hypot(...parts) / (whole ?? NaN), norm).to.be.closeTo(1, 1e-4);
          }
        }
      }
      expectNear(fused, micro);

      const saved = join(path, "state.safetensors");
      fused.saveState(saved);
      micro.loadState(saved);
      expect(everything(micro)).to.deep.equal(everything(fused));
      for (const engine of [fused, micro]) await engine.step([batchRows(4)]);
      expect(everything(micro)).to.deep.equal(everything(fused));

      for (const batches of [[batchRows(5, 0, 8, Infinity)], [batchRows(5, 0, 4), batchRows(5, 4, 8, NaN)]]) {
        const before = everything(fused);
        expect((await fused.step(batches)).wasSkipped).to.equal(true);
        expect(everything(fused)).to.deep.equal(before);
      }
    });
  }
});
