/**
 * curvsam trains exported ONNX models on stock ONNX Runtime, with curvature-aware sharpness minimization.
 *
 * The way through: `patch` makes a training package out of a model; `PackageRuntime.open` opens it, `fit` trains it on batches,
 * `evaluate` measures it; `exportModel` writes the model back with its new weights. Whatever a caller can cause is thrown as
 * `UserError` with one line. What is exported here is stable; every other module is internal.
 *
 * @packageDocumentation
 */

// Models
export { inspectModel, type ModelReport, type PortReport, type TensorsReport } from "./pack/inspect.js";
export { checkModel, type CheckReport, type MissingRule } from "./pack/check.js";
export type { ExportWarning } from "./frontend/audit.js";

// Training packages
export { patch, type PatchOptions, type PatchReport } from "./pack/patch.js";
export { presets, type Preset, type PresetName } from "./optim/presets.js";
export type { Restored, TrainModeOptions } from "./frontend/train_mode.js";
export type { Place } from "./frontend/places.js";
export type { ArtifactFiles } from "./pack/artifact.js";
export { exportModel } from "./pack/export.js";
export { exportCheckpoint } from "./pack/checkpoint.js";
export { readCheckpoint, type Checkpoint, type CheckpointTensor, type OptimizerGroup } from "./format/checkpoint.js";
export { writeCheckpoint } from "./format/checkpoint_write.js";
export {
  readStateDict,
  writeStateDict,
  type LoadedTensor,
  type StateDictOptions,
  type StateDictReport,
} from "./pack/torch.js";
export { readManifest, type Manifest } from "./format/manifest.js";
export type { Precision } from "./frontend/autocast.js";
export type { LossOptions } from "./frontend/losses.js";

// Running a package
export { PackageRuntime } from "./runtime/runtime.js";
export type { Driver, EngineOptions } from "./runtime/options.js";
export type { Counters, EvaluationResult, StepResult, StepsResult, StepsRoom } from "./runtime/engine.js";
export type { Feeds } from "./runtime/batch.js";
export type { Hyper } from "./runtime/feeder.js";
export type { HostData, HostTensor } from "./runtime/tensors.js";
export type { DType } from "./util/dtype.js";
export type { Dim, Shape } from "./util/shape.js";

// Training and evaluation
export { fit } from "./train/fit.js";
export type { Callbacks, CheckpointOptions, FitMoment, FitOptions, FitResult } from "./train/options.js";
export type { ChunkOption } from "./train/chunks.js";
export type { EarlyStopping, Goal } from "./train/goals.js";
export type { HyperOptions } from "./train/hyper.js";
export type { DynamicLossScale } from "./train/loss_scale.js";
export { schedule, type Schedule, type ScheduleName, type ScheduleOptions } from "./train/schedules.js";
export {
  evaluateAll as evaluate,
  gather,
  type EvaluatedBatch,
  type Evaluation,
  type EvaluationSummary,
  type Measure,
} from "./train/evaluate.js";
export { usualMeasure } from "./train/measures.js";
export {
  accuracy,
  argmaxRows,
  classifierMetrics,
  confusionMatrix,
  f1,
  matthews,
  pearson,
  regressorMetrics,
  rocAuc,
  spearman,
  type Average,
  type Values,
} from "./train/metrics.js";

// Analysis
export { writeSurface, type SurfaceFiles } from "./pack/surface.js";
export { LossSurface, type Block, type SurfaceGraphs } from "./analysis/surface.js";
export type { RadiusSharpness } from "./analysis/radius.js";
export { sharpness, type Layer, type Sharpness, type SharpnessOptions } from "./analysis/sharpness.js";
export { sharpnessCallback, type SharpnessCallbackOptions } from "./analysis/callback.js";
export type { Vector, SymmetricOperator } from "./analysis/vector.js";
export type { Estimate } from "./analysis/trace.js";
export type { Extremes, Ritz } from "./analysis/lanczos.js";
export type { Spectrum } from "./analysis/density.js";
export type { Landscape } from "./analysis/landscape.js";

// Data
export { readExamples, type ExampleOptions, type Examples } from "./data/examples.js";
export type { Labels, LabelSpec } from "./data/labels.js";
export type { TableFormat } from "./data/cells.js";
export type { TableOptions } from "./data/table.js";
export { Tokenizer, type Encoded, type TokenizerOptions } from "./data/tokenizer.js";
export { TextBatches, type TextBatchOptions } from "./data/text_batches.js";
export type { SamplerOptions } from "./data/sampler.js";
export type { Batch, BatchSource, Feed, FeedData, InputSpec } from "./data/batch.js";
export type { JsonValue } from "./util/json.js";

export { UserError } from "./util/assert.js";
export { version } from "./util/version.js";
