import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Tokenizer } from "../data/tokenizer.js";
import { manifestFile, weightsFile, type Manifest } from "../format/manifest.js";
import { patch } from "../pack/patch.js";
import { PackageRuntime } from "../runtime/runtime.js";
import { readPart } from "../tasks/glue/data.js";
import { downloadTask } from "../tasks/glue/download.js";
import { predictionTable, submissionTable, writeJson, writeSubmission } from "../tasks/glue/files.js";
import { taskScore } from "../tasks/glue/metrics.js";
import { batchesOf, checkHead, evaluatePart, measureOf, predictPart } from "../tasks/glue/run.js";
import { glueTask, glueTasks, type GlueTask, type Part } from "../tasks/glue/tasks.js";
import { readCheckpoint, runLock } from "../train/checkpoints.js";
import type { ChunkOption } from "../train/chunks.js";
import { fit } from "../train/fit.js";
import { schedule, type ScheduleName } from "../train/schedules.js";
import { check } from "../util/assert.js";
import { makeFolder, onFile, writeFileAtomically } from "../util/files.js";
import { FolderLock } from "../util/lock.js";
import { mean } from "../util/statistics.js";
import { aboutRun } from "./about.js";
import type { Context } from "./context.js";
import { embeddingRows } from "./dataset.js";
import { UsageError } from "./failure.js";
import { metricsText } from "./format.js";
import { optimizerOptions, type OptimizerFlags } from "./optimizer.js";
import { loadWeights, weightsAt } from "./run.js";
import { openSharpness, refuseIdleSharpness, type SharpnessFlags } from "./train_sharpness.js";
import { TrainerLog } from "./trainer_state.js";

/** The options of `curvsam glue`, by the names of `run_glue.py`. */
export interface GlueFlags extends SharpnessFlags {
  task_name: string;
  model: string;
  tokenizer: string;
  data_dir?: string;
  download?: true;
  do_train?: true;
  do_eval?: true;
  do_predict?: true;
  max_seq_length: number;
  per_device_train_batch_size: number;
  per_device_eval_batch_size: number;
  gradient_accumulation_steps: number;
  learning_rate: number;
  weight_decay: number;
  num_train_epochs: number;
  max_steps?: number;
  lr_scheduler_type: ScheduleName;
  warmup_ratio: number;
  warmup_steps?: number;
  max_train_samples?: number;
  max_eval_samples?: number;
  max_predict_samples?: number;
  eval_strategy: "no" | "epoch";
  save_steps: number;
  save_total_limit: number;
  logging_steps: number;
  seed: number;
  output_dir: string;
  overwrite_output_dir?: true;
  resume_from_checkpoint?: string | true;
  optimizer: string;
  combine: string;
  base: string;
  preset?: string;
  set?: OptimizerFlags["set"];
  rho?: number;
  hyper?: Record<string, number>;
  chunk: ChunkOption;
  threads?: number;
  ignore_memory?: true;
  json?: true;
}

/** What a task came to. */
interface TaskResult {
  task: GlueTask;
  results: Record<string, number>;
  /** What GLUE counts it with; NaN where it was not evaluated. */
  score: number;
  tables: Map<string, string>;
}

export function checkFlags(flags: Partial<GlueFlags>): GlueFlags {
  for (const name of ["task_name", "model", "tokenizer", "output_dir"] as const) {
    if (flags[name] === undefined) throw new UsageError(`--${name} is missing`);
  }
  if (flags.data_dir === undefined && !flags.download) {
    throw new UsageError("--data_dir is missing; name the folder of the GLUE data, or give --download");
  }
  if (!flags.do_train && !flags.do_eval && !flags.do_predict) {
    throw new UsageError("there is nothing to do; give --do_train, --do_eval or --do_predict");
  }
  refuseIdleSharpness(flags);
  if (flags.sharpnessEvery !== undefined && !flags.do_train)
    throw new UsageError("--sharpness-every belongs to --do_train, which is missing");
  return flags as GlueFlags;
}

