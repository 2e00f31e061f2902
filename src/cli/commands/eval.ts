import { Command } from "commander";
import type { CommandBuilder } from "../context.js";
import type { DataFlags } from "../dataset.js";
import { counted, metricsText } from "../format.js";
import { addDataOptions, addRuntimeOptions, runtimeOptions, type RuntimeFlags } from "../options.js";
import { integer } from "../parse.js";

const help = `
What is not said of the data is as it was for curvsam train.

Examples:
  $ curvsam eval out --data dev.tsv
  $ curvsam eval out --data dev.tsv --tokenizer tokenizer.json --text sentence --label label --json
  $ curvsam eval out --data dev.tsv --weights out/run/checkpoints/checkpoint-40`;

interface Flags extends DataFlags, RuntimeFlags {
  data: string;
  batchSize: number;
  run?: string;
  weights?: string;
  json?: true;
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
    .action(async (folder: string, flags: Flags) => {
      const [{ RunFolder, loadWeights, weightsAt }, { PackageRuntime }, { evaluateAll }, { usualMeasure }, dataset] =
        await Promise.all([
          import("../run.js"),
          import("../../runtime/runtime.js"),
          import("../../train/evaluate.js"),
          import("../../train/measures.js"),
          import("../dataset.js"),
        ]);
      const run = new RunFolder(folder, flags.run);
      const trained = run.weightsToTake(flags.run !== undefined);
      const weights = flags.weights === undefined ? trained : await weightsAt(flags.weights);
      const runtime = await PackageRuntime.open(folder, runtimeOptions(flags));
      try {
        const { manifest } = runtime;
        const settings = dataset.dataSettings(manifest, flags, run.readSettings());
        const tokenizer = await dataset.openTokenizer(manifest, settings);
        await dataset.checkPositions(runtime, tokenizer);
        const examples = await dataset.openExamples(manifest, flags.data, settings, flags.format);
        const source = dataset.batches(manifest, examples, tokenizer, { batchSize: flags.batchSize });
        if (weights !== undefined) await loadWeights(runtime, weights);
        const summary = await evaluateAll(runtime, { source, measure: usualMeasure(manifest) }, context.signal);
        if (!summary) return;
        const { loss, examples: count, metrics, confusion } = summary;
        if (flags.json) {
          return context.printJson({
            ...{ data: flags.data, weights: weights ?? null, examples: count, loss, metrics },
            ...(confusion && { confusion }),
          });
        }
        const origin = weights ?? "the package's own weights";
        context.print(`${flags.data}: ${counted(count, "example")}, ${origin}: ${metricsText({ loss, ...metrics })}`);
      } finally {
        await runtime.close();
      }
    });
};
