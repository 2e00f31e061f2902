import type { Graph, Node } from "../ir/graph.js";
import { graphsWithin } from "../passes/pass.js";
import { UserError } from "../util/assert.js";

/** Names the operator in the runtime's words of one that it does not have; the domain where that is not the default. */
const unknownOperator =
  /No Op registered for (?<op>\w+) with|(?<domain>[\w.]+):(?<op2>\w+)\(-?\d+\) is not a registered/;
/** What the runtime says of a domain's version that it does not know. */
const unknownVersion = /Opset (\d+) is under development.* support for domain (\S+) is till opset (\d+)/;

/** Why the runtime would not open `graph`, from its own `error`: one line that names the node, where that can be told. */
export function refusalOf(graph: Graph, error: unknown): UserError {
  const message = (error instanceof Error ? error.message : String(error)).replaceAll("\n", " ").trim();
  const node = unknownNode(graph, message);
  if (node) return new UserError(`${node.label}: ONNX Runtime has no such operator; export it in standard operators`);
  const [, version, domain, newest] = unknownVersion.exec(message) ?? [];
  return new UserError(
    domain === undefined
      ? `ONNX Runtime refuses the model: ${message}`
      : `the model is of version ${version} of the domain "${domain}"; ONNX Runtime knows it up to ${newest}: export it for that`,
  );
}

function unknownNode(graph: Graph, message: string): Node | undefined {
  const { op, op2, domain = "" } = unknownOperator.exec(message)?.groups ?? {};
  return [...graphsWithin(graph)]
    .flatMap((g) => g.nodes)
    .find((node) => node.op === (op ?? op2) && node.domain === domain);
}
