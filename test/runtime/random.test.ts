import { expect } from "chai";
import { parseManifest } from "../../src/format/manifest.js";
import { RandomInputs } from "../../src/runtime/random.js";
import { sampleManifest } from "../support/manifest.js";
import { rejects } from "../support/rejects.js";

describe("random inputs", () => {
  const manifest = sampleManifest();
  const shape = ["batch*sequence", 3, "sequence*2"];
  const mask = { dtype: "bool", shape, distribution: "bernoulli", p: 0.5, per: "micro-batch" } as const;
  manifest.random["random/dropout/0"] = mask;
  const inputs = new RandomInputs(parseManifest(manifest, "manifest.json"), 7);
  const moment = { step: 0, attempt: 0, micro: 0 };

  it("have dimensions that are products of the batch's, as where a model flattens its tokens", () => {
    const sizes = new Map([
      ["batch", 2],
      ["sequence", 5],
    ]);
    expect(inputs.get("random/dropout/0", moment, sizes).dims).to.deep.equal([10, 3, 10]);
  });

  it("name a dimension that no input of the batch has", async () => {
    await rejects(
      () => inputs.get("random/dropout/0", moment, new Map([["batch", 2]])),
      '"batch*sequence"',
      "no input",
    );
  });
});
