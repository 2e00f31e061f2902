import { existsSync, mkdirSync } from "node:fs";
import { resolve } from "node:path";
import { Command } from "commander";
import type { EvaluationSummary } from "../../train/evaluate.js";
import type { FitResult } from "../../train/options.js";
import { onFile } from "../../util/files.js";
import { aboutRun } from "../about.js";
import type { CommandBuilder } from "../context.js";
import type { DataFlags } from "../dataset.js";
import { UsageError } from "../failure.js";
import { counted, metricsText } from "../format.js";
import { addDataOptions, addRuntimeOptions, runtimeOptions, type RuntimeFlags } from "../options.js";
import { integer, list } from "../parse.js";
import { initLines, warmStart } from "../state_dict.js";
import {
  addGoalOptions,
  addHyperOptions,
  goalOptions,
  hyperOptions,
  type GoalFlags,
  type HyperFlags,
} from "../training.js";
import { addSharpnessOptions, openSharpness, refuseIdleSharpness, type SharpnessFlags } from "../train_sharpness.js";

const help = `
Everything of a run goes to one folder: checkpoints/, log.jsonl, and at the end
weights.safetensors, the last weights, which eval and export take; any checkpoint
can be named to them with --weights, the best one stays. Ctrl-C saves a checkpoint; the
same command with --resume goes on from it, bit for bit.

Examples:
  $ curvsam train out --data train.tsv --tokenizer tokenizer.json --text sentence --label label --epochs 3 --eval dev.tsv
  $ curvsam train out --data pairs.tsv --tokenizer tokenizer.json --text sentence1 --text-pair sentence2 --label label
  $ curvsam train out --data train.tsv --tokenizer tokenizer.json --text sentence --label label --init model.safetensors
  $ curvsam train out --data train.tsv --tokenizer tokenizer.json --text sentence --label label --resume`;

/** Shuffled batches within which texts are sorted by length: enough that padding hardly falls any further. */
const defaultGroup = 50;
const groupSize = integer({ min: 1 });

interface Flags extends DataFlags, RuntimeFlags, HyperFlags, GoalFlags, SharpnessFlags {
  data: string;
  eval?: string;
  epochs: number;
  maxSteps?: number;
  batchSize: number;
  accumulate: number;
  seed: number;
  evalEvery?: number;
  saveEvery?: number;
  maxSkips: number;
  dropLast?: true;
  groupByLength?: number | true;
  output?: string;
  resume?: string | true;
  init?: string;
  initSkip?: string[];
  json?: true;
}

