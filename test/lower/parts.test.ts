import { expect } from "chai";
import { join } from "node:path";
import type { Model } from "../../src/ir/graph.js";
import { splitUpdates } from "../../src/lower/parts.js";
import { patch } from "../../src/pack/patch.js";
import { loadModel } from "../../src/serde/index.js";
import { must } from "../../src/util/assert.js";
import { Rng } from "../../src/util/rng.js";
import { sizeOf } from "../../src/util/shape.js";
import { runGraph, type Feed } from "../support/run_graph.js";
import { temporaryFolder } from "../support/temp.js";
import { folder as exports } from "../support/torch_fixtures.js";

/** A feed for every input, drawn by its name; `bad` is a gradient that is not finite. */
function feedsOf({ graph }: Model, bad?: string): Map<string, Feed> {
  return new Map(
    graph.inputs.map((v) => {
      const dims = v.dims.map(Number);
      const rng = new Rng(0, v.name);
      const data = Float32Array.from({ length: sizeOf(dims) }, () => 0.1 + rng.uniform());
      if (v.name === bad) data[0] = NaN;
      return [v.name, { dtype: v.dtype, dims, data }];
    }),
  );
}

describe("a descent in parts", () => {
  const work = temporaryFolder();
  const limit = 64;
  for (const [optimizer, base, hyper] of [
    ["none", "adamw", { clip_norm: 0.5 }],
    ["sam", "sgd", { momentum: 0.9 }],
    ["curvsam", "adamw", {}],
  ] as const) {
    it(`gives what the whole gives, bit for bit: ${optimizer} over ${base}`, async () => {
      const folder = join(work.path, `${optimizer}-${base}`);
      const loss = { kind: "cross-entropy" } as const;
      await patch(join(exports, "mlp-train-torchscript17.onnx"), folder, { loss, optimizer, base, hyper });
      const load = (): Model => loadModel(join(folder, "descend.onnx"));
      for (const bad of [
        undefined,
        must(
          load().graph.inputs.find((v) => v.name.startsWith("grad/")),
          "a gradient",
        ).name,
      ]) {
        const feeds = feedsOf(load(), bad);
        const whole = await runGraph(load().graph, feeds);
        const { parts, shared } = must(splitUpdates(load, limit), "parts");
        expect(parts.length).to.be.above(2);
        const got = new Map<string, Float32Array>();
        for (const { graph } of parts) {
          for (const v of graph.inputs) {
            if (feeds.has(v.name)) continue;
            const data = Float32Array.from(must(got.get(v.name), `"${v.name}" of the first part`));
            feeds.set(v.name, { dtype: v.dtype, dims: v.dims.map(Number), data });
          }
          for (const [name, values] of await runGraph(graph, feeds)) got.set(name, values);
        }
        for (const { name } of shared) got.delete(name);
        expect(got).to.deep.equal(whole);
      }
    });
  }

  it("is left whole where it gives little", () => {
    const load = (): Model => loadModel(join(work.path, "none-adamw", "descend.onnx"));
    expect(splitUpdates(load, 1 << 20)).to.equal(null);
  });
});
