import { existsSync } from "node:fs";
import { join } from "node:path";
import { manifestFile, writeManifest } from "../format/manifest.js";
import { writeSafetensors } from "../format/safetensors.js";
import { auditExport, type ExportWarning } from "../frontend/audit.js";
import type { Precision } from "../frontend/autocast.js";
import type { LossOptions } from "../frontend/losses.js";
import type { Restored, TrainModeOptions } from "../frontend/train_mode.js";
import type { Source } from "../frontend/objective.js";
import type { SourceOptions } from "../frontend/source.js";
import { newModel, type Graph } from "../ir/graph.js";
import { checkHyper, compose, partsOf, type Optimizer } from "../optim/compose.js";
import { withPreset, type PresetName } from "../optim/presets.js";
import { recomputeKey } from "../passes/recompute.js";
import { storeKey } from "../passes/half_storage.js";
import { saveModel } from "../serde/index.js";
import { UserError, check, must } from "../util/assert.js";
import { writeFolderAtomically } from "../util/folder.js";
import { version } from "../util/version.js";
import { loadArtifact, type ArtifactFiles } from "./artifact.js";
import { loadSource, type Origin } from "./load.js";
import { describePackage, type HyperValues } from "./manifest.js";
import { firstLossScale, inMixedPrecision, refuseInMixed } from "./mixed.js";
import {
  curvatureGraph,
  descendGraph,
  evaluateGraph,
  forwardGraph,
  gradientGraph,
  perturbGraph,
  refreshGraph,
} from "./phases.js";
import type { Recipe } from "./ports.js";
import { stepGraph } from "./step.js";
import { tidy } from "./tidy.js";
import { variantsOf } from "./variants.js";

export interface PatchOptions {
  /**
   * The loss to add, or the model's own. `logits` may be left out where the model has one floating-point output. Training
   * artifacts bring their loss: then there is none to give.
   */
  loss?: ({ logits?: string } & LossOptions) | { kind: "output"; output: string };
  /** For a training model of ONNX Runtime: the other parts of its artifacts. */
  artifact?: ArtifactFiles;
  /** The ascent: none, sam or curvsam. */
  optimizer?: string;
  /** Settings of curvsam under one name: `paper` (the default) or `fast`; what is given beside it wins. */
  preset?: PresetName;
  /** Options of the ascent that shape the graphs, e.g. `{ frequency: 5 }`. */
  optimizerOptions?: Record<string, unknown>;
  /** What becomes of the two gradients; default plain. */
  combine?: string;
  combineOptions?: Record<string, unknown>;
  /** The base optimizer: sgd or adamw. */
  base?: string;
  baseOptions?: Record<string, unknown>;
  /** Defaults of hyper-parameters, by name: `{ lr: 2e-5 }`. */
  hyper?: Record<string, number>;
  /** Put back what exporters take out of a model in evaluation mode: batch norms' batches, dropout. */
  trainMode?: TrainModeOptions;
  /**
   * Whether steps move the running statistics of batch norms in training mode (in the first pass only), or freeze them;
   * by default they move.
   */
  batchNormStatistics?: "update" | "freeze";
  /** Only parameters whose names match are trained. */
  train?: (name: string) => boolean;
  /** Parameters whose names match are not trained. */
  freeze?: (name: string) => boolean;
  /** Sees the names of all parameters before anything is selected or written; may throw where a pattern fits none of them. */
  checkNames?: (names: readonly string[]) => void;
  /** Groups with hyper-parameters of their own; a parameter belongs to the first that matches, else to "default". */
  groups?: readonly { name: string; match: (name: string) => boolean; hyper: Record<string, number> }[];
  /**
   * Compute activations anew in backward passes instead of keeping them, and let runs hold on to no memory: less of it, for one
   * more forward pass. It is done where graphs are lowered, for the CPU provider: optimizers of other runtimes would undo it.
   */
  recompute?: boolean;
  /**
   * What activations wait for the backward pass in. float16 takes half of their memory and rounds gradients; done where `recompute` is,
   * for the CPU provider, in graphs whose peak it lowers. Default: float32.
   */
  storeActivations?: "float32" | "float16";
  /**
   * `mixed`: training graphs compute products in float16, as PyTorch's autocast does, on float32 parameters and state, and scale the
   * loss (2¹⁶ where `hyper` has no `loss_scale`). For GPU providers: the CPU provider refuses to train with it. Default: float32.
   */
  precision?: Precision;
  /** Replace the folder where it exists. */
  force?: boolean;
}

