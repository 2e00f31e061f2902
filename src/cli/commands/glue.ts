import { readFileSync } from "node:fs";
import { Command, Option } from "commander";
import { onFile } from "../../util/files.js";
import { didYouMean } from "../../util/suggest.js";
import type { CommandBuilder } from "../context.js";
import { UsageError } from "../failure.js";
import type { GlueFlags } from "../glue.js";
import { setOption } from "../optimizer.js";
import { chunkOption } from "../options.js";
import { assignments, integer, number } from "../parse.js";
import { addSharpnessOptions } from "../train_sharpness.js";

const help = `
The options are those of Hugging Face's run_glue.py, and so are the files: all_results.json, train_results.json,
eval_results.json, trainer_state.json, predict_results_<task>.txt, checkpoint-N/; --do_predict also writes
submission.zip for GLUE's leaderboard. Beside options, one JSON file with the same names may be given.

--model is an ONNX classifier with as many outputs as the task has labels (one for STS-B), or a package that
curvsam patch made of it. With several tasks, {labels} in it stands for that number: minilm-{labels}.onnx.

Examples:
  $ curvsam glue --task_name cola --model minilm-2.onnx --tokenizer tokenizer.json --data_dir glue --do_train --do_eval --output_dir out
  $ curvsam glue --task_name mrpc --model minilm-2.onnx --tokenizer tokenizer.json --download --do_train --do_eval --optimizer curvsam --output_dir out
  $ curvsam glue --task_name all --model minilm-{labels}.onnx --tokenizer tokenizer.json --data_dir glue --do_train --do_eval --output_dir out
  $ curvsam glue arguments.json`;

export const command: CommandBuilder = (context) => {
  const command = new Command("glue")
    .helpGroup("Tasks:")
    .summary("fine-tune and evaluate on GLUE, as run_glue.py does")
    .description("Trains, evaluates and predicts the tasks of GLUE: one by name, several with commas, or all.")
    .argument("[arguments.json]", "the options as one JSON object")
    .option("--task_name <names>", "cola, sst2, mrpc, stsb, qqp, mnli, qnli, rte, wnli, ax; several with commas; all")
    .option("--model <path>", "an ONNX file or a package; {labels} stands for the number of labels")
    .option("--tokenizer <file>", "the model's tokenizer.json")
    .option("--data_dir <folder>", "the folder with the tasks' folders, as TSV or Parquet")
    .option("--download", "fetch the task from the Hugging Face hub into data_dir (default: output_dir/data)")
    .option("--do_train", "train")
    .option("--do_eval", "evaluate on the development set")
    .option("--do_predict", "predict the test set, and write a submission")
    .option("--max_seq_length <n>", "longest text in tokens", integer({ min: 4 }), 128)
    .option("--per_device_train_batch_size <n>", "examples in a training batch", integer({ min: 1 }), 8)
    .option("--per_device_eval_batch_size <n>", "examples in another batch", integer({ min: 1 }), 8)
    .option("--gradient_accumulation_steps <n>", "batches in a step", integer({ min: 1 }), 1)
    .option("--learning_rate <x>", "learning rate", number({ min: 0 }), 5e-5)
    .option("--weight_decay <x>", "weight decay", number({ min: 0 }), 0)
    .option("--num_train_epochs <x>", "how often to go through the data", number({ min: 0, above: true }), 3)
    .option("--max_steps <n>", "stop after so many steps", integer({ min: 1 }))
    .addOption(
      new Option("--lr_scheduler_type <name>", "how the learning rate falls")
        .choices(["linear", "cosine", "polynomial", "constant"])
        .default("linear"),
    )
    .option("--warmup_ratio <x>", "share of the steps over which the rate rises", number({ min: 0, max: 1 }), 0)
    .option("--warmup_steps <n>", "steps over which the rate rises", integer({ min: 0 }))
    .option("--max_train_samples <n>", "take only the first examples", integer({ min: 1 }))
    .option("--max_eval_samples <n>", "take only the first examples", integer({ min: 1 }))
    .option("--max_predict_samples <n>", "take only the first examples", integer({ min: 1 }))
    .addOption(new Option("--eval_strategy <when>", "also evaluate in training").choices(["no", "epoch"]).default("no"))
    .option("--save_steps <n>", "steps between checkpoints", integer({ min: 1 }), 500)
    .option("--save_total_limit <n>", "checkpoints that are kept", integer({ min: 1 }), 2)
    .option("--logging_steps <n>", "steps between entries of the log", integer({ min: 1 }), 500)
    .option("--seed <n>", "seed of the order, the dropout and the probes", integer(), 42)
    .option("--output_dir <folder>", "where everything goes")
    .option("--overwrite_output_dir", "replace what an earlier run left there")
    .option("--resume_from_checkpoint [path]", "go on from the last checkpoint, or from this one")
    .option("--optimizer <name>", "the perturbation, as for curvsam patch", "none")
    .option("--combine <name>", "what becomes of the two gradients, as for curvsam patch", "plain")
    .option("--base <name>", "what takes the step, as for curvsam patch", "adamw")
    .option("--preset <name>", "curvsam: paper, or fast, whose curvature is almost free (default: paper)")
    .addOption(setOption())
    .option("--rho <x>", "radius of the perturbation", number({ min: 0 }))
    .option("--hyper <name=x>", "any other hyper-parameter", assignments);
  addSharpnessOptions(command)
    .addOption(chunkOption())
    .option("--threads <n>", "threads of the runtime (default: all cores)", integer({ min: 1 }))
    .option("--ignore_memory", "go on where a step needs more memory than is free, by the estimate before the first")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (file: string | undefined) => {
      if (file !== undefined) readArguments(command, file);
      const flags = command.opts<Partial<GlueFlags>>();
      const { runGlue, checkFlags } = await import("../glue.js");
      await runGlue(context, checkFlags(flags));
    });
  return command;
};

/** Sets options from a JSON file, as if they stood on the command line; what stands there wins. */
function readArguments(command: Command, file: string): void {
  const text = onFile(file, "read", () => readFileSync(file, "utf8"));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new UsageError(`${file}: it is not JSON`);
  }
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new UsageError(`${file}: expected one JSON object of options`);
  }
  const known = command.options.map((option) => option.name());
  for (const [name, value] of Object.entries(json)) {
    const option = command.options.find((each) => each.name() === name);
    if (!option) throw new UsageError(`${file}: there is no option "${name}"${didYouMean(name, known)}`);
    const attribute = option.attributeName();
    if (command.getOptionValueSource(attribute) === "cli") continue;
    if (typeof value === "boolean") {
      if (value) command.setOptionValueWithSource(attribute, true, "config");
      continue;
    }
    if (typeof value !== "string" && typeof value !== "number") {
      throw new UsageError(`${file}: "${name}" is ${JSON.stringify(value)}; expected a text, a number, true or false`);
    }
    command.setOptionValueWithSource(attribute, parsed(option, String(value), file), "config");
  }
}

function parsed(option: Option, text: string, file: string): unknown {
  if (option.argChoices && !option.argChoices.includes(text)) {
    throw new UsageError(`${file}: "${option.name()}" is "${text}"; use one of ${option.argChoices.join(", ")}`);
  }
  try {
    return option.parseArg ? option.parseArg(text, undefined) : text;
  } catch (error) {
    throw new UsageError(`${file}: "${option.name()}": ${error instanceof Error ? error.message : ""}`);
  }
}
