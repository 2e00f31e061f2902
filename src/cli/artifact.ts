import { Option, type Command } from "commander";
import type { PatchOptions } from "../pack/patch.js";
import { UsageError } from "./failure.js";
import { lossOf, refuseClassOptions, type LossFlags } from "./loss.js";

/** The options that name the parts of ONNX Runtime's training artifacts. */
export interface ArtifactFlags extends LossFlags {
  checkpoint?: string;
  evalModel?: string;
  labels?: string;
}

export const addArtifactOptions = (command: Command): Command =>
  command
    .addOption(
      new Option("--checkpoint <file>", "of training artifacts of ONNX Runtime: their parameters").conflicts([
        "loss",
        "lossOutput",
      ]),
    )
    .option("--eval-model <file>", "of training artifacts: the evaluation model (default: eval_model.onnx beside)")
    .option("--labels <input>", "of training artifacts: the input with the labels (default: labels or target)");

/** Whether the options name a loss, or artifacts, which bring one. */
export const hasGoal = ({ checkpoint, loss, lossOutput }: ArtifactFlags): boolean =>
  (checkpoint ?? loss ?? lossOutput) !== undefined;

/** The loss to train towards: one to add, the model's own, or that of artifacts. */
export function goalOf(flags: ArtifactFlags): Pick<PatchOptions, "loss" | "artifact"> {
  const { checkpoint, evalModel, labels, logits } = flags;
  if (checkpoint === undefined) {
    for (const [flag, value] of Object.entries({ "--eval-model": evalModel, "--labels": labels }))
      if (value !== undefined) throw new UsageError(`${flag} belongs to training artifacts; name their --checkpoint`);
    return { loss: lossOf(flags) };
  }
  refuseClassOptions(flags, "--checkpoint");
  return {
    artifact: {
      checkpoint,
      ...(evalModel !== undefined && { evalModel }),
      ...(labels !== undefined && { labels }),
      ...(logits !== undefined && { logits }),
    },
  };
}
