/**
 * Trains packages with train_package.py on the CPU, on the batches and random numbers of our trainer, and holds its losses to
 * ours, step by step: fused and in phases. Writes docs/PYTHON_TRAINING.md.
 *
 *     npx tsc && node build/scripts/gpu/python_check.js --python python3 [--steps 20] [--work build/python]
 *
 * Python needs onnxruntime and NumPy.
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readManifest } from "../../src/format/manifest.js";
import { writeSafetensors } from "../../src/format/safetensors.js";
import { markdownTable, type TableCell } from "../../src/report/table.js";
import type { Feeds } from "../../src/runtime/batch.js";
import { prepareBatch } from "../../src/runtime/feeder.js";
import { RandomInputs } from "../../src/runtime/random.js";
import { bytesOf, unwrap } from "../../src/runtime/tensors.js";
import { check, must } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { runScript } from "../script.js";
import { optimizers, readBatches, writeModels } from "./models.js";
import { largestDifference, lossesOf, seed } from "./training.js";

/** Largest relative difference of a loss: the two may run other versions of the runtime. */
const tolerance = 1e-4;

/** Writes what our trainer draws at every step, as `<input>@<step>`. */
function writeRandom(folder: string, file: string, steps: number, batches: readonly Feeds[]): void {
  const manifest = readManifest(folder);
  const random = new RandomInputs(manifest, seed);
  const tensors = Array.from({ length: steps }, (_, step) => {
    const { sizes } = prepareBatch(manifest, must(batches[step % batches.length], "a batch"));
    return Object.entries(manifest.random).flatMap(([name, { per, dtype }]) => {
      if (per === "refresh" && step % manifest.optimizer.frequency !== 0) return [];
      const { data, dims } = unwrap(random.get(name, { step, attempt: 0, micro: 0 }, sizes));
      return [{ name: `${name}@${step}`, dtype, shape: dims, bytes: Uint8Array.from(bytesOf(data)) }];
    });
  });
  writeSafetensors(file, tensors.flat(), {});
}

interface Answer {
  onnxruntime: string;
  losses: number[];
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      python: { type: "string", default: "python3" },
      steps: { type: "string", default: "20" },
      work: { type: "string", default: join(root, "build", "python") },
    },
  });
  const steps = Number(values.steps);
  check(Number.isInteger(steps) && steps > 0, `--steps: "${values.steps}"; a whole number from 1 on expected`);
  await writeModels(values.work);
  const batches = readBatches(values.work);
  const rows: TableCell[][] = [];
  let version = "";
  for (const name of Object.keys(optimizers)) {
    const folder = join(values.work, name);
    const random = join(values.work, `${name}.random.safetensors`);
    writeRandom(folder, random, steps, batches);
    const ours = await lossesOf(folder, "cpu", steps, batches);
    const differences = [[], ["--phases"]].map((flags) => {
      const script = join(root, "scripts", "gpu", "train_package.py");
      const data = ["--batches", join(values.work, "batches.json"), "--random", random];
      const args = [script, folder, "--provider", "cpu", "--steps", String(steps), ...data, ...flags];
      const answer = JSON.parse(execFileSync(values.python, args, { encoding: "utf8" })) as Answer;
      version = answer.onnxruntime;
      return largestDifference(answer.losses, ours);
    });
    rows.push([name, ours[0] ?? null, ours.at(-1) ?? null, ...differences]);
    process.stdout.write(
      `${name}: losses differ by ${differences.map((d) => d.toExponential(1)).join(", in phases by ")}\n`,
    );
  }
  const header = ["optimizer", "first loss", "last loss", "fused differs by", "phases differ by"];
  const text = [
    "# Training in Python",
    "Written by `scripts/gpu/python_check.ts`: `scripts/gpu/train_package.py`, which needs onnxruntime and NumPy alone, takes " +
      `${steps} steps of packages of models/roberta-mini on the CPU, on the batches and random numbers of our trainer. The differences are ` +
      `the largest relative ones of all losses. onnxruntime ${version} there. It has not been run on a GPU yet.`,
    markdownTable(header, rows),
  ];
  writeFileSync(join(root, "docs", "PYTHON_TRAINING.md"), `${text.map((part) => part.trimEnd()).join("\n\n")}\n`);
  return rows.every((row) => row.slice(3).every((cell) => typeof cell === "number" && cell <= tolerance));
}

await runScript(main);
