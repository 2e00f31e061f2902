import type { Node } from "../../src/ir/graph.js";
import { graphsWithin } from "../../src/passes/pass.js";

const recurrent = ["RNN", "GRU", "LSTM"];
const within = (node: Node, ops: readonly string[]): boolean =>
  [...node.graphs()].some((body) => [...graphsWithin(body)].some((g) => g.nodes.some((n) => ops.includes(n.op))));
const spatial = (node: Node): number => (node.inputs[1]?.shape?.length ?? 0) - 2;
const isConvolution = (node: Node): boolean => ["Conv", "ConvTranspose"].includes(node.op);

/** Forms of operators that stand in the table with counts of their own. */
export const forms: Readonly<Record<string, (node: Node) => boolean>> = {
  "Convolution (Conv, ConvTranspose)": isConvolution,
  "Convolution in one dimension": (n) => isConvolution(n) && spatial(n) === 1,
  "Convolution in two dimensions": (n) => isConvolution(n) && spatial(n) === 2,
  "Convolution in three dimensions": (n) => isConvolution(n) && spatial(n) === 3,
  "Convolution in groups": (n) => isConvolution(n) && n.int("group", 1) > 1,
  "RNN, GRU, LSTM": (n) => recurrent.includes(n.op),
  "LSTM with peepholes": (n) => n.op === "LSTM" && Boolean(n.inputs[7]),
  "RNN, GRU, LSTM with lengths of sequences": (n) => recurrent.includes(n.op) && Boolean(n.inputs[4]),
  "RNN, GRU, LSTM backwards or in both directions": (n) =>
    recurrent.includes(n.op) && n.string("direction", "forward") !== "forward",
  If: (n) => n.op === "If",
  Loop: (n) => n.op === "Loop",
  "Loop within a body": (n) => within(n, ["Loop"]),
  "Loop within a Loop": (n) => n.op === "Loop" && within(n, ["Loop"]),
  "If, Loop or Scan within a Scan": (n) => n.op === "Scan" && within(n, ["If", "Loop", "Scan"]),
};

/** The names of the forms that `nodes` have. */
export const formsOf = (nodes: readonly Node[]): string[] =>
  Object.entries(forms).flatMap(([name, has]) => (nodes.some(has) ? [name] : []));
