import { Command, Option } from "commander";
import type { PatchOptions, PatchReport } from "../../pack/patch.js";
import { addArtifactOptions, goalOf, hasGoal, type ArtifactFlags } from "../artifact.js";
import type { CommandBuilder } from "../context.js";
import type { Precision } from "../../frontend/autocast.js";
import { places } from "../../frontend/places.js";
import { UsageError } from "../failure.js";
import { columns, counted, grouped } from "../format.js";
import { globs, refuseUnmatched } from "../globs.js";
import { addOptimizerOptions, optimizerOptions, withoutDecay, type OptimizerFlags } from "../optimizer.js";
import { addLossOptions } from "../loss.js";
import { list, number } from "../parse.js";

const help = `
Globs select parameters by name; * stands for any characters. Without further
options the optimizer is CurvSAM as its paper gives it, over plain SGD.

Examples:
  $ curvsam patch model.onnx -o out --loss cross-entropy --logits logits
  $ curvsam patch model.onnx -o out --loss cross-entropy --optimizer curvsam --base adamw --lr 2e-5
  $ curvsam patch model.onnx -o out --loss mse --logits score --optimizer sam --freeze "*embeddings*"
  $ curvsam patch model.onnx -o out --loss cross-entropy --base adamw --no-decay "*.bias,*LayerNorm*"
  $ curvsam patch training_model.onnx --checkpoint checkpoint -o out --base adamw
  $ curvsam patch model.onnx -o out --loss-output loss --optimizer none --base sgd --momentum 0.9`;

interface Flags extends OptimizerFlags, ArtifactFlags {
  output: string;
  train?: string[];
  freeze?: string[];
  /** Of --no-decay: commander reads the name so; true where the option is not given. */
  decay: string[] | true;
  trainMode?: true;
  dropout?: number;
  dropoutAt?: string[];
  bnStats: "update" | "freeze";
  recompute?: true;
  storeActivations: "float32" | "float16";
  precision: Precision;
  force?: true;
  json?: true;
}

export const command: CommandBuilder = (context) => {
  const command = new Command("patch")
    .helpGroup("Training packages:")
    .summary("make a training package out of a model")
    .description(
      "Adds loss, gradient and optimizer to a model: writes a folder of ONNX graphs that any ONNX Runtime trains.",
    )
    .argument("<model>", "an ONNX file, with its weights inside or beside it")
    .requiredOption("-o, --output <folder>", "where to write the package");
  return addOptimizerOptions(addArtifactOptions(addLossOptions(command)))
    .option("--train <globs>", "train only these parameters", list)
    .option("--freeze <globs>", "do not train these parameters", list)
    .option("--train-mode", "put back what exporters remove: batch norms go by their batch, transformers drop out")
    .option(
      "--dropout <p>",
      "--train-mode: probability of the dropouts put in (default: 0.1)",
      number({ min: 0, max: 1 }),
    )
    .option(`--dropout-at <places>`, `--train-mode: where (default: ${places.join(",")})`, list)
    .addOption(
      new Option("--bn-stats <what>", "running statistics of batch norms in training mode")
        .choices(["update", "freeze"])
        .default("update"),
    )
    .addOption(
      new Option("--precision <name>", "what training graphs compute in; mixed: products in float16, for GPUs")
        .choices(["float32", "mixed"])
        .default("float32"),
    )
    .option("--recompute", "compute activations anew in backward passes: less memory, more time (CPU)")
    .addOption(
      new Option("--store-activations <dtype>", "what activations wait for the backward pass in (CPU)")
        .choices(["float32", "float16"])
        .default("float32"),
    )
    .option("--no-decay <globs>", "no weight decay for these parameters", list)
    .option("--force", "replace the package that the folder holds")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (model: string, flags: Flags) => {
      if (!hasGoal(flags)) (await import("../../pack/load.js")).loadExport(model);
      const [{ patch }, { patterns: groupPatterns, groups, ...optimizer }] = [
        await import("../../pack/patch.js"),
        await optimizerOptions(flags),
      ];
      const patterns = {
        ...groupPatterns,
        train: flags.train,
        freeze: flags.freeze,
        "no-decay": flags.decay === true ? undefined : flags.decay,
      };
      const options: PatchOptions = {
        ...goalOf(flags),
        ...optimizer,
        groups: patterns["no-decay"] ? withoutDecay(groups, globs(patterns["no-decay"])) : groups,
        ...trainModeOf(flags),
        batchNormStatistics: flags.bnStats,
        ...(flags.precision === "mixed" && { precision: flags.precision }),
        ...(flags.recompute && { recompute: true }),
        ...(flags.storeActivations === "float16" && { storeActivations: flags.storeActivations }),
        checkNames: (names) => refuseUnmatched(patterns, names),
        ...(patterns.train && { train: globs(patterns.train) }),
        ...(patterns.freeze && { freeze: globs(patterns.freeze) }),
        ...(flags.force && { force: true }),
      };
      const report = await patch(model, flags.output, options);
      for (const { message } of report.warnings) context.note(`curvsam: warning: ${message}`);
      if (flags.json) context.printJson(report);
      else for (const line of listing(report)) context.print(line);
    });
};

function trainModeOf({ trainMode, dropout, dropoutAt }: Flags): Pick<PatchOptions, "trainMode"> {
  if (!trainMode) {
    for (const [flag, value] of Object.entries({ "--dropout": dropout, "--dropout-at": dropoutAt }))
      if (value !== undefined) throw new UsageError(`${flag} belongs to --train-mode; give that too`);
    return {};
  }
  if (dropout === 1) throw new UsageError("--dropout: 1 leaves nothing; give a probability below 1");
  const at = dropoutAt?.map((name) => {
    const place = places.find((p) => p === name);
    if (!place) throw new UsageError(`--dropout-at "${name}": no such place; use ${places.join(", ")}`);
    return place;
  });
  return { trainMode: { ...(dropout !== undefined && { dropout }), ...(at && { dropoutAt: at }) } };
}

function listing(report: PatchReport): string[] {
  const restored = report.restored.map(({ message }) => `restored: ${message}`);
  const { folder, trainableElements, trainableParameters, parameters, dropouts, buffers } = report;
  const frozen = parameters - trainableParameters;
  const also = [
    ...(frozen > 0 ? [`${grouped(frozen)} frozen`] : []),
    ...(dropouts > 0 ? [counted(dropouts, "dropout")] : []),
    ...(buffers > 0 ? [counted(buffers, "running statistic")] : []),
  ];
  return [
    ...restored,
    [
      `${folder}: trains ${grouped(trainableElements)} parameters in ${counted(trainableParameters, "tensor")}`,
      ...also,
    ].join(", "),
    ...columns(Object.values(report.graphs).map(({ file, nodes }) => [file, counted(nodes, "node")])),
  ];
}