export const command: CommandBuilder = (context) => {
  const command = new Command("train")
    .helpGroup("Training packages:")
    .summary("train a package on a text data set")
    .description("Trains a package on a TSV, CSV, JSON lines or Parquet file of labelled texts.")
    .argument("<package>", "a folder that curvsam patch wrote")
    .requiredOption("--data <file>", "the texts to train on")
    .option("--eval <file>", "texts to evaluate on after each epoch");
  addRuntimeOptions(addDataOptions(command))
    .option("--epochs <n>", "how often to go through the data", integer({ min: 1 }), 3)
    .option("--max-steps <n>", "stop after so many steps", integer({ min: 1 }))
    .option("--batch-size <n>", "examples in a micro-batch", integer({ min: 1 }), 16)
    .option("--accumulate <n>", "micro-batches in a step", integer({ min: 1 }), 1)
    .option("--seed <n>", "seed of the order, the dropout and the probes", integer(), 0);
  return addSharpnessOptions(addGoalOptions(addHyperOptions(command)))
    .option("--eval-every <n>", "steps between evaluations (default: an epoch)", integer({ min: 1 }))
    .option("--save-every <n>", "steps between checkpoints (default: after each evaluation)", integer({ min: 1 }))
    .option("--max-skips <n>", "stop after so many steps in a row that are not finite", integer({ min: 1 }), 10)
    .option(
      "--group-by-length [n]",
      "batch texts of like length, sorted within n shuffled batches (50 if not said)",
      groupSize,
    )
    .option("--drop-last", "leave out an epoch's last batch where it is smaller")
    .option("--output <folder>", "the run's folder (default: run in the package)")
    .option("--resume [checkpoint]", "go on from the run's last checkpoint, or from this one")
    .option("--init <file>", "start from these PyTorch weights (safetensors), names and layouts matched")
    .option("--init-skip <globs>", "parameters that --init leaves as they are, a head say", list)
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (folder: string, flags: Flags) => {
      const goal = goalOptions(flags, flags.eval !== undefined);
      refuseIdle(flags);
      refuseIdleSharpness(flags);
      const [{ RunFolder }, { PackageRuntime }, { fit }, { usualMeasure }, dataset] = await Promise.all([
        import("../run.js"),
        import("../../runtime/runtime.js"),
        import("../../train/fit.js"),
        import("../../train/measures.js"),
        import("../dataset.js"),
      ]);
      const run = new RunFolder(folder, flags.output);
      const isNew = !existsSync(run.path);
      const runtime = await PackageRuntime.open(folder, {
        ...runtimeOptions(flags),
        seed: flags.seed,
        ...((flags.provider ?? "cpu") === "cpu" && { lowered: run.lowered }),
      });
      let sharpness: Awaited<ReturnType<typeof openSharpness>> | undefined;
      try {
        const { manifest } = runtime;
        const { batchSize, seed } = flags;
        const settings = dataset.dataSettings(manifest, flags, flags.resume === undefined ? {} : run.readSettings());
        const tokenizer = await dataset.openTokenizer(manifest, settings);
        await dataset.checkPositions(runtime, tokenizer);
        const examples = await dataset.openExamples(manifest, flags.data, settings, flags.format);
        const names = dataset.classNames(examples);
        const told = { ...settings, tokenizer: resolve(settings.tokenizer), ...(names && { labelNames: [...names] }) };
        const train = dataset.batches(manifest, examples, tokenizer, {
          batchSize,
          seed,
          shuffle: true,
          dropLast: flags.dropLast ?? false,
          groupByLength: flags.groupByLength === true ? defaultGroup : (flags.groupByLength ?? 0),
        });
        const heldOut =
          flags.eval === undefined ? undefined : await dataset.openExamples(manifest, flags.eval, told, flags.format);
        const measure = usualMeasure(manifest);
        const evaluation = heldOut && {
          source: dataset.batches(manifest, heldOut, tokenizer, { batchSize }),
          ...(measure && { measure }),
        };
        const init = flags.init === undefined ? undefined : await warmStart(runtime, flags.init, flags.initSkip);
        if (flags.init !== undefined && init && !flags.json) {
          for (const line of initLines(flags.init, init)) context.print(line);
        }
        onFile(run.path, "write", () => mkdirSync(run.path, { recursive: true }));
        const measured = dataset.batches(manifest, examples, tokenizer, { batchSize });
        sharpness = await openSharpness(runtime, measured, flags, runtimeOptions(flags));
        const result = await fit({
          runtime,
          train,
          epochs: flags.epochs,
          maxSteps: flags.maxSteps,
          accumulate: flags.accumulate,
          ...hyperOptions(flags),
          maxSkips: flags.maxSkips,
          evaluation,
          evaluateEvery: flags.evalEvery,
          checkpoints: { folder: run.checkpoints, every: flags.saveEvery, ...goal.checkpoints },
          earlyStopping: goal.earlyStopping,
          resume: flags.resume === true ? run.checkpoints : flags.resume,
          log: run.log,
          about: aboutRun(told.labelNames),
          progress: context.interactive && flags.json === undefined,
          signal: context.signal,
          callbacks: [
            {
              onCheckpoint: () => run.writeSettings(told),
              onNote: (line) => context.note(`curvsam: ${line}`),
              onEvaluation: (summary, at) => {
                if (!flags.json)
                  context.print(`step ${at.step}, epoch ${at.epoch}/${flags.epochs}: ${summaryText(summary)}`);
              },
            },
            ...sharpness.callbacks,
          ],
        });
        await runtime.saveWeights(run.weights);
        if (flags.json) context.printJson({ run: run.path, weights: run.weights, ...(init && { init }), ...result });
        else for (const line of closing(result, run.weights)) context.print(line);
      } catch (error) {
        if (isNew) run.discardUnused();
        throw error;
      } finally {
        await sharpness?.close();
        await runtime.close();
      }
    });
};

function refuseIdle({ init, initSkip, resume }: Flags): void {
  if (init !== undefined && resume !== undefined) {
    throw new UsageError("--init starts a run and --resume goes on with one; give one of them");
  }
  if (init === undefined && initSkip !== undefined)
    throw new UsageError("--init-skip belongs to --init, which is missing");
}

const summaryText = ({ loss, metrics }: EvaluationSummary): string => metricsText({ loss, ...metrics });

function closing({ step, skipped, interrupted, stopped, checkpoint }: FitResult, weights: string): string[] {
  const skips = skipped > 0 ? `, ${counted(skipped, "step")} skipped for values that are not finite` : "";
  const done = `${interrupted ? "interrupted after" : "trained"} ${counted(step, "step")}${skips}: ${weights}`;
  if (stopped !== null) return [`stopped: ${stopped}`, done];
  return interrupted && checkpoint !== null ? [done, `go on with --resume from ${checkpoint}`] : [done];
}
