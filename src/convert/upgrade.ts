import type { Model } from "../ir/graph.js";
import { inlineFunctions } from "./inline.js";
import { later } from "./later.js";
import { convertNodes, opsetOf, raise } from "./raise.js";
import { Names } from "./rewriter.js";

/** The opset at which the project works. */
const working = 21;

/**
 * Brings the model's default domain to opset 21, in place: nodes are rewritten to the form that means the same there,
 * in bodies too; functions are inlined first. Throws a UserError that names the first node without such a form, or the
 * opset where it is older than 7 or newer than what is known here.
 */
export function upgrade(model: Model): void {
  if (model.functions.length > 0) inlineFunctions(model);
  const opset = opsetOf(model.opsets);
  if (opset === undefined) return;
  const names = new Names(model);
  if (opset > working) convertNodes(model.graph, names, (node) => later[node.op]);
  else raise(model.graph, names, opset, working);
  model.opsets.set("", working);
  model.irVersion = Math.max(model.irVersion, 10);
}
