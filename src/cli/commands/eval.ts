import { Command } from "commander";
import type { CommandBuilder } from "../context.js";
import type { DataFlags } from "../dataset.js";
import { evaluatePackage, type EvaluateFlags } from "../evaluate_run.js";
import { addDataOptions, addRuntimeOptions } from "../options.js";
import { integer } from "../parse.js";

const help = `
What is not said of the data is as it was for curvsam train.

Examples:
  $ curvsam eval out --data dev.tsv
  $ curvsam eval out --data dev.tsv --tokenizer tokenizer.json --text sentence --label label --json
  $ curvsam eval out --data dev.tsv --weights out/run/checkpoints/checkpoint-40`;

interface Flags extends DataFlags, EvaluateFlags {
  batchSize: number;
}

export const command: CommandBuilder = (context) => {
  const command = new Command("eval")
    .helpGroup("Training packages:")
    .summary("measure a package on a text data set")
    .description("Measures loss and metrics of a package's trained weights on a TSV, CSV, JSON lines or Parquet file.")
    .argument("<package>", "a folder that curvsam patch wrote")
    .requiredOption("--data <file>", "the texts to evaluate on");
  return addRuntimeOptions(addDataOptions(command))
    .option("--batch-size <n>", "examples in a batch", integer({ min: 1 }), 32)
    .option("--run <folder>", "the run whose weights to take (default: run in the package)")
    .option("--weights <path>", "safetensors or a checkpoint to take (default: the run's, else the package's own)")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action((folder: string, flags: Flags) =>
      evaluatePackage(context, folder, flags, async (runtime, run) => {
        const [{ usualMeasure }, dataset] = await Promise.all([
          import("../../train/measures.js"),
          import("../dataset.js"),
        ]);
        const { manifest } = runtime;
        const settings = dataset.dataSettings(manifest, flags, run.readSettings());
        const tokenizer = await dataset.openTokenizer(manifest, settings);
        await dataset.checkPositions(runtime, tokenizer);
        const examples = await dataset.openExamples(manifest, flags.data, settings, flags.format);
        const source = dataset.batches(manifest, examples, tokenizer, { batchSize: flags.batchSize });
        return { source, measure: usualMeasure(manifest) };
      }),
    );
};
