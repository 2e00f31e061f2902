import type { Graph, Model } from "../ir/graph.js";
import { loweredRuleOf } from "../ops/builder.js";
import { inlineFunctions } from "./inline.js";
import { later } from "./later.js";
import { microsoft } from "./microsoft.js";
import { convertNodes, opsetOf, raise } from "./raise.js";
import { Names } from "./rewriter.js";

/** The opset at which the project works. */
const working = 21;

/** The opset that the operators need which stay until types are known: `passes/decompose.ts` replaces them then. */
function newestOf(graph: Graph): number {
  let newest = 0;
  for (const node of graph.nodes) {
    if (node.domain === "") newest = Math.max(newest, loweredRuleOf(node)?.since ?? 0);
    for (const body of node.graphs()) newest = Math.max(newest, newestOf(body));
  }
  return newest;
}

const usesRuntimes = (graph: Graph): boolean =>
  graph.nodes.some((node) => node.domain === "com.microsoft" || Object.values(node.bodies).some(usesRuntimes));

/**
 * Brings the model's default domain to opset 21, in place: nodes are rewritten to the form that means the same there,
 * in bodies too; functions are inlined first. Later operators that are written out once types are known stay, and the
 * model is then of their opset. Throws a UserError that names the first node without such a form, or the
 * opset where it is older than 6 or newer than what is known here.
 */
export function upgrade(model: Model): void {
  if (model.functions.length > 0) inlineFunctions(model);
  const opset = opsetOf(model.opsets);
  if (opset === undefined) return;
  const names = new Names(model);
  if (opset > working) convertNodes(model.graph, names, (node) => later[node.op]);
  else raise(model.graph, names, opset, working);
  convertNodes(model.graph, names, (node) => microsoft[node.op], { domain: "com.microsoft" });
  model.opsets.set("", Math.max(working, newestOf(model.graph)));
  if (!model.opsets.has("com.microsoft") && usesRuntimes(model.graph)) model.opsets.set("com.microsoft", 1);
  model.irVersion = Math.max(model.irVersion, 10);
}
