import { expect } from "chai";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { readManifest } from "../../src/format/manifest.js";
import { patch } from "../../src/pack/patch.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { packageCosts } from "../../src/runtime/costs.js";
import { loadModel } from "../../src/serde/index.js";
import { engines } from "../support/engines.js";
import { temporaryFolder } from "../support/temp.js";
import { folder as exports } from "../support/torch_fixtures.js";

/** Largest relative error of rounding to float16. */
const unit = 2 ** -11;

describe("activations stored in float16", function () {
  this.timeout(60_000);
  const work = temporaryFolder();
  const open = engines({ threads: 1, seed: 4 });
  const packaged = async (optimizer: string, storeActivations: "float32" | "float16"): Promise<string> => {
    const folder = join(work.path, `${optimizer}-${storeActivations}`);
    await patch(join(exports, "roberta-train-torchscript17.onnx"), folder, {
      ...{ loss: { kind: "cross-entropy" }, optimizer, base: "sgd", hyper: { lr: 0.5 }, storeActivations },
    });
    return folder;
  };
  const peakOf = (folder: string): number =>
    packageCosts(folder, readManifest(folder), { batch: 64, sequence: 32 }).graphs["step"]!.peak;

  it("leave the loss as it was, bit for bit, round the gradients, and take less memory", async () => {
    const folders = [await packaged("none", "float32"), await packaged("none", "float16")] as const;
    const taken = [];
    for (const folder of folders) {
      const engine = await open(folder, { lowered: join(folder, "lowered") });
      const names = Object.keys(engine.manifest.parameters);
      const before = engine.read(names);
      const { diagnostics } = await engine.step([batch()]);
      const after = engine.read(names);
      const updates = names.flatMap((name) =>
        Array.from(after[name]!.data as Float32Array, (x, i) => x - (before[name]!.data as Float32Array)[i]!),
      );
      taken.push({ loss: diagnostics["loss"], updates });
    }
    const [kept, stored] = taken;
    expect(stored!.loss).to.equal(kept!.loss);
    const norm = (values: readonly number[]): number => Math.sqrt(values.reduce((sum, x) => sum + x * x, 0));
    const error = norm(kept!.updates.map((x, i) => x - stored!.updates[i]!)) / norm(kept!.updates);
    expect(error).to.be.within(unit / 1000, 4 * unit);
    const file = readdirSync(join(folders[1], "lowered")).find((name) => name.startsWith("step-"))!;
    const { nodes } = loadModel(join(folders[1], "lowered", file)).graph;
    expect(nodes.filter((n) => n.op === "Cast" && n.output().dtype === "float16").length).to.be.above(10);
    expect(peakOf(folders[1]) / peakOf(folders[0])).to.be.below(0.75);
  });

  it("lower the peak of a step with two passes too, and never raise one", async () => {
    const [kept, stored] = [await packaged("sam", "float32"), await packaged("sam", "float16")];
    expect(peakOf(stored) / peakOf(kept)).to.be.below(0.95);
    const [plain, curved] = [await packaged("curvsam", "float32"), await packaged("curvsam", "float16")];
    const peaks = [plain, curved].map(
      (folder) =>
        packageCosts(folder, readManifest(folder), { batch: 64, sequence: 32 }).graphs["curvature_step"]!.peak,
    );
    expect(peaks[1]).to.be.at.most(peaks[0]!);
  });
});

/** As many texts as make activations that are worth it. */
function batch(): Feeds {
  const [rows, tokens] = [256, 5];
  const ids = BigInt64Array.from({ length: rows * tokens }, (_, i) => BigInt(3 + ((7 * i) % 40)));
  const int64 = (data: BigInt64Array, dims: number[]) => ({ dtype: "int64", dims, data }) as const;
  return {
    feeds: {
      input_ids: int64(ids, [rows, tokens]),
      attention_mask: int64(new BigInt64Array(rows * tokens).fill(1n), [rows, tokens]),
      labels: int64(
        BigInt64Array.from({ length: rows }, (_, i) => BigInt(i % 2)),
        [rows],
      ),
    },
  };
}
