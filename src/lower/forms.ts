import type { Pass } from "../passes/pass.js";
import { branchOnScalars } from "./choices.js";
import { joinImages, turnTransposedConvolutions } from "./convolutions.js";
import { shareGelus } from "./gelu.js";
import { dropKeepers } from "./keepers.js";
import { multiplyByMasks } from "./masks.js";
import { shareNormalizations } from "./norms.js";
import { fuseTransposes } from "./products.js";
import { keepRows } from "./rows.js";
import { sumRowsFirst } from "./sums.js";

/** A rewrite of a graph for one provider. */
export interface Form {
  name: string;
  /** What it does, for reports. */
  does: string;
  apply: Pass;
}

/** What the CPU provider's kernels do faster another way than the rules emit it. */
export const cpuForms: readonly Form[] = [
  { name: "keepers", does: "new weights and state are outputs directly, not chosen by `skipped`", apply: dropKeepers },
  { name: "rows", does: "gradients of embeddings are the rows that the batch reads, each once", apply: keepRows },
  {
    name: "choices",
    does: "one scalar that chooses between two tensors is a branch (If), and makes what it alone reads",
    apply: branchOnScalars,
  },
  { name: "gelu", does: "a GELU takes the error function that its derivatives compute anyway", apply: shareGelus },
  { name: "norms", does: "layer norms hand their mean and deviation to their derivatives", apply: shareNormalizations },
  {
    name: "joined images",
    does: "convolutions of small images, and those that are gradients of kernels, are one of all images side by side",
    apply: joinImages,
  },
  {
    name: "turned kernels",
    does: "transposed convolutions without strides, of small kernels or images, are convolutions",
    apply: turnTransposedConvolutions,
  },
  { name: "masks", does: "derivatives of ReLUs are multiplied by masks, not chosen", apply: multiplyByMasks },
  { name: "sums", does: "sums over the first axes are taken over each row, then over rows", apply: sumRowsFirst },
  { name: "products", does: "matrix products read their operands transposed (FusedMatMul)", apply: fuseTransposes },
];
