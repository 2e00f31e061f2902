import { createHash } from "node:crypto";
import { existsSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { cycleGraph, stackedPorts, type StackedPort } from "../passes/cycle.js";
import { estimatedSizes, simulatePeak } from "../passes/memory.js";
import { loadModel, saveModel } from "../serde/index.js";
import { must } from "../util/assert.js";
import { onFile } from "../util/files.js";
import { lowerForCpu } from "./cpu.js";

export interface LoweredCycle {
  file: string;
  ports: readonly StackedPort[];
  /** Simulated peak bytes of the step that needs most. */
  peak: number;
}

/** Changes with what `passes/cycle.ts` makes of the same steps. */
const revision = 1;

/**
 * Cycles of the steps in the files `pieces`, each lowered for the CPU provider first, so that a step in a cycle does what it
 * does alone, bit for bit. Kept in the folder `cache` like them.
 */
export async function lowerCycleForCpu(
  pieces: readonly { source: string; count: number }[],
  isHeld: (name: string) => boolean,
  cache: string,
  sizes: ReadonlyMap<string, number>,
): Promise<LoweredCycle> {
  const hash = createHash("sha256").update(String(revision));
  const models = [];
  for (const { source, count } of pieces) {
    const file = await lowerForCpu(source, cache, sizes);
    hash.update(`${basename(file)} ${count} `);
    models.push({ count, model: loadModel(file) });
  }
  const steps = models.map(({ count, model }) => ({ count, graph: model.graph }));
  const ports = stackedPorts(steps, isHeld);
  const peak = Math.max(...steps.map(({ graph }) => simulatePeak(graph, estimatedSizes(graph, sizes))));
  const file = join(cache, `cycle-${hash.digest("hex").slice(0, 24)}.onnx`);
  if (existsSync(file)) return { file, ports, peak };
  const temporary = join(cache, `.cycle-${process.pid}.onnx`);
  try {
    const model = { ...must(models[0], "a step").model, graph: cycleGraph(steps, isHeld) };
    model.opsets = new Map(models.flatMap((m) => [...m.model.opsets]));
    saveModel(model, temporary);
    onFile(file, "write", () => renameSync(temporary, file));
  } finally {
    rmSync(temporary, { force: true });
  }
  return { file, ports, peak };
}
