/**
 * Writes docs/CHUNKS.md: what taking several steps in one run saves, on the 6-layer encoder of the benchmark, whose packages
 * `npm run bench -- --prepare` makes.
 *
 *     node build/scripts/chunks.js [--steps 16]
 *
 * Every row is a process of its own: `node build/scripts/chunks.js --row PACKAGE:K` takes the steps, K in a run (0: each alone).
 */
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { PackageRuntime } from "../src/runtime/runtime.js";
import { markdownTable } from "../src/report/table.js";
import { check } from "../src/util/assert.js";
import { root } from "../test/support/root.js";
import { readBatch } from "./bench/batches.js";
import { peakBytes } from "./bench/peak.js";

const work = join(root, "build", "bench", "encoder");
const threads = 2;
const optimizers = { none: "AdamW", sam: "SAM over AdamW" } as const;
const lengths = [0, 4, 16];

interface Row {
  ms: number;
  peak: number;
}

/** Median milliseconds a step over `steps` steps, after as many to warm up. */
async function measure(name: string, length: number, steps: number): Promise<Row> {
  const folder = join(work, name);
  const runtime = await PackageRuntime.open(folder, { threads, lowered: join(folder, "lowered") });
  const batch = readBatch(join(work, "batch.json"));
  const many = Array.from({ length: Math.max(1, length) }, () => batch);
  if (length > 0) await runtime.roomForSteps(batch);
  const take = async (): Promise<number> => {
    const start = performance.now();
    if (length > 0) check((await runtime.steps(many, [])).failed === null, `${name}: a step is not finite`);
    else await runtime.step(batch);
    return (performance.now() - start) / many.length;
  };
  const times: number[] = [];
  for (let taken = 0; taken < 2 * steps; taken += many.length) {
    const ms = await take();
    if (taken >= steps) times.push(ms);
  }
  await runtime.close();
  times.sort((a, b) => a - b);
  return { ms: times[times.length >> 1] ?? NaN, peak: peakBytes() };
}

function table(steps: number): string {
  const rows = Object.entries(optimizers).flatMap(([name, title]) => {
    const measured = lengths.map((length): Row => {
      const args = [
        join(root, "build", "scripts", "chunks.js"),
        "--row",
        `${name}:${length}`,
        "--steps",
        String(steps),
      ];
      const row = JSON.parse(execFileSync(process.execPath, args, { encoding: "utf8" })) as Row;
      process.stderr.write(`${name}, ${length} in a run: ${row.ms.toFixed(0)} ms\n`);
      return row;
    });
    const alone = measured[0]?.ms ?? NaN;
    return measured.map(({ ms, peak }, i) => [
      title,
      lengths[i] ? String(lengths[i]) : "each alone",
      Math.round(ms),
      Number((ms / alone).toFixed(2)),
      Math.round(peak / 1e6),
    ]);
  });
  return markdownTable(["optimizer", "steps in a run", "ms a step", "of alone", "peak RSS, MB"], rows);
}

const { values } = parseArgs({ options: { row: { type: "string" }, steps: { type: "string", default: "16" } } });
const steps = Number(values.steps);
if (values.row === undefined) {
  const lines = [
    "# Several steps in one run",
    "",
    "Made by `scripts/chunks.ts`, never by hand. `curvsam train --chunk` takes several steps in one run of ONNX Runtime: weights and",
    "optimizer state go from step to step in a `Loop`, where runs of their own copy all of them at every step. The steps are the same,",
    "bit for bit. `auto`, the default, does so on the CPU, as many steps as take a few seconds, leave half of the free memory,",
    "and stack no more inputs (batches, probes, masks) than an eighth of what a single one takes.",
    "",
    `The 6-layer encoder of [BENCHMARKS.md](BENCHMARKS.md), batch 16 x 64, ${threads} threads, medians over ${steps} steps;`,
    `${cpus()[0]?.model.trim() ?? ""}, Node ${process.version}, ${new Date().toISOString().slice(0, 10)}.`,
    "",
    table(steps).trimEnd(),
  ];
  writeFileSync(join(root, "docs", "CHUNKS.md"), `${lines.join("\n")}\n`);
} else {
  const [name = "", length = ""] = values.row.split(":");
  console.log(JSON.stringify(await measure(name, Number(length), steps)));
}
