import { expect } from "chai";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession } from "onnxruntime-node";
import { lowerForCpu } from "../../src/lower/cpu.js";
import { simulatePeak } from "../../src/passes/memory.js";
import { patch } from "../../src/pack/patch.js";
import { Engine } from "../../src/runtime/engine.js";
import { loadModel } from "../../src/serde/index.js";
import { byteLength } from "../../src/util/dtype.js";
import { sizeOf } from "../../src/util/shape.js";
import { folder as exports } from "../support/torch_fixtures.js";
import { refusal } from "../support/refusal.js";

describe("lowering for the CPU provider", () => {
  let work: string;
  let pack: string;
  before(async () => {
    work = mkdtempSync(join(tmpdir(), "curvsam-lower-"));
    pack = join(work, "package");
    await patch(join(exports, "mlp-train-torchscript17.onnx"), pack, { loss: { kind: "cross-entropy" } });
  });
  after(() => rmSync(work, { recursive: true }));

  it("optimises once, keeps the file, and trains to the same numbers", async () => {
    const cache = join(work, "cache");
    const results = [];
    for (const lowered of [undefined, cache, cache]) {
      const engine = await Engine.open(pack, { threads: 1, lowered });
      const [input] = Object.entries(engine.manifest.inputs);
      const dims = input![1].shape.map((d) => (typeof d === "number" ? d : 6));
      const data = Float32Array.from({ length: sizeOf(dims) }, (_, i) => Math.sin(i));
      const labels = { dtype: "int64", dims: [6], data: BigInt64Array.of(0n, 1n, 0n, 1n, 1n, 0n) } as const;
      const feeds = { [input![0]]: { dtype: "float32", dims, data } as const, labels };
      for (let t = 0; t < 6; t++) await engine.step([{ feeds }]);
      const { lossSum } = await engine.evaluate({ feeds });
      results.push({
        lossSum,
        files: lowered ? readdirSync(lowered).map((f) => [f, statSync(join(cache, f)).mtimeMs]) : [],
      });
      await engine.close();
    }
    const [plain, first, second] = results;
    expect(first!.lossSum).to.be.closeTo(plain!.lossSum, 1e-5);
    expect(second).to.deep.equal(first);
    expect(first!.files.map(([f]) => String(f).replace(/-[0-9a-f]{24}/, "")).sort()).to.deep.equal([
      "curvature_step.onnx",
      "evaluate.onnx",
      "step.onnx",
    ]);
  });

  it("orders for memory: an encoder's refresh step needs less than in the order of the runtime's own file", async () => {
    const encoder = join(work, "encoder");
    await patch(join(exports, "roberta-eval-torchscript17.onnx"), encoder, { loss: { kind: "cross-entropy" } });
    const source = join(encoder, "curvature_step.onnx");
    const sizes = new Map([
      ["batch", 64],
      ["sequence", 32],
    ]);
    const peak = (file: string): number => {
      const { graph } = loadModel(file);
      return simulatePeak(graph, (v) => {
        const dims = (v.shape ?? []).map((d) => (typeof d === "number" ? d : (sizes.get(d) ?? 64 * 32)));
        return v.type?.kind === "tensor" ? byteLength(v.type.dtype, sizeOf(dims)) : 0;
      });
    };
    const plain = join(work, "plain.onnx");
    const session = await InferenceSession.create(source, {
      ...{ graphOptimizationLevel: "extended", optimizedModelFilePath: plain, logSeverityLevel: 3 },
    });
    await session.release();
    expect(peak(await lowerForCpu(source, join(work, "sized"), sizes))).to.be.below(0.9 * peak(plain));
  });

  it("is refused for other providers, and says where it cannot write", async () => {
    expect(await refusal(Engine.open(pack, { provider: "webgpu", lowered: work }))).to.contain("for provider cpu only");
    const file = join(pack, "manifest.json");
    expect(await refusal(lowerForCpu(join(pack, "step.onnx"), join(file, "x"), new Map()))).to.contain("not a folder");
  });
});
