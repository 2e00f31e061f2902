/** What opset 7 changed: numpy's broadcasting came, and operators no longer said whether they were tested. */
import { int, type Node, type Value } from "../ir/graph.js";
import { check } from "../util/assert.js";
import { without, type Converter, type Rewriter } from "./rewriter.js";

const rankOf = (v: Value, what: string, node: Node): number => {
  check(v.shape, () => `${node.label}: the rank of its ${what} is not known; export the model at opset 7 or later`);
  return v.shape.length;
};

/** `v` with as many dimensions of 1 behind its own. */
function padded(r: Rewriter, v: Value, count: number): Value {
  if (count <= 0) return v;
  const shape = r.emit("Concat", [r.emit("Shape", [v]), r.int64s(Array<number>(count).fill(1))], { axis: int(0) });
  return r.emit("Reshape", [v, shape]);
}

/** The second operand began at dimension `axis` of the first. */
const broadcastAxis: Converter = (node, r) => {
  const axis = node.int("axis");
  const applies = node.int("broadcast", 0) === 1 && axis !== undefined;
  node.attributes = without(node, "broadcast", "axis");
  if (!applies) return;
  const [x, y] = [node.input(0), node.input(1)];
  const rank = rankOf(x, "first operand", node);
  node.inputs[1] = padded(r, y, rank - (axis < 0 ? axis + rank : axis) - rankOf(y, "second operand", node));
};

/** A slope of one dimension was one of each channel. */
const channelSlopes: Converter = (node, r) => {
  const [x, slope] = [node.input(0), node.input(1)];
  const size = slope.shape?.length === 1 ? slope.shape[0] : undefined;
  if (size === 1) return;
  node.inputs[1] = padded(r, slope, rankOf(x, "input", node) - 1 - rankOf(slope, "slope", node));
};

const dropped =
  (...names: string[]): Converter =>
  (node) =>
    (node.attributes = without(node, ...names));

/** What was not tested was trained, and drew a mask or took the statistics of its batch. */
const tested: Converter = (node) => {
  check(
    node.int("is_test", 0) !== 0,
    () => `${node.label}: training mode of opset 6 has no form in later opsets; export the model anew`,
  );
  node.attributes = without(node, "is_test", "consumed_inputs");
};

const broadcasting = ["Add", "Sub", "Mul", "Div", "Pow", "And", "Or", "Xor", "Equal", "Greater", "Less"];

export const opset7: Readonly<Record<string, Converter>> = {
  ...Object.fromEntries(broadcasting.map((op) => [op, broadcastAxis])),
  BatchNormalization: tested,
  Dropout: tested,
  Gemm: dropped("broadcast"),
  GRU: dropped("output_sequence"),
  LSTM: dropped("output_sequence"),
  PRelu: channelSlopes,
  RNN: dropped("output_sequence"),
};
