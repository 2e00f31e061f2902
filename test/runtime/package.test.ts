import { expect } from "chai";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { patch } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import type { Engine } from "../../src/runtime/engine.js";
import type { EngineOptions } from "../../src/runtime/options.js";
import type { HostTensor } from "../../src/runtime/tensors.js";
import { Rng } from "../../src/util/rng.js";
import { engines } from "../support/engines.js";
import { folder as exports } from "../support/torch_fixtures.js";
import { refusal } from "../support/refusal.js";

/** `size` rows of `length` tokens; row i is the same whatever is asked for beside it. */
function textBatch(from: number, to: number, length: number, labelOf: (row: number) => number): Feeds {
  const rows = Array.from({ length: to - from }, (_, i) => from + i);
  const ids = rows.flatMap((row) => {
    const rng = new Rng("text", row);
    return Array.from({ length }, () => BigInt(4 + rng.int(20)));
  });
  const dims = [rows.length, length];
  return {
    feeds: {
      input_ids: { dtype: "int64", dims, data: BigInt64Array.from(ids) },
      attention_mask: { dtype: "int64", dims, data: new BigInt64Array(ids.length).fill(1n) },
      labels: { dtype: "int64", dims: [rows.length], data: BigInt64Array.from(rows, (row) => BigInt(labelOf(row))) },
    },
  };
}

describe("packages of a real export", () => {
  let folder: string;
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), "curvsam-real-"));
    const make = (name: string, file: string, frequency: number) =>
      patch(join(exports, file), join(folder, name), {
        loss: { kind: "cross-entropy", ignoreIndex: -100, classWeights: [1, 2.5] },
        optimizerOptions: { frequency },
        base: "adamw",
        hyper: { lr: 1e-3 },
      });
    await make("training", "roberta-train-torchscript17.onnx", 3);
    await make("plain", "roberta-eval-torchscript17.onnx", 2);
  });
  after(() => rmSync(folder, { recursive: true }));
  const openEngine = engines({ threads: 1, seed: 3 });
  const open = (name: string, options: EngineOptions = {}): Promise<Engine> => openEngine(join(folder, name), options);
  const everything = (engine: Engine): Record<string, HostTensor> =>
    engine.read([...Object.keys(engine.manifest.parameters), ...Object.keys(engine.manifest.state)]);

  /** Largest difference of two tensors, relative to the largest element of the first. */
  const difference = (a: HostTensor, b: HostTensor): number => {
    let most = 0;
    let scale = 1e-6;
    a.data.forEach((v: number | bigint, i: number) => {
      most = Math.max(most, Math.abs(Number(v) - Number(b.data[i])));
      scale = Math.max(scale, Math.abs(Number(v)));
    });
    return most / scale;
  };
  const expectEqual = (a: Engine, b: Engine, bound: number, but: RegExp) => {
    const [x, y] = [everything(a), everything(b)];
    for (const name of Object.keys(x)) {
      if (!but.test(name)) expect(difference(x[name]!, y[name]!), name).to.be.below(bound);
    }
  };
  // Attention does not see a bias of the keys: its gradient is rounding alone, which Adam scales up to full steps.
  const keys = /attention\.self\.key\.bias/;

  it("phases equal the fused step over 5 steps, dropout included", async () => {
    const fused = await open("training");
    const phases = await open("training", { driver: "phases" });
    for (let t = 0; t < 5; t++) {
      const batch = textBatch(8 * t, 8 * t + 8, 6, (row) => row % 2);
      const a = await fused.step([batch]);
      const b = await phases.step([batch]);
      expect(b.variant).to.equal(a.variant);
      for (const name of ["loss", "perturbed_loss", "grad_norm", "perturbation_norm"]) {
        expect(b.diagnostics[name], name).to.be.closeTo(a.diagnostics[name]!, 2e-5 * Math.abs(a.diagnostics[name]!));
      }
    }
    expectEqual(fused, phases, 1e-4, keys);
  });

  it("4 unequal micro-batches with ignored labels equal the full batch", async () => {
    const whole = await open("plain");
    const parts = await open("plain");
    for (let t = 0; t < 4; t++) {
      const labelOf = (row: number) => (row % 5 === 0 || row % 16 >= 13 ? -100 : row % 2);
      const from = 16 * t;
      const a = await whole.step([textBatch(from, from + 16, 6, labelOf)]);
      // The last part counts for nothing.
      const cuts = [0, 2, 7, 13, 16].map((cut) => from + cut);
      const b = await parts.step(cuts.slice(1).map((end, i) => textBatch(cuts[i]!, end, 6, labelOf)));
      expect(b.wasSkipped).to.equal(false);
      expect(b.diagnostics.loss).to.be.closeTo(a.diagnostics.loss!, 1e-5);
      expect(b.diagnostics.perturbed_loss).to.be.closeTo(a.diagnostics.perturbed_loss!, 1e-5);
    }
    expectEqual(whole, parts, 2e-4, keys);
  });

  it("refuses a class that the model does not have, and takes the ignored one", async () => {
    const engine = await open("plain");
    const message = await refusal(engine.step([textBatch(0, 4, 6, (row) => row)]));
    expect(message).to.equal('the batch\'s "labels" has class 2; the model has 2, 0 to 1');
    const { wasSkipped } = await engine.step([textBatch(0, 4, 6, (row) => (row > 1 ? -100 : row))]);
    expect(wasSkipped).to.equal(false);
  });
});
