import { expect } from "chai";
import { join } from "node:path";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { int, ints, newModel, tensorType, type Graph, type Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { dropKeepers } from "../../src/lower/keepers.js";
import { overwriteUpdates } from "../../src/lower/overwrite.js";
import { keepRows } from "../../src/lower/rows.js";
import { newBuilder } from "../../src/ops/builder.js";
import { patch } from "../../src/pack/patch.js";
import { dce } from "../../src/passes/dce.js";
import { loadModel, saveModel, serializeModel } from "../../src/serde/index.js";
import { Rng } from "../../src/util/rng.js";
import { temporaryFolder } from "../support/temp.js";
import { relativeError } from "../support/run_graph.js";

const [rows, width] = [7, 4];
const uses = ["one gather", "two gathers", "also the output"] as const;

/** Logits of `rows` classes from the mean of rows of a table that `ids` name, which has more uses besides. */
function net(use: (typeof uses)[number]): Graph {
  const b = newBuilder("net");
  const typed = (...shape: (number | string)[]) => ({ types: [tensorType("float32", shape)] });
  const parameter = (name: string): Value => {
    const values = Array.from({ length: rows * width }, (_, i) => Math.sin(1.9 * i + name.length));
    const v = b.constant(Tensor.of("float32", [rows, width], values));
    v.name = name;
    return v;
  };
  const table = parameter("embedding.weight");
  const read = (ids: string, count: number): Value => {
    const indices = b.input(ids, tensorType("int64", ["batch", count]));
    const x = b.op("Gather", [table, indices], { axis: int(0) }, typed("batch", count, width));
    return b.op("ReduceMean", [b.op("Tanh", [x]), b.int64s([1])], { keepdims: int(0) }, typed("batch", width));
  };
  const first = read("ids", 3);
  const x = use === "two gathers" ? b.op("Add", [first, read("others", 2)]) : first;
  const weight = use === "also the output" ? table : parameter("classifier.weight");
  const turned = b.op("Transpose", [weight], { perm: ints([1, 0]) }, typed(width, rows));
  b.output(b.op("MatMul", [x, turned], {}, typed("batch", rows)), "logits");
  return b.graph;
}

const batch = 3;
/** Rows that are read more than once, one of them from the end; two that are not. */
const indices = [6, 0, -1, 0, 0, 3, 2, 6, -7];

/** What the graph gives by name; an output `over/<name>` is written over the input <name>, and stands as `next/<name>`. */
async function run(graph: Graph): Promise<Record<string, Float32Array>> {
  const model = newModel(graph);
  const session = await InferenceSession.create(serializeModel(model), { logSeverityLevel: 3 });
  const rng = new Rng(1, "rows");
  const inputs = graph.inputs.map((v): [string, OrtTensor] => {
    const dims = v.dims.map((d) => (typeof d === "number" ? d : batch));
    const size = dims.reduce((n, d) => n * d, 1);
    if (v.dtype === "int64") {
      const places = v.name.includes("label") ? indices.map(Math.abs) : indices;
      return [v.name, new OrtTensor("int64", BigInt64Array.from(places.slice(0, size), BigInt), dims)];
    }
    return [
      v.name,
      new OrtTensor(
        "float32",
        Float32Array.from({ length: size }, () => 0.1 + rng.uniform() / 2),
        dims,
      ),
    ];
  });
  const feeds = Object.fromEntries(inputs);
  const fetches = graph.outputs.map(({ name }) => [name, feeds[name.replace(/^over\//, "")] ?? null]);
  const results = await session.run(feeds, Object.fromEntries(fetches) as InferenceSession.FetchesType);
  await session.release();
  return Object.fromEntries(
    Object.entries(results).map(([name, t]) => [name.replace(/^over\//, "next/"), t.data as Float32Array]),
  );
}

function expectAlike(got: Record<string, Float32Array>, want: Record<string, Float32Array>, what: string): void {
  expect(Object.keys(got)).to.have.members(Object.keys(want));
  for (const [output, values] of Object.entries(want)) {
    const from = Math.max(...values.map(Math.abs));
    if (from > 0) expect(relativeError(got[output]!, values), `${what}: ${output}`).to.be.below(1e-5);
    else expect(Math.max(...got[output]!.map(Math.abs)), output).to.equal(0);
  }
}

/** Scatters into a table of zeros. */
const denseGradients = (graph: Graph): number =>
  graph.nodes.filter((n) => n.op === "ScatterElements" && n.input(0).producer?.op === "Expand").length;

/** Optimizers that never need the whole table of a gradient; the others are given it where they do. */
const sparse = /^(SAM|CurvSAM of)/;

describe("gradients of embeddings as rows", () => {
  const work = temporaryFolder();
  const cases = {
    "SAM, AdamW, clipped": { optimizer: "sam", base: "adamw", hyper: { clip_norm: 0.1 } },
    "CurvSAM, GSAM, AdamW": { optimizer: "curvsam", combine: "gsam", base: "adamw" },
    "CurvSAM of relative floor, SGD": {
      ...{ optimizer: "curvsam", base: "sgd", hyper: { momentum: 0.9, weight_decay: 0.1 } },
      optimizerOptions: { floor: "relative", initial: "zero" },
    },
    "ASAM, LookSAM, SGD": { optimizer: "asam", combine: "looksam", base: "sgd", hyper: { weight_decay: 0.1 } },
    AdaHessian: { optimizer: "none", base: "adahessian" },
  };
  for (const use of uses) {
    for (const [name, options] of Object.entries(cases)) {
      if (use !== "one gather" && !sparse.test(name)) continue;
      it(`${name}; a table of ${use}`, async () => {
        const [model, folder] = [join(work.path, `${use}.onnx`), join(work.path, `${use}, ${name}`)];
        saveModel(newModel(net(use)), model);
        const { graphs } = await patch(model, folder, { loss: { kind: "cross-entropy" }, ...options });
        for (const { file } of Object.values(graphs).filter((g) => g.file.includes("step"))) {
          const load = (): Graph => loadModel(join(folder, file)).graph;
          const graph = load();
          dropKeepers(graph);
          expect(keepRows(graph, 1).modified).to.equal(true);
          dce(graph);
          if (use === "one gather" && sparse.test(name)) expect(denseGradients(graph), file).to.equal(0);
          // Both passes, and what is measured, share the rows that the batch reads.
          expect(graph.nodes.filter((n) => n.op === "Unique")).to.have.length(1);
          const want = await run(load());
          expect(want["skipped"]?.[0]).to.equal(0);
          expectAlike(await run(graph), want, file);
          // Over the old values too.
          expect(overwriteUpdates(graph).modified).to.equal(true);
          expectAlike(await run(graph), want, `${file}, over the old values`);
        }
      });
    }
  }

  it("leaves small tables", () => {
    const load = (): Graph => loadModel(join(work.path, "two gathers, SAM, AdamW, clipped", "step.onnx")).graph;
    expect(keepRows(load()).modified).to.equal(false);
  });
});
