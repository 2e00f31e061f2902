/**
 * The benchmark against other JavaScript libraries: writes docs/BENCHMARKS_JAVASCRIPT.md.
 *
 *     npm install --prefix /tmp/others @jax-js/jax @tensorflow/tfjs @tensorflow/tfjs-backend-wasm
 *     npm run compile && node build/scripts/bench/javascript.js --modules /tmp/others [--steps 20]
 *
 * One process each; they take steps in turn on an otherwise idle machine.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { newModel, tensorType, Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import { patch } from "../../src/pack/patch.js";
import { formatNumber, markdownTable } from "../../src/report/table.js";
import { saveModel } from "../../src/serde/index.js";
import { check } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { LineProcess } from "./line_process.js";
import { makeMlp } from "./mlp.js";
import { median } from "./report.js";

const warmUp = 2;
const pause = 300;

const libraries = {
  curvsam: { title: "curvsam", package: "onnxruntime-node", target: null },
  "jax-js": { title: "jax-js, WebAssembly", package: "@jax-js/jax", target: 0.1 },
  tfjs: { title: "TensorFlow.js, WebAssembly", package: "@tensorflow/tfjs", target: 0.02 },
} as const;
type Library = keyof typeof libraries;

/** The perceptron as an exporter would write it, patched for plain gradient descent. */
async function patchMlp(folder: string): Promise<string> {
  const { layers, learningRate } = makeMlp();
  const b = newBuilder("perceptron");
  const rows = tensorType("float32", ["batch", layers[0]?.rows ?? 0]);
  let value = b.input("x", rows);
  layers.forEach(({ weight, bias, ...layer }, i) => {
    const parameter = (name: string, dims: number[], data: Float32Array): Value => {
      const made = new Value(`layer${i}.${name}`, tensorType("float32", dims));
      b.graph.initializers.set(made, Tensor.of("float32", dims, data));
      return made;
    };
    value = b.op("Gemm", [
      value,
      parameter("weight", [layer.rows, layer.columns], weight),
      parameter("bias", [layer.columns], bias),
    ]);
    if (i < layers.length - 1) value = b.op("Relu", [value]);
  });
  b.output(value, "y");
  const model = join(folder, "model.onnx");
  saveModel(newModel(b.graph), model);
  const out = join(folder, "package");
  await patch(model, out, {
    loss: { kind: "mse" },
    optimizer: "none",
    base: "sgd",
    hyper: { lr: learningRate },
  });
  return out;
}

interface Contender {
  library: Library;
  process: LineProcess;
  times: number[];
  losses: number[];
}

const { values } = parseArgs({
  options: { modules: { type: "string" }, steps: { type: "string", default: "20" } },
});
const modules = values.modules;
check(modules !== undefined, "--modules: a folder with the other libraries' node_modules expected");
const steps = Number(values.steps);
check(Number.isInteger(steps) && steps > 0, `--steps: "${values.steps}"; a whole number from 1 on expected`);

const versionOf = (library: Library): string => {
  const name = libraries[library].package;
  const file = join(library === "curvsam" ? root : modules, "node_modules", ...name.split("/"), "package.json");
  return `${name} ${(JSON.parse(readFileSync(file, "utf8")) as { version: string }).version}`;
};

const folder = mkdtempSync(join(tmpdir(), "curvsam-bench-"));
try {
  const packageFolder = await patchMlp(folder);
  const contenders: Contender[] = [];
  for (const library of Object.keys(libraries) as Library[]) {
    const args = [
      join(root, "scripts", "bench", "javascript_contender.mjs"),
      library,
      library === "curvsam" ? packageFolder : modules,
    ];
    const [process_] = await LineProcess.start(library, process.execPath, args);
    const contender: Contender = { library, process: process_, times: [], losses: [] };
    for (let i = 0; i < warmUp; i++) contender.losses.push(Number((await process_.ask("step"))["loss"]));
    contenders.push(contender);
  }
  for (let i = 0; i < steps; i++) {
    for (const c of contenders) {
      await setTimeout(pause);
      const { ms, loss } = await c.process.ask("step");
      c.times.push(Number(ms));
      c.losses.push(Number(loss));
    }
  }
  const ours = median(contenders[0]?.times ?? []);
  const rows: (string | number | null)[][] = [];
  for (const { library, times, losses, process: p } of contenders) {
    const { peak } = await p.ask("end");
    const { title, target } = libraries[library];
    const ratio = ours / median(times);
    rows.push([
      title,
      versionOf(library),
      formatNumber(median(times), 3),
      Math.round(Number(peak) / 1e6),
      formatNumber(losses.at(-1) ?? NaN, 5),
      target === null ? null : `≤ ${target}`,
      target === null ? null : formatNumber(ratio, 2),
      target === null ? "" : ratio <= target ? "met" : "**missed**",
    ]);
  }
  const text = [
    "# Against other JavaScript libraries",
    "",
    "Made by `scripts/bench/javascript.ts`, never by hand: a step of gradient descent (SGD without momentum) on a perceptron of",
    "three layers of 1024 x 1024 with ReLU between them, batch 256, mean squared error, in Node. Each library is a process of its",
    `own; they take ${steps} steps in turn, after ${warmUp} to warm up, from the same weights.`,
    "",
    `${new Date().toISOString().slice(0, 10)}; ${cpus()[0]?.model.trim() ?? "unknown"}, ${availableParallelism()} cores; Node ${process.version}.`,
    "",
    markdownTable(
      ["library", "version", "median ms", "peak RSS, MB", "last loss", "target", "ours / theirs", ""],
      rows,
    ),
  ].join("\n");
  writeFileSync(join(root, "docs", "BENCHMARKS_JAVASCRIPT.md"), text);
  process.stdout.write(text);
} finally {
  rmSync(folder, { recursive: true, force: true });
}
