import { basename } from "node:path";
import {
  checkControl,
  checkDomains,
  collectSequences,
  liftConstants,
  timeFirst,
  unpackSequences,
  upgrade,
} from "../convert/index.js";
import { isTrainingGraph } from "../convert/training/index.js";
import { checkReductions } from "../frontend/scatters.js";
import { findSource, type SourceOptions } from "../frontend/source.js";
import { restoreTraining, type Restored } from "../frontend/train_mode.js";
import { unfoldRecurrent } from "../frontend/unfold.js";
import { untieConstants } from "../frontend/untie.js";
import type { Source } from "../frontend/objective.js";
import type { Model } from "../ir/graph.js";
import { constantsToInitializers } from "../passes/constants.js";
import { decompose } from "../passes/decompose.js";
import { foldGelu } from "../passes/gelu.js";
import { simplify } from "../passes/simplify.js";
import { slicesToSplits } from "../passes/split.js";
import { staticReshapes } from "../passes/static_reshapes.js";
import { loadModel } from "../serde/index.js";
import { check } from "../util/assert.js";
import { sha256OfFile } from "../util/hash.js";
import { probeTypes } from "./probe.js";

/** Where a package's model came from. */
export interface Origin {
  file: string;
  sha256: string;
  irVersion: number;
  opset: number;
}

/** The versions that a model has before it is raised. */
export const versionsOf = (model: Model): Pick<Origin, "irVersion" | "opset"> => ({
  irVersion: model.irVersion,
  opset: model.opsets.get("") ?? model.opsets.get("ai.onnx") ?? 1,
});

/** Reads an exported model; throws a UserError for the training model of artifacts, which is trained with its checkpoint. */
export function loadExport(file: string): Model {
  const model = loadModel(file);
  check(
    !isTrainingGraph(model.graph),
    `${file}: a training model of ONNX Runtime, whose --checkpoint is missing; curvsam patch takes both`,
  );
  return model;
}

/** Reads a model, inlines its functions, raises it to the working opset, types every value and writes fused operators out; says what it was before. */
export async function loadTyped(file: string): Promise<{ model: Model; before: Pick<Origin, "irVersion" | "opset"> }> {
  const model = loadExport(file);
  const before = versionsOf(model);
  upgrade(model);
  checkDomains(model.graph);
  constantsToInitializers(model.graph);
  checkControl(model.graph);
  checkReductions(model.graph);
  unpackSequences(model);
  collectSequences(model);
  timeFirst(model);
  liftConstants(model);
  await probeTypes(model);
  decompose(model);
  untieConstants(model.graph);
  unfoldRecurrent(model.graph);
  staticReshapes(model.graph);
  simplify(model.graph);
  if (foldGelu(model.graph).modified) simplify(model.graph);
  slicesToSplits(model.graph);
  return { model, before };
}

/** `loadTyped`, then what the options name in it; says what `trainMode` put back. */
export async function loadSource(
  file: string,
  options: SourceOptions,
): Promise<{ source: Source; origin: Origin; restored: readonly Restored[] }> {
  const { model, before } = await loadTyped(file);
  const restored = options.trainMode ? restoreTraining(model.graph, options.trainMode) : [];
  const source = findSource(model.graph, options);
  return { source, origin: { file: basename(file), sha256: await sha256OfFile(file), ...before }, restored };
}
