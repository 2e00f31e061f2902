import { expect } from "chai";
import { join } from "node:path";
import { SafetensorsFile, writeSafetensors, type TensorToWrite } from "../../src/format/safetensors.js";
import { newModel, tensorType, Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import { patch } from "../../src/pack/patch.js";
import { readStateDict, writeStateDict } from "../../src/pack/torch.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import type { HostTensor } from "../../src/runtime/tensors.js";
import { saveModel } from "../../src/serde/index.js";
import { rejects } from "../support/rejects.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";
import { readFixture } from "../support/torch_fixtures.js";

const fixtures = join(root, "test", "fixtures");
const dicts = join(fixtures, "state_dicts");
const options = { loss: { kind: "cross-entropy" }, optimizer: "none", base: "sgd" } as const;

/** Tensors of a safetensors file, as they are to be written. */
const tensorsOf = (path: string): TensorToWrite[] =>
  SafetensorsFile.using(path, (file) =>
    [...file.entries].map(([name, { dtype, shape }]) => ({ name, dtype, shape, bytes: file.bytes(name) })),
  );

describe("PyTorch state dicts", function () {
  this.timeout(60_000);
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  const bert = join(dicts, "bert.safetensors");

  async function withRuntime<T>(packaged: string, body: (runtime: PackageRuntime) => Promise<T>): Promise<T> {
    const runtime = await PackageRuntime.open(packaged, { threads: 1 });
    try {
      return await body(runtime);
    } finally {
      await runtime.close();
    }
  }

  const cases = [
    ["bert", "torch/bert-eval-torchscript17-folded.onnx", 12],
    ["bert", "torch/bert-eval-dynamo18-folded.onnx", 12],
    ["bert", "torch/bert-eval-torchscript17.onnx", 0],
    ["bert", "torch/bert-eval-dynamo18.onnx", 0],
    ["gpt2", "zoo/gpt2-train-dynamo18.onnx", 0],
  ] as const;
  for (const [model, onnx, transposed] of cases) {
    it(`${onnx}: takes a state dict of other weights, computes PyTorch's logits, and gives it back as it was`, async () => {
      const packaged = at(onnx.replaceAll(/\W/g, "_"));
      await patch(join(fixtures, onnx), packaged, options);
      const dict = join(dicts, `${model}.safetensors`);
      const { values, report } = readStateDict(packaged, dict);
      expect(report).to.deep.include({ missing: [], unexpected: [], byLayer: [], prefix: null });
      expect(report.transposed).to.have.lengthOf(transposed);
      const expected = readFixture(`${model}.expected.safetensors`, dicts);
      const logits = await withRuntime(packaged, async (runtime) => {
        await runtime.write(values);
        await runtime.saveWeights(at("weights.safetensors"));
        const feeds = Object.keys(runtime.manifest.inputs).map(
          (name) => [name, expected.get(`input/${name}`)!] as const,
        );
        return (await runtime.forward({ feeds: Object.fromEntries(feeds) as Record<string, HostTensor> }))["logits"]!;
      });
      const truth = expected.get("logits")!.data as Float32Array;
      expect(logits.data).to.have.lengthOf(truth.length);
      truth.forEach((value, i) => expect(logits.data[i]).to.be.closeTo(value, 1e-5));

      const written = at("written.safetensors");
      writeStateDict(packaged, written, { weights: at("weights.safetensors") });
      const byName = (path: string) => new Map(tensorsOf(path).map((each) => [each.name, each]));
      expect(byName(written)).to.deep.equal(byName(dict));
    });
  }

  describe("of the same model in other dress", () => {
    const packaged = at("plain");
    let values: ReturnType<typeof readStateDict>["values"];
    before(async () => {
      await patch(join(fixtures, "torch", "bert-eval-torchscript17-folded.onnx"), packaged, options);
      values = readStateDict(packaged, bert).values;
    });

    /** The fixture's tensors, changed. */
    const rewritten = (name: string, change: (each: TensorToWrite) => TensorToWrite | null): string => {
      const path = at(name);
      writeSafetensors(
        path,
        tensorsOf(bert).flatMap((each) => change(each) ?? []),
      );
      return path;
    };

    it("a base model without its prefix and head, of the old names: the head stays", () => {
      const path = rewritten("base.safetensors", (each) =>
        each.name.startsWith("bert.")
          ? { ...each, name: each.name.slice(5).replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta") }
          : null,
      );
      const { values: read, report } = readStateDict(packaged, path);
      expect(report.missing).to.deep.equal(["classifier.weight", "classifier.bias"]);
      expect(report.prefix).to.deep.equal({ here: "bert", there: "" });
      expect(Object.keys(read)).to.have.lengthOf(39);
      for (const [name, value] of Object.entries(read)) expect(value, name).to.deep.equal(values[name]);
    });

    it("in bfloat16, float16 and float64", () => {
      const f32 = ({ bytes }: TensorToWrite) => new Float32Array((bytes as Uint8Array<ArrayBuffer>).buffer);
      const rounded = rewritten("bf16.safetensors", (each) => ({
        ...each,
        dtype: "bfloat16",
        bytes: new Uint8Array(Uint16Array.from(new Uint32Array(f32(each).buffer), (bits) => bits >>> 16).buffer),
      }));
      const wide = rewritten("f64.safetensors", (each) => ({
        ...each,
        dtype: "float64",
        bytes: new Uint8Array(Float64Array.from(f32(each)).buffer),
      }));
      expect(readStateDict(packaged, wide).values).to.deep.equal(values);
      for (const [name, { data }] of Object.entries(readStateDict(packaged, rounded).values)) {
        data.forEach((x, i) => expect(x).to.be.closeTo(values[name]!.data[i]!, Math.abs(x) * 2 ** -7));
      }
      // 1, −2, 2⁻²⁴ (the smallest), 65504 (the largest), NaN: as IEEE 754 has them.
      const half = rewritten("f16.safetensors", (each) =>
        each.name === "classifier.bias"
          ? { ...each, dtype: "float16", bytes: new Uint8Array(Uint16Array.of(0x3c00, 0xc000, 1).buffer) }
          : each,
      );
      expect([...readStateDict(packaged, half).values["classifier.bias"]!.data]).to.deep.equal([1, -2, 2 ** -24]);
    });

    it("written like another: its names, its layouts, and what it has beside", () => {
      const like = rewritten("like.safetensors", (each) =>
        each.name === "classifier.weight"
          ? { name: "model.bert.position_ids", dtype: "int64", shape: [2], bytes: new Uint8Array(16) }
          : { ...each, name: `model.${each.name}` },
      );
      const path = at("alike.safetensors");
      const { missing, unexpected } = writeStateDict(packaged, path, { like });
      expect([missing, unexpected]).to.deep.equal([["classifier.weight"], ["model.bert.position_ids"]]);
      const names = tensorsOf(path).map(({ name }) => name);
      expect(names).to.have.members([...tensorsOf(like).map(({ name }) => name), "classifier.weight"]);
      const [there, here] = [
        readStateDict(packaged, path),
        readStateDict(packaged, path, { skip: (n) => n === "classifier.weight" }),
      ];
      expect(there.values["bert.pooler.dense.weight"]).to.deep.equal(here.values["bert.pooler.dense.weight"]);
    });

    it("of another model is refused: which tensors, their shapes, those expected", async () => {
      const wide = rewritten("wide.safetensors", (each) => {
        if (!/classifier|query.weight/.test(each.name)) return each;
        const shape = each.name.endsWith("bias") ? [5] : each.name.startsWith("class") ? [5, 16] : [16, 24];
        const bytes = new Uint8Array(4 * shape.reduce((n, d) => n * d));
        return { ...each, shape, bytes };
      });
      await rejects(
        () => readStateDict(packaged, wide),
        "wide.safetensors: 4 tensors do not fit the package: ",
        '"classifier.weight" is [5,16], [3,16] expected',
        '"bert.encoder.layer.0.attention.self.query.weight" is [16,24], [16,16] expected',
        "leave these out with --init-skip",
      );
      const { report } = readStateDict(packaged, wide, { skip: (name) => /classifier|query/.test(name) });
      expect(report.missing).to.deep.equal([]);
      const other = rewritten("other.safetensors", ({ name, ...rest }) => ({ ...rest, name: `x/${name}/y` }));
      await rejects(() => readStateDict(packaged, other), "none of its 41 tensors has the name of a parameter");
      const ints = rewritten("ints.safetensors", (each) =>
        each.name === "classifier.bias" ? { ...each, dtype: "int32" } : each,
      );
      await rejects(() => readStateDict(packaged, ints), '"classifier.bias" is int32; floating point expected');
      await rejects(
        () => writeStateDict(packaged, at("no.safetensors"), { weights: bert }),
        /: these are the weights of another model: "bert.encoder.*weight" is float32\[32,16\], float32\[16,32\] expected; /,
      );
    });
  });

  it("square weights that are multiplied under their own names are PyTorch's transposed, and the report says so", async () => {
    const b = newBuilder("square");
    let x = b.input("x", tensorType("float32", ["batch", 3]));
    for (const name of ["first.weight", "second.weight"]) {
      const value = new Value(name, tensorType("float32", [3, 3]));
      b.graph.initializers.set(value, Tensor.of("float32", [3, 3], [1, 2, 3, 4, 5, 6, 7, 8, name.length]));
      x = b.op("MatMul", [x, value]);
    }
    b.output(x, "logits");
    saveModel(newModel(b.graph), at("square.onnx"));
    await patch(at("square.onnx"), at("square"), options);
    const report = writeStateDict(at("square"), at("square.safetensors"));
    expect(report.byLayer).to.deep.equal(["first.weight", "second.weight"]);
    expect(report.transposed).to.deep.equal(report.byLayer);
    const first = SafetensorsFile.using(at("square.safetensors"), (file) => file.float32("first.weight"));
    expect([...first]).to.deep.equal([1, 4, 7, 2, 5, 8, 3, 6, 12]);
    const read = readStateDict(at("square"), at("square.safetensors"));
    expect(read.report.byLayer).to.deep.equal(report.byLayer);
    expect([...read.values["first.weight"]!.data]).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8, 12]);
  });
});
