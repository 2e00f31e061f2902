/**
 * Our side of the benchmark, one process a contender: takes steps on command, as pytorch.py does.
 *
 *     node build/scripts/bench/contender.js KIND PACKAGE BATCH THREADS
 *
 * KIND: `train` takes training steps through the public runtime; `kernels` takes them in this thread, with the runtime's profile
 * on, and tells what is not spent in its executor; `products` runs the matrix products of the plain step alone.
 */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { InferenceSession } from "onnxruntime-node";
import { Engine } from "../../src/runtime/engine.js";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { check } from "../../src/util/assert.js";
import { readBatch } from "./batches.js";
import type { Answer } from "./line_process.js";
import { peakBytes } from "./peak.js";
import { openProducts } from "./products.js";

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

/** Steps whose sessions write the runtime's profile: at the end, the milliseconds that its executor ran. */
async function kernels(folder: string, batchFile: string, threads: number): Promise<Contender> {
  const profiles = mkdtempSync(join(tmpdir(), "curvsam-profile-"));
  const sessions: InferenceSession[] = [];
  const create = InferenceSession.create.bind(InferenceSession) as (
    model: string,
    options: InferenceSession.SessionOptions,
  ) => Promise<InferenceSession>;
  const profiled = async (model: string, options: InferenceSession.SessionOptions): Promise<InferenceSession> => {
    const extra = { enableProfiling: true, profileFilePrefix: join(profiles, `session${sessions.length}`) };
    const session = await create(model, { ...options, ...extra });
    sessions.push(session);
    return session;
  };
  Object.assign(InferenceSession, { create: profiled });
  const engine = await Engine.open(folder, { threads, lowered: join(folder, "lowered") });
  const batch = readBatch(batchFile);
  return {
    step: async () => {
      const start = performance.now();
      await engine.step([batch]);
      return { ms: performance.now() - start };
    },
    end: async () => {
      sessions.at(-1)?.endProfiling();
      await engine.close();
      return { profiles };
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