/** Runs every task that the flags name, and of several prints the average. */
export async function runGlue(context: Context, flags: GlueFlags): Promise<void> {
  const tasks = tasksOf(flags.task_name);
  const results: TaskResult[] = [];
  for (const task of tasks) {
    const folder = tasks.length > 1 ? join(flags.output_dir, task.name) : flags.output_dir;
    // The diagnostic set has no training set of its own: MNLI's classes are its, and GLUE has MNLI's model predict it.
    const isAfterMnli = task.name === "ax" && flags.do_train && results.some((each) => each.task.name === "mnli");
    const weights = isAfterMnli ? join(flags.output_dir, "mnli", weightsFile) : undefined;
    const result = await new TaskRun(context, task, { ...flags, output_dir: folder }, weights).run();
    if (!result) return;
    results.push(result);
    if (!flags.json) context.print(`${task.title}: ${metricsText(result.results)}`);
  }
  const tables = new Map(results.flatMap((each) => [...each.tables]));
  if (tables.size > 0) writeSubmission(join(flags.output_dir, "submission.zip"), tables);
  // GLUE's own average leaves the diagnostic set out.
  const counted = results.filter(({ task, score }) => task.name !== "ax" && !Number.isNaN(score));
  const average = counted.length > 0 ? mean(counted.map(({ score }) => score)) : null;
  if (flags.json) {
    const byTask = Object.fromEntries(results.map((each) => [each.task.name, each.results]));
    context.printJson({ tasks: byTask, average });
  } else if (counted.length > 1) {
    context.print(`average over ${counted.length} tasks: ${(average ?? NaN).toFixed(4)}`);
  }
}

function tasksOf(names: string): GlueTask[] {
  if (names === "all") return [...glueTasks];
  return names.split(",").map((name) => glueTask(name.trim()));
}

/** One task from its data to its files. */
class TaskRun {
  private readonly results: Record<string, number> = {};
  private readonly folder: string;

  constructor(
    private readonly context: Context,
    private readonly task: GlueTask,
    private readonly flags: GlueFlags,
    /** Where a task without a training set starts from (default: the model's weights). */
    private readonly weights: string | undefined,
  ) {
    this.folder = flags.output_dir;
  }

  /** Null where the user stopped it. The folder is this process's meanwhile. */
  async run(): Promise<TaskResult | null> {
    makeFolder(this.folder);
    const lock = FolderLock.take(this.folder, runLock);
    try {
      this.prepareFolder();
      return await this.work();
    } finally {
      lock.release();
    }
  }

  private async work(): Promise<TaskResult | null> {
    const { flags, task, folder } = this;
    const data = await this.dataFolder();
    const model = await this.openPackage();
    const runtime = await PackageRuntime.open(model, {
      threads: flags.threads,
      seed: flags.seed,
      ignoreMemory: flags.ignore_memory,
      ...(flags.do_train && { lowered: join(folder, "lowered") }),
    });
    try {
      const { manifest } = runtime;
      checkHead(manifest, task);
      const { rows, positions } = embeddingRows(manifest);
      const maxLength = Math.min(flags.max_seq_length, positions ?? flags.max_seq_length);
      const embedding = rows === undefined ? {} : { embeddingSize: rows };
      const tokenizer = await Tokenizer.open(flags.tokenizer, { maxLength, ...embedding });
      if (flags.do_train && task.train) {
        if (!(await this.train(runtime, tokenizer, data, task.train))) return null;
      } else if (typeof flags.resume_from_checkpoint === "string") {
        await loadWeights(runtime, await weightsAt(flags.resume_from_checkpoint));
      } else if (this.weights !== undefined) {
        await loadWeights(runtime, this.weights);
      }
      const score = flags.do_eval ? await this.evaluate(runtime, tokenizer, data) : NaN;
      if (score === null) return null;
      const tables = flags.do_predict ? await this.predict(runtime, tokenizer, data) : new Map<string, string>();
      if (tables === null) return null;
      writeJson(join(folder, "all_results.json"), this.results);
      return { task, results: this.results, score, tables };
    } finally {
      await runtime.close();
    }
  }