/** What `patch` made, for reports. */
export interface PatchReport {
  folder: string;
  parameters: number;
  trainableParameters: number;
  /** Elements of all trainable parameters. */
  trainableElements: number;
  dropouts: number;
  /** Running statistics of batch norms in training mode. */
  buffers: number;
  /** What `trainMode` put back. */
  restored: readonly Restored[];
  /** What trains, but hardly as the model's author meant. */
  warnings: readonly ExportWarning[];
  graphs: Readonly<Record<string, { file: string; nodes: number }>>;
}

/**
 * Reads the ONNX model `file` and writes the training package `folder`: the phases and the fused steps as plain ONNX
 * graphs, the weights, and the manifest. The folder appears when it is whole.
 *
 * Throws a UserError for a model that cannot be read or differentiated, and for options that do not fit it.
 */
export async function patch(file: string, folder: string, options: PatchOptions): Promise<PatchReport> {
  const groups = options.groups ?? [];
  const ascent = options.optimizer ?? "curvsam";
  const mixed = options.precision === "mixed";
  const given = {
    options: options.optimizerOptions ?? {},
    hyper: { ...(mixed && { loss_scale: firstLossScale }), ...options.hyper },
  };
  const settled = options.preset === undefined ? given : withPreset(options.preset, ascent, given.options, given.hyper);
  const values: HyperValues = {
    all: settled.hyper,
    groups: Object.fromEntries(groups.map((g) => [g.name, g.hyper])),
  };
  const optimizer = compose(ascent, options.base ?? "sgd", {
    ascent: settled.options,
    ...(options.combine !== undefined && { combine: options.combine }),
    combineOptions: options.combineOptions ?? {},
    base: options.baseOptions ?? {},
    hyper: values.all,
  });
  for (const group of groups) checkHyper(optimizer, group.hyper);
  if (mixed) refuseInMixed(optimizer);
  const loaded = await load(file, options, {
    ...(options.batchNormStatistics && { batchNormStatistics: options.batchNormStatistics }),
    ...(options.train && { train: options.train }),
    ...(options.freeze && { freeze: options.freeze }),
    ...(options.checkNames && { checkNames: options.checkNames }),
    group: (name) => groups.find((g) => g.match(name))?.name ?? "default",
  });
  const { origin, restored } = loaded;
  const source = mixed ? inMixedPrecision(loaded.source, file) : loaded.source;
  const groupedHyper = groupedNames(optimizer, groups);
  const recipe: Recipe = { source, optimizer, groupedHyper };
  const graphs: Record<string, { file: string; nodes: number }> = {};
  await writeFolderAtomically(folder, options.force ? isPackage : undefined, (temporary) => {
    for (const [name, graph] of emitGraphs(recipe)) {
      const model = newModel(graph);
      model.producer = { name: "curvsam", version };
      if (options.recompute) model.metadata.set(recomputeKey, "segments");
      if (options.storeActivations === "float16") model.metadata.set(storeKey, options.storeActivations);
      saveModel(model, join(temporary, `${name}.onnx`));
      graphs[name] = { file: `${name}.onnx`, nodes: graph.nodes.length };
    }
    writeSafetensors(
      join(temporary, "weights.safetensors"),
      [...source.parameters, ...source.buffers].map((p) => {
        const tensor = must(source.graph.initializers.get(p.value), `the values of "${p.name}"`);
        return { name: p.name, dtype: tensor.dtype, shape: tensor.dims, bytes: () => tensor.bytes() };
      }),
      { format: "pt" },
    );
    const files = Object.fromEntries(Object.entries(graphs).map(([name, g]) => [name, g.file]));
    const manifest = describePackage(recipe, origin, values, files);
    writeManifest(temporary, { ...manifest, ...(options.recompute && { recompute: true }) });
    return Promise.resolve();
  });
  const trainable = source.parameters.filter((p) => p.trainable);
  return {
    folder,
    parameters: source.parameters.length,
    trainableParameters: trainable.length,
    trainableElements: trainable.reduce((n, p) => n + must(source.graph.initializers.get(p.value), p.name).size, 0),
    dropouts: source.dropouts.length,
    buffers: source.buffers.length,
    restored,
    // Their gradients read activations on ways that an audit of a forward graph knows nothing of.
    warnings: source.training ? [] : auditExport(source.graph),
    graphs,
  };
}

