import { createHash } from "node:crypto";
import { existsSync, readFileSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { InferenceSession, env } from "onnxruntime-node";
import type { Model } from "../ir/graph.js";
import { dce } from "../passes/dce.js";
import { loadModel, saveModel } from "../serde/index.js";
import { UserError } from "../util/assert.js";
import { makeFolder, onFile } from "../util/files.js";
import { makeFills } from "./fills.js";
import { cpuForms } from "./forms.js";
import { orderForMemory } from "./order.js";
import { overwriteUpdates } from "./overwrite.js";

/** Changes with what this folder makes of a graph: files that an earlier one made are not taken for its own. */
const revision = 12;

/**
 * The graph in `source` as the CPU provider optimises it (fusions of level `extended`), its nodes in the order that needs
 * least memory at `sizes` of the dynamic dimensions. Open the returned file at level `disabled`: only there does the runtime
 * keep to the order. A graph that asks for it computes activations anew (`passes/recompute.ts`). Files are kept in the folder `cache`, by the content of their source and the version of the runtime.
 *
 * The fusions are those of this machine's processor: the folder is not to be carried elsewhere.
 */
export async function lowerForCpu(
  source: string,
  cache: string,
  sizes: ReadonlyMap<string, number>,
  { overwrites = false } = {},
): Promise<string> {
  const version = env.versions.node ?? env.versions.common;
  const hash = createHash("sha256")
    .update(readFileSync(source))
    .update(`${version} ${revision} ${overwrites}`)
    .digest("hex")
    .slice(0, 24);
  const name = `${basename(source, ".onnx")}-${hash}`;
  const file = join(cache, `${name}.onnx`);
  if (existsSync(file)) return file;
  makeFolder(cache);
  const formed = join(cache, `.${name}-${process.pid}-formed.onnx`);
  const optimized = join(cache, `.${name}-${process.pid}-optimized.onnx`);
  const ordered = join(cache, `.${name}-${process.pid}.onnx`);
  try {
    const before = loadModel(source);
    for (const { apply } of cpuForms) apply(before.graph);
    dce(before.graph);
    before.opsets.set("com.microsoft", 1);
    saveModel(before, formed);
    await optimize(formed, optimized);
    const load = (): Model => {
      const model = loadModel(optimized);
      makeFills(model.graph);
      if (overwrites) overwriteUpdates(model.graph);
      model.metadata = before.metadata;
      return model;
    };
    saveModel(orderForMemory(load, sizes), ordered);
    onFile(file, "write", () => renameSync(ordered, file));
  } finally {
    for (const temporary of [formed, optimized, ordered]) rmSync(temporary, { force: true });
  }
  return file;
}

/** Writes `from` as the runtime optimises it to `to`. */
async function optimize(from: string, to: string): Promise<void> {
  try {
    const session = await InferenceSession.create(from, {
      executionProviders: ["cpu"],
      graphOptimizationLevel: "extended",
      optimizedModelFilePath: to,
      logSeverityLevel: 3,
    });
    await session.release();
  } catch (error) {
    // All that the runtime says of a file that it could not write.
    if (error instanceof Error && error.message.includes("serialization failed")) {
      throw new UserError(`${to}: cannot write: ONNX Runtime could not write the optimised graph; free some space`);
    }
    throw error;
  }
}