  private prepareFolder(): void {
    const { flags, folder } = this;
    const held = existsSync(folder) ? onFile(folder, "read", () => readdirSync(folder)) : [];
    const trained = held.filter((name) => /^checkpoint-\d+$/.test(name) || name === "log.jsonl");
    if (!flags.do_train || flags.resume_from_checkpoint !== undefined || trained.length === 0) return;
    check(
      flags.overwrite_output_dir,
      `${folder}: an earlier run is there; give --overwrite_output_dir, or go on with --resume_from_checkpoint`,
    );
    for (const name of trained) onFile(folder, "write", () => rmSync(join(folder, name), { recursive: true }));
  }

  private async dataFolder(): Promise<string> {
    const { flags, task } = this;
    const folder = flags.data_dir ?? join(flags.output_dir, "data");
    if (!flags.download) return folder;
    const parts: Part[] = [
      ...(flags.do_train && task.train ? [task.train] : []),
      ...(flags.do_eval ? task.evaluate : []),
      ...(flags.do_predict ? task.predict : []),
    ];
    await downloadTask(task, parts, folder, { each: (path) => this.context.note(`curvsam: fetched ${path}`) });
    return folder;
  }

  /** The package to train: the one that was given, or one made of the model. */
  private async openPackage(): Promise<string> {
    const { flags, task, folder } = this;
    const model = flags.model.replaceAll("{labels}", String(task.labels?.length ?? 1));
    if (existsSync(join(model, manifestFile))) return model;
    const made = join(folder, "package");
    if (flags.resume_from_checkpoint !== undefined && existsSync(made)) return made;
    const { optimizer, combine, base, preset, set, rho, hyper, learning_rate: lr, weight_decay: weightDecay } = flags;
    const options = await optimizerOptions({
      ...{ optimizer, combine, base, lr, weightDecay },
      ...(preset !== undefined && { preset }),
      ...(set && { set }),
      ...(rho !== undefined && { rho }),
      ...(hyper && { hyper }),
    });
    await patch(model, made, { loss: { kind: task.labels ? "cross-entropy" : "mse" }, ...options, force: true });
    return made;
  }

  /** Whether training came to its end. */
  private async train(runtime: PackageRuntime, tokenizer: Tokenizer, data: string, part: Part): Promise<boolean> {
    const { flags, task, folder, context } = this;
    const { manifest } = runtime;
    const examples = await readPart(data, task, part, { labelled: true, most: flags.max_train_samples });
    const batchSize = flags.per_device_train_batch_size;
    const train = batchesOf(manifest, examples, tokenizer, { batchSize, shuffle: true, seed: flags.seed });
    const perEpoch = Math.ceil(train.batchesPerEpoch / flags.gradient_accumulation_steps);
    const steps = flags.max_steps ?? Math.ceil(flags.num_train_epochs * perEpoch);
    const [devPart] = task.evaluate;
    const evaluation =
      flags.eval_strategy === "epoch" && devPart
        ? {
            source: batchesOf(
              manifest,
              await readPart(data, task, devPart, { labelled: true, most: flags.max_eval_samples }),
              tokenizer,
              { batchSize: flags.per_device_eval_batch_size },
            ),
            measure: measureOf(manifest, task),
          }
        : undefined;
    const { resume_from_checkpoint: from } = flags;
    const resume = from === true ? folder : from;
    const log = new TrainerLog(join(folder, "trainer_state.json"), {
      perEpoch,
      maxSteps: steps,
      epochs: flags.num_train_epochs,
      loggingSteps: flags.logging_steps,
      saveSteps: flags.save_steps,
      batchSize,
      resumed: resume === undefined ? 0 : (await readCheckpoint(resume)).state.step,
    });
    const measured = batchesOf(manifest, examples, tokenizer, { batchSize });
    const sharpness = await openSharpness(runtime, measured, flags, { threads: flags.threads });
    const started = Date.now();
    const result = await fit({
      runtime,
      train,
      epochs: Math.ceil(steps / perEpoch),
      maxSteps: steps,
      accumulate: flags.gradient_accumulation_steps,
      chunk: flags.chunk,
      hyper: hyperOf(manifest, flags),
      schedules: {
        lr: schedule(flags.lr_scheduler_type, { warmup: flags.warmup_steps ?? flags.warmup_ratio }),
      },
      evaluation,
      checkpoints: { folder, every: flags.save_steps, keep: flags.save_total_limit },
      resume,
      log: join(folder, "log.jsonl"),
      about: aboutRun(task.labels ?? undefined),
      progress: context.interactive && !flags.json,
      signal: context.signal,
      callbacks: [log, { onNote: (line) => context.note(`curvsam: ${line}`) }, ...sharpness.callbacks],
    }).finally(sharpness.close);
    log.write();
    if (result.interrupted) {
      context.note(`curvsam: interrupted after ${result.step} steps; go on with --resume_from_checkpoint`);
      return false;
    }
    const seconds = (Date.now() - started) / 1000;
    this.report("train", {
      epoch: result.step / perEpoch,
      train_loss: log.meanLoss,
      train_runtime: seconds,
      train_samples: examples.texts.length,
      train_samples_per_second: (log.steps * batchSize * flags.gradient_accumulation_steps) / seconds,
      train_steps_per_second: log.steps / seconds,
    });
    await runtime.saveWeights(join(folder, weightsFile));
    return true;
  }

