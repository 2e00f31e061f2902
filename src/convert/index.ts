import type { Model } from "../ir/graph.js";
import { UserError } from "../util/assert.js";

/** Operators whose form changed between opsets 17 and 21. */
const changed = /^(Reduce\w+|Split|Pad|Resize|GroupNormalization)$/;

/** Raises a model of opset 17 or later to opset 21, in place. Throws for operators whose form changed since. */
export function upgrade(model: Model): void {
  const opset = model.opsets.get("") ?? 1;
  if (opset === 21) return;
  const bad = model.graph.nodes.find((n) => changed.test(n.op));
  if (opset > 21 || opset < 17 || (opset < 18 && bad)) {
    throw new UserError(
      `the model is of opset ${opset}${bad ? ` and has ${bad.label}` : ""}; export it at opset 18 to 21`,
    );
  }
  model.opsets.set("", 21);
}

/** Replaces calls of model-local functions by their bodies. Throws where there are any. */
export function inlineFunctions(model: Model): void {
  if (model.functions.length > 0) throw new UserError("the model has local functions; export it without them");
}
