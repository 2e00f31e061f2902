import { Option, type Command } from "commander";
import type { PatchOptions } from "../pack/patch.js";
import { UsageError } from "./failure.js";
import { integer, number, numbers } from "./parse.js";

export const lossKinds = ["cross-entropy", "soft-cross-entropy", "mse", "bce-with-logits"] as const;
export type LossKind = (typeof lossKinds)[number];

/** The options that name a model's loss. */
export interface LossFlags {
  loss?: LossKind;
  logits?: string;
  lossOutput?: string;
  labelSmoothing?: number;
  classWeights?: number[];
  ignoreIndex?: number;
}

export const addLossOptions = (command: Command): Command =>
  command
    .addOption(new Option("--loss <kind>", "the loss to add").choices(lossKinds))
    .option("--logits <output>", "the output that the loss compares with the labels (default: the only one)")
    .addOption(new Option("--loss-output <output>", "an output that is the loss already").conflicts(["loss", "logits"]))
    .option(
      "--label-smoothing <e>",
      "cross-entropy: share of the target spread over all classes",
      number({ min: 0, max: 1 }),
    )
    .option("--class-weights <w,…>", "cross-entropy: one weight per class", numbers({ min: 0 }))
    .option("--ignore-index <id>", "cross-entropy: rows of this label count for nothing", integer());

export function lossOf(flags: LossFlags): NonNullable<PatchOptions["loss"]> {
  if (flags.lossOutput !== undefined) {
    refuseClassOptions(flags, "--loss-output");
    return { kind: "output", output: flags.lossOutput };
  }
  if (flags.loss === undefined)
    throw new UsageError("--loss is missing; give one, or name the model's own with --loss-output");
  const logits = flags.logits === undefined ? {} : { logits: flags.logits };
  const { labelSmoothing, classWeights, ignoreIndex } = flags;
  const perClass = {
    ...logits,
    ...(labelSmoothing !== undefined && { labelSmoothing }),
    ...(classWeights !== undefined && { classWeights }),
  };
  switch (flags.loss) {
    case "cross-entropy":
      return { kind: flags.loss, ...perClass, ...(ignoreIndex !== undefined && { ignoreIndex }) };
    case "soft-cross-entropy":
      if (ignoreIndex !== undefined)
        throw new UsageError("--ignore-index belongs to --loss cross-entropy, whose labels are classes");
      return { kind: flags.loss, ...perClass };
    default:
      refuseClassOptions(flags, `--loss ${flags.loss}`);
      return { kind: flags.loss, ...logits };
  }
}

/** Refuses options of cross-entropy beside something else. */
export function refuseClassOptions(flags: LossFlags, given: string): void {
  const { labelSmoothing, classWeights, ignoreIndex } = flags;
  const options = {
    "--label-smoothing": labelSmoothing,
    "--class-weights": classWeights,
    "--ignore-index": ignoreIndex,
  };
  for (const [flag, value] of Object.entries(options)) {
    if (value !== undefined) throw new UsageError(`${flag} belongs to --loss cross-entropy, not to ${given}`);
  }
}