  /** What GLUE counts the task with; null where the user stopped it. */
  private async evaluate(runtime: PackageRuntime, tokenizer: Tokenizer, data: string): Promise<number | null> {
    const { flags, task, context } = this;
    const parts: Record<string, number>[] = [];
    const all: Record<string, number> = {};
    for (const part of task.evaluate) {
      const examples = await readPart(data, task, part, { labelled: true, most: flags.max_eval_samples });
      const source = batchesOf(runtime.manifest, examples, tokenizer, { batchSize: flags.per_device_eval_batch_size });
      const started = Date.now();
      const summary = await evaluatePart(runtime, task, source, context.signal);
      if (!summary) return null;
      const seconds = (Date.now() - started) / 1000;
      parts.push(summary.metrics);
      const suffix = part.name.endsWith("-mm") ? "_mm" : "";
      const named = Object.entries({ loss: summary.loss, ...summary.metrics });
      Object.assign(all, Object.fromEntries(named.map(([name, value]) => [`eval_${name}${suffix}`, value])), {
        [`eval_runtime${suffix}`]: seconds,
        [`eval_samples${suffix}`]: examples.texts.length,
        [`eval_samples_per_second${suffix}`]: examples.texts.length / seconds,
      });
    }
    if (parts.length === 0) return NaN;
    this.report("eval", all);
    return taskScore(parts, task);
  }

  /** Files of the submission by name; null where the user stopped it. */
  private async predict(
    runtime: PackageRuntime,
    tokenizer: Tokenizer,
    data: string,
  ): Promise<Map<string, string> | null> {
    const { flags, task, folder, context } = this;
    const tables = new Map<string, string>();
    for (const part of task.predict) {
      const examples = await readPart(data, task, part, { labelled: false, most: flags.max_predict_samples });
      const source = batchesOf(runtime.manifest, examples, tokenizer, { batchSize: flags.per_device_eval_batch_size });
      const predictions = await predictPart(runtime, task, source, context.signal);
      if (!predictions) return null;
      writeFileAtomically(join(folder, `predict_results_${part.name}.txt`), predictionTable(task, predictions));
      if (part.submission !== undefined) tables.set(part.submission, submissionTable(task, predictions));
    }
    return tables;
  }

  private report(split: "train" | "eval", results: Record<string, number>): void {
    writeJson(join(this.folder, `${split}_results.json`), results);
    Object.assign(this.results, results);
  }
}

/** What a package that was given ready-made still takes from the command line. */
function hyperOf(manifest: Manifest, flags: GlueFlags): Record<string, number> {
  const known = new Set(Object.keys(manifest.hyper).map((name) => name.split("/")[1]));
  const given = { lr: flags.learning_rate, weight_decay: flags.weight_decay, rho: flags.rho, ...flags.hyper };
  return Object.fromEntries(
    Object.entries(given).filter((entry): entry is [string, number] => entry[1] !== undefined && known.has(entry[0])),
  );
}
