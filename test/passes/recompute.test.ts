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

describe("activations computed anew", function () {
  this.timeout(60_000);
  const work = temporaryFolder();
  const open = engines({ threads: 1, seed: 4 });
  const packaged = async (optimizer: string, recompute: boolean): Promise<string> => {
    const folder = join(work.path, `${optimizer}-${recompute ? "anew" : "kept"}`);
    await patch(join(exports, "roberta-train-torchscript17.onnx"), folder, {
      ...{ loss: { kind: "cross-entropy" }, optimizer, recompute },
    });
    expect(readManifest(folder).recompute).to.equal(recompute ? true : undefined);
    return folder;
  };
  const costs = (folder: string) => packageCosts(folder, readManifest(folder), { batch: 64, sequence: 32 }).graphs;

  it("change no bit, and take less memory for a fifth more arithmetic on an encoder", async () => {
    const folders = [await packaged("sam", false), await packaged("sam", true)] as const;
    const results = [];
    for (const folder of folders) {
      const engine = await open(folder, { lowered: join(folder, "lowered") });
      const diagnostics = [];
      for (let t = 0; t < 2; t++) diagnostics.push((await engine.step([batch(t)])).diagnostics);
      const values = engine.read(Object.keys(engine.manifest.parameters));
      results.push({ diagnostics, values });
    }
    expect(results[1]).to.deep.equal(results[0]);

    const copies = folders.map((folder) => {
      const file = readdirSync(join(folder, "lowered")).find((name) => name.startsWith("step-"))!;
      const { nodes } = loadModel(join(folder, "lowered", file)).graph;
      return ["pass1", "pass2"].map((pass) => nodes.filter((n) => n.name.startsWith(`${pass}/recompute/`)).length);
    });
    expect(copies[0]).to.deep.equal([0, 0]);
    expect(Math.min(...copies[1]!)).to.be.above(0);

    const [kept, anew] = folders.map((folder) => {
      const { flops, peak } = costs(folder)["step"]!;
      return { peak, flops: Object.values(flops).reduce((sum, n) => sum + n, 0) };
    });
    expect(anew!.peak / kept!.peak).to.be.below(0.75);
    expect(anew!.flops / kept!.flops).to.be.within(1.05, 1.34);
  });

  it("are left where tangents read what was computed first, and memory would grow", async () => {
    const [kept, anew] = [costs(await packaged("curvsam", false)), costs(await packaged("curvsam", true))];
    expect(anew["curvature_step"]!.peak / kept["curvature_step"]!.peak).to.be.at.most(1);
    expect(anew["step"]!.peak / kept["step"]!.peak).to.be.below(0.75);
  });
});

/** Two texts of five tokens. */
function batch(t: number): Feeds {
  const ids = BigInt64Array.from({ length: 10 }, (_, i) => BigInt(3 + ((7 * i + t) % 40)));
  const int64 = (data: BigInt64Array, dims: number[]) => ({ dtype: "int64", dims, data }) as const;
  return {
    feeds: {
      input_ids: int64(ids, [2, 5]),
      attention_mask: int64(new BigInt64Array(10).fill(1n), [2, 5]),
      labels: int64(BigInt64Array.of(0n, 1n), [2]),
    },
  };
}
