import { Graph, Node, int, ints, tensorType, type Type } from "../ir/graph.js";
import { check } from "../util/assert.js";
import type { Converter } from "./rewriter.js";

/** The type of one example of a batch. */
const exampleOf = (type: Type | null): Type | null =>
  type?.kind === "tensor" && type.shape ? tensorType(type.dtype, type.shape.slice(1)) : null;

/** A Scan of opset 8 ran over the second axis, for each example of a batch: a Scan over the batch, around one of today. */
export const scanOfBatch: Converter = (node, r) => {
  const [lengths, ...inputs] = node.inputs;
  check(!lengths, () => `${node.label}: lengths of a Scan have no form in later opsets; export the model at opset 9`);
  const scanned = node.int("num_scan_inputs", 0);
  const outer = new Graph(`${node.name}/batch`);
  outer.inputs = inputs.map((v, i) => r.value(`example${i}`, exampleOf(v?.type ?? null)));
  outer.outputs = node.outputs.map((_, i) => r.value(`result${i}`, null));
  const directions = node.ints("directions");
  const attributes = { num_scan_inputs: int(scanned), ...(directions && { scan_input_directions: ints(directions) }) };
  outer.nodes.push(new Node("Scan", outer.inputs, outer.outputs, attributes, node.bodies, "", `${node.name}/time`));
  node.inputs = inputs;
  node.attributes = { num_scan_inputs: int(inputs.length) };
  node.bodies = { body: outer };
};
