/**
 * One optimizer of the benchmark of optimizers in a process of its own: takes steps on command.
 *
 *     node build/scripts/bench/optimizer_process.js PACKAGE BATCH THREADS [profile]
 *
 * `step` answers with the milliseconds, and with what ran: the variant of the step, and the refreshes before it. With `profile`,
 * `end` answers with the shares of each graph: of the optimizer's arithmetic in the kernels, and of what lies outside of the
 * runtime's executor.
 */
import { createInterface } from "node:readline";
import { refreshesAt } from "../../src/format/manifest.js";
import { Engine } from "../../src/runtime/engine.js";
import { check } from "../../src/util/assert.js";
import { readBatch } from "./batches.js";
import { peakBytes } from "./peak.js";
import { profileSessions, type ProfileEvent } from "./profiled.js";

const [folder = "", batchFile = "", threads = "", mode = ""] = process.argv.slice(2);
const say = (answer: object) => process.stdout.write(`${JSON.stringify(answer)}\n`);

/** The parts of a step that are not gradients: by the names that nodes have in the emitted graphs. */
const arithmetic = /^(perturb|descend|curvature|preconditioner)\//;

/** Kernels' milliseconds a run: of all, and of the optimizer's arithmetic, the matrix products of a measurement apart. */
function kernels(events: readonly ProfileEvent[]): { runs: number; all: number; own: number; executor: number } {
  const runs = events.filter((e) => e.name === "SequentialExecutor::Execute");
  const times = events.filter((e) => e.name.endsWith("_kernel_time"));
  const sum = (x: readonly ProfileEvent[]): number => x.reduce((s, e) => s + e.dur / 1000, 0) / runs.length;
  return {
    runs: runs.length,
    all: sum(times),
    own: sum(times.filter((e) => arithmetic.test(e.name))),
    executor: sum(runs),
  };
}

const read = mode === "profile" ? profileSessions() : null;
const engine = await Engine.open(folder, { threads: Number(threads), lowered: `${folder}/lowered` });
const batch = readBatch(batchFile);
say({ ready: true });
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "step") break;
  const before = refreshesAt(engine.manifest, engine.getCounters().step);
  const start = performance.now();
  const { variant, wasSkipped } = await engine.step([batch]);
  check(!wasSkipped, `${folder}: a step was skipped`);
  say({ ms: performance.now() - start, graphs: [...before, variant].join(" ") });
}
const profile = read && Object.fromEntries([...read()].map(([graph, events]) => [graph, kernels(events)]));
say({ peak: peakBytes(), ...(profile && { profile }) });
process.exit(0);
