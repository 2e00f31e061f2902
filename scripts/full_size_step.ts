/**
 * Patches ResNet-18, WRN-28-10 and ViT-B/16 at full size with CurvSAM, takes two steps of each on one batch, and writes the
 * section "At full size" of docs/MODELS.md.
 *
 *     python scripts/full_size_models.py --out full --images ../shared/data/cifar10/train.c10j
 *     npx tsc && node build/scripts/full_size_step.js full
 *
 * Each model is stepped in a process of its own (`--step PACKAGE BATCH`), whose peak memory is told. Exits 1, and writes nothing,
 * where a loss is not finite or does not fall.
 */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { cpus, loadavg, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { SafetensorsFile } from "../src/format/safetensors.js";
import { patch } from "../src/pack/patch.js";
import { markdownTable, type TableCell } from "../src/report/table.js";
import type { Feeds } from "../src/runtime/batch.js";
import { Engine } from "../src/runtime/engine.js";
import { loadModel } from "../src/serde/index.js";
import { must } from "../src/util/assert.js";
import { kernelsOf } from "../src/lower/kernels.js";
import { root } from "../test/support/root.js";
import { peakBytes } from "./bench/peak.js";
import { fullSize, withSection } from "./full_size_section.js";

const threads = 2;
const lr = 0.01;
const models = { "resnet-18": "ResNet-18 (CIFAR head)", "wrn-28-10": "WRN-28-10 (CIFAR head)", "vit-b16": "ViT-B/16" };

/** What the process of one model tells. */
interface Steps {
  losses: number[];
  /** Seconds; the first step opens the graph too. */
  seconds: number[];
  peak: number;
}

function readBatch(file: string): Feeds {
  return SafetensorsFile.using(file, (tensors) => {
    const labels = tensors.bytes("labels");
    return {
      feeds: {
        x: { dtype: "float32", dims: tensors.entry("x").shape, data: tensors.float32("x") },
        labels: { dtype: "int64", dims: tensors.entry("labels").shape, data: new BigInt64Array(labels.buffer) },
      },
    };
  });
}

async function takeSteps(folder: string, batchFile: string): Promise<Steps> {
  const batch = readBatch(batchFile);
  const engine = await Engine.open(folder, { threads });
  const [losses, seconds]: [number[], number[]] = [[], []];
  for (let i = 0; i < 2; i++) {
    const start = performance.now();
    const { diagnostics } = await engine.step([batch]);
    seconds.push((performance.now() - start) / 1000);
    losses.push(diagnostics["loss"] ?? NaN);
  }
  await engine.close();
  return { losses, seconds, peak: peakBytes() };
}

async function measure(folder: string, name: string, title: string): Promise<TableCell[]> {
  const file = join(folder, `${name}.onnx`);
  const batchFile = join(folder, `${name}.safetensors`);
  const temporary = mkdtempSync(join(tmpdir(), "curvsam-full-"));
  try {
    const out = join(temporary, "package");
    const start = performance.now();
    const report = await patch(file, out, {
      loss: { kind: "cross-entropy" },
      optimizer: "curvsam",
      optimizerOptions: { frequency: 1 },
      base: "sgd",
      hyper: { lr },
    });
    const patching = (performance.now() - start) / 1000;
    const self = fileURLToPath(import.meta.url);
    const steps = JSON.parse(
      execFileSync(process.execPath, [self, "--step", out, batchFile], { encoding: "utf8" }),
    ) as Steps;
    const [loss = NaN, after = NaN] = steps.losses;
    if (!(after < loss)) throw new Error(`${name}: the loss went from ${loss} to ${after}`);
    const [rows] = readBatch(batchFile).feeds["x"]?.dims ?? [];
    return [
      title,
      loadModel(file).graph.nodes.length,
      must(report.graphs["curvature_step"], "curvature_step").nodes,
      report.trainableElements.toLocaleString("en"),
      rows ?? null,
      Number(patching.toFixed(1)),
      loss,
      after,
      ...steps.seconds.map((s) => Number(s.toFixed(1))),
      Math.round(steps.peak / 1e6),
    ];
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

const section = (rows: readonly TableCell[][], load: number): string => `${fullSize}

Written by \`scripts/full_size_step.ts\`: exports in training mode, with weights drawn from a seed (none that are trained could be
had here), and one batch of CIFAR-10's images, scaled up for ViT. CurvSAM over SGD, learning rate ${lr}; every step refreshes the
curvature, by an exact Hessian-vector product over the whole batch. The loss after a step is the one that the second step finds on
the same batch, with dropout drawn anew. ${threads} threads of ${cpus()[0]?.model.trim() ?? "an unknown processor"}, ONNX Runtime ${kernelsOf}; the first step opens the graph too.
The load average over five minutes was ${load.toFixed(1)} on ${cpus().length} cores at the end: above the ${threads} threads, other work shared the
machine, and times say little.

    python scripts/full_size_models.py --out full --images ../shared/data/cifar10/train.c10j
    npx tsc && node build/scripts/full_size_step.js full

${markdownTable(
  [
    "model",
    "nodes",
    "nodes of the step",
    "parameters",
    "batch",
    "patch, s",
    "loss",
    "after a step",
    "first step, s",
    "second step, s",
    "peak RSS, MB",
  ],
  rows,
)}`;

async function main(): Promise<number> {
  const [first, ...rest] = process.argv.slice(2);
  if (first === "--step") {
    const [folder = "", batchFile = ""] = rest;
    process.stdout.write(JSON.stringify(await takeSteps(folder, batchFile)));
    return 0;
  }
  if (first === undefined || !Object.keys(models).every((name) => existsSync(join(first, `${name}.onnx`)))) {
    process.stderr.write("full_size_step: give the folder that scripts/full_size_models.py wrote\n");
    return 2;
  }
  const rows: TableCell[][] = [];
  for (const [name, title] of Object.entries(models)) {
    rows.push(await measure(first, name, title));
    process.stdout.write(`${rows.at(-1)?.join(", ") ?? ""}\n`);
  }
  const document = join(root, "docs", "MODELS.md");
  writeFileSync(document, withSection(readFileSync(document, "utf8"), section(rows, loadavg()[1] ?? NaN)));
  return 0;
}

process.exitCode = await main();