/** Reads a plain model, or the artifacts around a training model. */
async function load(
  file: string,
  { loss, artifact, trainMode, precision }: PatchOptions,
  options: Omit<SourceOptions, "loss">,
): Promise<{ source: Source; origin: Origin; restored: readonly Restored[] }> {
  if (artifact) {
    check(!loss, `${file}: training artifacts bring their own loss; leave yours out`);
    check(
      precision !== "mixed",
      `${file}: training artifacts hold gradients in their own types; patch the exported model for mixed precision`,
    );
    check(!trainMode, `${file}: training artifacts are in training mode already; leave trainMode out`);
    return { ...(await loadArtifact(file, artifact, options)), restored: [] };
  }
  check(loss, `${file}: a loss is missing; give one, or name the model's own`);
  return loadSource(file, { ...options, loss, ...(trainMode && { trainMode }) });
}

/** Every graph of the package of `recipe`, by name; one at a time, so that large ones need not be held together. */
export function* emitGraphs(recipe: Recipe): Generator<[name: string, graph: Graph]> {
  const { optimizer } = recipe;
  const { ascent, curvature } = optimizer;
  const variants = variantsOf(optimizer);
  yield ["forward", tidy(forwardGraph(recipe))];
  yield ["evaluate", tidy(evaluateGraph(recipe))];
  yield ["gradient", tidy(gradientGraph(recipe))];
  for (const role of ["ascent", "base"] as const) {
    const of = curvature[role];
    if (!of) continue;
    if (of.measure) {
      const graph = gradientGraph(recipe, role);
      yield [graph.name, tidy(graph)];
    }
    yield [role === "base" ? "preconditioner" : "curvature", tidy(curvatureGraph(recipe, role))];
  }
  if (ascent.perturb) yield ["perturb", tidy(perturbGraph(recipe))];
  yield ["descend", tidy(descendGraph(recipe, { second: ascent.perturb !== undefined, look: false }))];
  if (variants.some((v) => v.look)) yield ["look_descend", tidy(descendGraph(recipe, { second: false, look: true }))];
  for (const variant of variants) yield [variant.name, tidy(stepGraph(recipe, variant))];
  for (const { part, options } of partsOf(optimizer)) {
    for (const refresh of part.refreshes?.(options) ?? []) {
      const graph = refreshGraph(recipe, part, options, refresh);
      // K-FAC of a model without layers has nothing to invert.
      if (graph.outputs.length > 0) yield [refresh.name, tidy(graph)];
    }
  }
}

const isPackage = (folder: string): boolean => existsSync(join(folder, manifestFile));

/** Hyper-parameters that may differ between groups: those that parts ask for by parameter. */
const groupable = ["lr", "weight_decay", "rho", "delta", "lr_max"];

/** The hyper-parameters that differ between `groups`, and those that follow them. */
function groupedNames({ hyper }: Optimizer, groups: readonly { hyper: Record<string, number> }[]): Set<string> {
  const named = new Set(groups.flatMap((g) => Object.keys(g.hyper)));
  for (const name of named) {
    if (!groupable.includes(name)) {
      throw new UserError(`hyper-parameter "${name}" is one for all groups; ${groupable.join(", ")} may differ`);
    }
  }
  for (const { name, follows } of hyper) if (follows !== undefined && named.has(follows)) named.add(name);
  return named;
}
