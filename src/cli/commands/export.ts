import { existsSync, statSync } from "node:fs";
import { Command } from "commander";
import { UserError } from "../../util/assert.js";
import type { CommandBuilder } from "../context.js";
import { bytes } from "../format.js";

const help = `
Examples:
  $ curvsam export out -o finetuned.onnx
  $ curvsam export out --weights run/weights.safetensors -o finetuned.onnx
  $ curvsam export out --weights out/run/checkpoints/checkpoint-40 -o finetuned.onnx`;

interface Flags {
  output: string;
  run?: string;
  weights?: string;
  force?: true;
}

export const command: CommandBuilder = (context) =>
  new Command("export")
    .helpGroup("Training packages:")
    .summary("write the fine-tuned model")
    .description(
      "Writes the package's model with its new weights: one ONNX file with the source model's inputs and outputs.",
    )
    .argument("<package>", "a folder that curvsam patch wrote")
    .requiredOption("-o, --output <file>", "the ONNX file to write")
    .option("--run <folder>", "the run whose weights to take (default: run in the package)")
    .option("--weights <path>", "safetensors or a checkpoint to take (default: the run's, else the package's own)")
    .option("--force", "replace the file")
    .addHelpText("after", help)
    .action(async (folder: string, flags: Flags) => {
      if (existsSync(flags.output) && !flags.force) {
        throw new UserError(
          `${flags.output}: the file exists already; choose another name, or replace it with --force`,
        );
      }
      const [{ RunFolder, weightsAt }, { exportModel }] = await Promise.all([
        import("../run.js"),
        import("../../pack/export.js"),
      ]);
      const weights =
        flags.weights === undefined
          ? new RunFolder(folder, flags.run).weightsToTake(flags.run !== undefined)
          : weightsAt(flags.weights);
      exportModel(folder, flags.output, weights === undefined ? {} : { weights });
      const origin = weights ?? "the package's own weights";
      context.print(`${flags.output}: ${bytes(statSync(flags.output).size)}, ${origin}`);
    });
