import { existsSync, statSync } from "node:fs";
import { Command, Option } from "commander";
import { UserError } from "../../util/assert.js";
import type { CommandBuilder } from "../context.js";
import { UsageError } from "../failure.js";
import { bytes } from "../format.js";
import { layerLine } from "../state_dict.js";

const help = `
Examples:
  $ curvsam export out -o finetuned.onnx
  $ curvsam export out --weights run/weights.safetensors -o finetuned.onnx
  $ curvsam export out --weights out/run/checkpoints/checkpoint-40 -o finetuned.onnx
  $ curvsam export out -o model.safetensors
  $ curvsam export out -o model.safetensors --like pretrained.safetensors
  $ curvsam export out -o checkpoint --format ort-checkpoint`;

interface Flags {
  output: string;
  run?: string;
  weights?: string;
  format?: "onnx" | "safetensors" | "ort-checkpoint";
  like?: string;
  force?: true;
}

export const command: CommandBuilder = (context) =>
  new Command("export")
    .helpGroup("Training packages:")
    .summary("write the fine-tuned model")
    .description(
      "Writes the package's model with its new weights: one ONNX file with the source model's inputs and outputs, a PyTorch state dict in safetensors, or a checkpoint of ONNX Runtime training.",
    )
    .argument("<package>", "a folder that curvsam patch wrote")
    .requiredOption("-o, --output <file>", "the file to write, .onnx or .safetensors")
    .option("--run <folder>", "the run whose weights to take (default: run in the package)")
    .option("--weights <path>", "safetensors or a checkpoint to take (default: the run's, else the package's own)")
    .addOption(
      new Option("--format <name>", "what to write (default: by the file's name)").choices([
        "onnx",
        "safetensors",
        "ort-checkpoint",
      ]),
    )
    .option("--like <file>", "safetensors: a state dict whose names and layouts to take; its other tensors are copied")
    .option("--force", "replace the file")
    .addHelpText("after", help)
    .action(async (folder: string, flags: Flags) => {
      const format = flags.format ?? (/\.safetensors$/i.test(flags.output) ? "safetensors" : "onnx");
      if (flags.like !== undefined && format !== "safetensors") {
        throw new UsageError("--like belongs to safetensors; name the file so, or say --format safetensors");
      }
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
          : await weightsAt(flags.weights);
      const from = weights === undefined ? {} : { weights };
      if (format === "onnx") exportModel(folder, flags.output, from);
      else if (format === "ort-checkpoint") {
        const { exportCheckpoint } = await import("../../pack/checkpoint.js");
        exportCheckpoint(folder, flags.output, from);
      } else {
        const { writeStateDict } = await import("../../pack/torch.js");
        const like = flags.like === undefined ? {} : { like: flags.like };
        const { byLayer, transposed } = writeStateDict(folder, flags.output, { ...from, ...like });
        if (byLayer.length > 0) context.note(`curvsam: ${layerLine(byLayer, transposed)}`);
      }
      const origin = weights ?? "the package's own weights";
      context.print(`${flags.output}: ${bytes(statSync(flags.output).size)}, ${origin}`);
    });
