/**
 * Our side of the benchmark, one process a contender: takes steps on command, as pytorch.py does.
 *
 *     node build/scripts/bench/contender.js KIND PACKAGE BATCH THREADS
 *
 * KIND: `train` takes training steps through the public runtime; `kernels` takes them in this thread, with the runtime's profile
 * on, and tells what is not spent in its executor; `products` runs the matrix products of the plain step alone.
 */
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Engine } from "../../src/runtime/engine.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { check } from "../../src/util/assert.js";
import { readBatch } from "./batches.js";
import type { Answer } from "./line_process.js";
import { peakBytes } from "./peak.js";
import { openProducts } from "./products.js";
import { profileSessions } from "./profiled.js";

interface Contender {
  step(): Promise<Answer>;
  end?(): Promise<Answer>;
}

const say = (answer: Answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

async function training(folder: string, batchFile: string, threads: number): Promise<Contender> {
  const runtime = await PackageRuntime.open(folder, { threads, lowered: join(folder, "lowered") });
  const batch = readBatch(batchFile);
  return {
    step: async () => {
      const start = performance.now();
      const { diagnostics, wasSkipped } = await runtime.step(batch);
      check(!wasSkipped, `${folder}: a step was skipped`);
      return { ms: performance.now() - start, loss: diagnostics["loss"] ?? NaN };
    },
  };
}

/** Steps whose sessions write the runtime's profile: at the end, the milliseconds that its executor ran, run by run. */
async function kernels(folder: string, batchFile: string, threads: number): Promise<Contender> {
  const read = profileSessions();
  const engine = await Engine.open(folder, { threads, lowered: join(folder, "lowered") });
  const batch = readBatch(batchFile);
  return {
    step: async () => {
      const start = performance.now();
      await engine.step([batch]);
      return { ms: performance.now() - start };
    },
    end: async () => {
      const runs = [...read().values()].at(-1)?.filter((e) => e.name === "SequentialExecutor::Execute") ?? [];
      await engine.close();
      return { executor: runs.map((e) => e.dur / 1000).join() };
    },
  };
}

async function main(): Promise<void> {
  const [kind = "", folder = "", batchFile = "", threadsText = ""] = process.argv.slice(2);
  const threads = Number(threadsText);
  const kinds: Record<string, (...args: [string, string, number]) => Promise<Contender>> = {
    train: training,
    kernels,
    products: openProducts,
  };
  const open = kinds[kind];
  check(open, `a kind of contender: train, kernels, products; not "${kind}"`);
  const imported = process.memoryUsage.rss();
  const contender = await open(folder, batchFile, threads);
  say({ ready: true, imported });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line !== "step") break;
    say(await contender.step());
  }
  say({ peak: peakBytes(), ...(await contender.end?.()) });
  process.exit(0);
}

await main();
