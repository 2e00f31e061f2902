/**
 * Our side of the benchmark, one process a contender: takes steps on command, as pytorch.py does.
 *
 *     node build/scripts/bench/contender.js KIND PACKAGE BATCH THREADS CHUNK
 *
 * KIND: `train` takes training steps through the public runtime; `kernels` takes them in this thread, with the runtime's profile
 * on, and tells what is not spent in its executor, CHUNK of them in one run of the runtime; `products` runs the matrix products of
 * the plain step alone.
 */
import { join } from "node:path";
import { createInterface } from "node:readline";
import { Engine } from "../../src/runtime/engine.js";
import { Chunks } from "../../src/train/chunks.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { check } from "../../src/util/assert.js";
import type { Feeds } from "../../src/runtime/batch.js";
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

/** Takes `chunk` steps in one run, and tells the mean time of one; the first loss of them. */
async function inOneRun(runtime: PackageRuntime | Engine, batch: Feeds, chunk: number) {
  const batches = Array.from({ length: chunk }, () => batch);
  const start = performance.now();
  const { results, failed } = await runtime.steps(batches, []);
  check(failed === null, "a step was not finite");
  return { ms: (performance.now() - start) / chunk, loss: results[0]?.diagnostics["loss"] ?? NaN };
}

async function alone(runtime: PackageRuntime, batch: Feeds) {
  const start = performance.now();
  const { diagnostics } = await runtime.step(batch);
  return { ms: performance.now() - start, loss: diagnostics["loss"] ?? NaN };
}

async function training(folder: string, batchFile: string, threads: number, chunk: number): Promise<Contender> {
  const runtime = await PackageRuntime.open(folder, { threads, lowered: join(folder, "lowered") });
  const batch = readBatch(batchFile);
  const chunks = new Chunks(runtime, "auto", () => undefined);
  let taken = 0;
  return {
    step: async () => {
      const count = await chunks.next(taken, chunk, batch);
      const answer = await (count === 1 ? alone(runtime, batch) : inOneRun(runtime, batch, count));
      taken += count;
      chunks.took(count, (answer.ms * count) / 1000);
      return { ...answer, count };
    },
  };
}

/** Steps whose sessions write the runtime's profile: at the end, the milliseconds that its executor ran, run by run. */
async function kernels(folder: string, batchFile: string, threads: number, chunk: number): Promise<Contender> {
  const read = profileSessions();
  const engine = await Engine.open(folder, { threads, lowered: join(folder, "lowered") });
  const batch = readBatch(batchFile);
  await engine.roomForSteps(batch);
  return {
    step: () => inOneRun(engine, batch, chunk),
    end: async () => {
      const all = [...read().values()].at(-1)?.filter((e) => e.name === "SequentialExecutor::Execute") ?? [];
      await engine.close();
      // The body of a Loop is executed within its graph: that counts once.
      const outer = all.filter((e) => !all.some((o) => o !== e && o.ts <= e.ts && e.ts + e.dur <= o.ts + o.dur));
      return { executor: outer.map((e) => e.dur / 1000).join() };
    },
  };
}

async function main(): Promise<void> {
  const [kind = "", folder = "", batchFile = "", threadsText = "", chunkText = ""] = process.argv.slice(2);
  const threads = Number(threadsText);
  const kinds: Record<string, (...args: [string, string, number, number]) => Promise<Contender>> = {
    train: training,
    kernels,
    products: openProducts,
  };
  const open = kinds[kind];
  check(open, `a kind of contender: train, kernels, products; not "${kind}"`);
  const imported = process.memoryUsage.rss();
  const contender = await open(folder, batchFile, threads, Number(chunkText));
  say({ ready: true, imported });
  for await (const line of createInterface({ input: process.stdin })) {
    if (line !== "step") break;
    say(await contender.step());
  }
  say({ peak: peakBytes(), ...(await contender.end?.()) });
  process.exit(0);
}

await main();
