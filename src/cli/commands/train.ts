import { resolve } from "node:path";
import { Command } from "commander";
import type { CommandBuilder } from "../context.js";
import type { DataFlags } from "../dataset.js";
import { addDataOptions } from "../options.js";
import { integer } from "../parse.js";
import { addTrainOptions, trainPackage, type TrainFlags } from "../train_run.js";

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

interface Flags extends DataFlags, TrainFlags {
  data: string;
  eval?: string;
  groupByLength?: number | true;
}

export const command: CommandBuilder = (context) => {
  const command = new Command("train")
    .helpGroup("Training packages:")
    .summary("train a package on a text data set")
    .description("Trains a package on a TSV, CSV, JSON lines or Parquet file of labelled texts.")
    .argument("<package>", "a folder that curvsam patch wrote")
    .requiredOption("--data <file>", "the texts to train on")
    .option("--eval <file>", "texts to evaluate on after each epoch");
  return addTrainOptions(addDataOptions(command))
    .option(
      "--group-by-length [n]",
      "batch texts of like length, sorted within n shuffled batches (50 if not said)",
      groupSize,
    )
    .addHelpText("after", help)
    .action((folder: string, flags: Flags) =>
      trainPackage(context, folder, flags, flags.eval !== undefined, async (runtime, run) => {
        const [{ usualMeasure }, dataset] = await Promise.all([
          import("../../train/measures.js"),
          import("../dataset.js"),
        ]);
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
        return {
          train,
          evaluation: heldOut && { source: dataset.batches(manifest, heldOut, tokenizer, { batchSize }), measure },
          measured: dataset.batches(manifest, examples, tokenizer, { batchSize, dropLast: flags.dropLast ?? false }),
          classes: told.labelNames,
          callbacks: { onCheckpoint: () => run.writeSettings(told) },
        };
      }),
    );
};
