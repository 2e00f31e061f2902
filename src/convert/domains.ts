import type { Graph } from "../ir/graph.js";
import { UserError } from "../util/assert.js";

/** Whose operators the runtime has; functions of a model's own domains are inlined. */
const known: ReadonlySet<string> = new Set(["", "ai.onnx", "ai.onnx.ml", "com.microsoft"]);

/** Throws a UserError for the first node, bodies included, of a domain that no operator is known of. */
export function checkDomains(graph: Graph): void {
  for (const node of graph.nodes) {
    if (!known.has(node.domain)) {
      throw new UserError(
        `${node.label}: nothing is known of the domain "${node.domain}", and the model does not define the operator as a ` +
          `function; export it in standard operators`,
      );
    }
    for (const body of node.graphs()) checkDomains(body);
  }
}
