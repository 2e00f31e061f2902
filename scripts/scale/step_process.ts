/**
 * Takes steps of the package FOLDER on one batch in a process of its own, and says what they took, as one line of JSON.
 *
 *     node build/scripts/scale/step_process.js FOLDER BATCHxSEQUENCE STEPS fused|phases [lowered]
 */
import { join } from "node:path";
import { readManifest } from "../../src/format/manifest.js";
import { Engine } from "../../src/runtime/engine.js";
import { openBytes } from "../../src/runtime/memory.js";
import type { Driver } from "../../src/runtime/options.js";
import { stepMemory } from "../../src/runtime/step_memory.js";
import { must } from "../../src/util/assert.js";
import { feedsOf, makeBatch } from "../bench/batches.js";
import { median } from "../bench/report.js";
import { peakBytes } from "../bench/peak.js";
import { threads, type Taken } from "./taken.js";

async function main(): Promise<void> {
  const [folder = "", shape = "", count = "", driver = "", lower] = process.argv.slice(2);
  const manifest = readManifest(folder);
  const [batch = 0, sequence = 0] = shape.split("x").map(Number);
  const words = Object.entries(manifest.parameters).find(([name]) => name.includes("word_embeddings"))?.[1];
  const vocabulary = must(words?.shape[0], "a table of words");
  const feeds = feedsOf(makeBatch({ batch, sequence, vocabulary }, Object.keys(manifest.inputs)));
  const lowered = lower === undefined ? undefined : join(folder, lower);
  // The estimate comes last: it takes memory itself.
  const engine = await Engine.open(folder, { threads, driver: driver as Driver, lowered, ignoreMemory: true });
  const open = openBytes(manifest);
  const libraries = process.memoryUsage.rss() - open;
  const times: number[] = [];
  let loss = NaN;
  for (let i = 0; i < Number(count); i++) {
    const start = performance.now();
    const { diagnostics } = await engine.step([feeds]);
    times.push(performance.now() - start);
    loss = diagnostics["loss"] ?? NaN;
  }
  const peak = peakBytes();
  await engine.close();
  const sizes = new Map([
    ["batch", batch],
    ["sequence", sequence],
  ]);
  const estimate = await stepMemory(folder, manifest, sizes, { fused: driver === "fused", micro: 1, lowered });
  const ms = times.length > 1 ? median(times.slice(1)) : (times[0] ?? NaN);
  const taken: Taken = { peak, libraries, open, ...estimate, ms, loss };
  process.stdout.write(`${JSON.stringify(taken)}\n`);
}

await main();
