import { createHash } from "node:crypto";
import { existsSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import type { Model } from "../ir/graph.js";
import { cycleGraph, stackedPorts, type StackedPort } from "../passes/cycle.js";
import { estimatedSizes, simulatePeak } from "../passes/memory.js";
import { loadModel, saveModel, serializeModel } from "../serde/index.js";
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
  const { ports, peak } = plan(models, isHeld, sizes);
  const file = join(cache, `cycle-${hash.digest("hex").slice(0, 24)}.onnx`);
  if (existsSync(file)) return { file, ports, peak };
  const temporary = join(cache, `.cycle-${process.pid}.onnx`);
  try {
    saveModel(compose(models, isHeld), temporary);
    onFile(file, "write", () => renameSync(temporary, file));
  } finally {
    rmSync(temporary, { force: true });
  }
  return { file, ports, peak };
}

/** Cycles of the steps in the files `pieces` as they are, for a provider whose Loop keeps state where it computes: the model's bytes. */
export function composeCycle(
  pieces: readonly { source: string; count: number }[],
  isHeld: (name: string) => boolean,
  sizes: ReadonlyMap<string, number>,
): Omit<LoweredCycle, "file"> & { model: Uint8Array } {
  const models = pieces.map(({ source, count }) => ({ count, model: loadModel(source) }));
  return { ...plan(models, isHeld, sizes), model: serializeModel(compose(models, isHeld)) };
}

interface Steps {
  count: number;
  model: Model;
}

const graphsOf = (models: readonly Steps[]) => models.map(({ count, model }) => ({ count, graph: model.graph }));

function plan(
  models: readonly Steps[],
  isHeld: (name: string) => boolean,
  sizes: ReadonlyMap<string, number>,
): Omit<LoweredCycle, "file"> {
  const steps = graphsOf(models);
  const peak = Math.max(...steps.map(({ graph }) => simulatePeak(graph, estimatedSizes(graph, sizes))));
  return { ports: stackedPorts(steps, isHeld), peak };
}

/** The cycle as a model; the graphs of `models` become part of it. */
function compose(models: readonly Steps[], isHeld: (name: string) => boolean): Model {
  const opsets = new Map(models.flatMap(({ model }) => [...model.opsets]));
  return { ...must(models[0], "a step").model, opsets, graph: cycleGraph(graphsOf(models), isHeld) };
}
