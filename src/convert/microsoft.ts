import { float, int, ints, string, type Node, type Value } from "../ir/graph.js";
import { UserError } from "../util/assert.js";
import { withAttribute, without, type Converter, type Rewriter } from "./rewriter.js";

/** The same operator of the default domain. */
const standard: Converter = (node) => (node.domain = "");

const [firstLast, lastFirst] = [ints([0, 3, 1, 2]), ints([0, 2, 3, 1])];

/** x as [batch, channels, rows, columns], where it has its channels last. */
const channelsFirst = (r: Rewriter, x: Value): Value => r.emit("Transpose", [x], { perm: firstLast });

/** y = x + bias + skip. */
const biasAdd: Converter = (node, r) => {
  r.become("Add", [r.emit("Add", [node.input(0), node.input(1)]), node.input(2)]);
};

/** y = u·gelu(v) for [u v] = x + bias, halves of the last axis. */
const biasSplitGelu: Converter = (node, r) => {
  const sum = r.emit("Add", [node.input(0), node.input(1)]);
  const shape = r.emit("Shape", [sum]);
  const half = r.emit("Div", [r.emit("Gather", [shape, r.int64s([-1])]), r.int64s([2])]);
  const axes = r.int64s([-1], "axes");
  const u = r.emit("Slice", [sum, r.int64s([0]), half, axes]);
  const v = r.emit("Slice", [sum, half, r.int64s([2 ** 31]), axes]);
  r.become("Mul", [u, r.emit("Gelu", [v])]);
};

/** y = gelu(xW + bias), approximated by tanh. */
const gemmFastGelu: Converter = (node, r) => {
  const product = r.emit("MatMul", [node.input(0), node.input(1)]);
  const bias = node.inputs[2];
  r.become("Gelu", [bias ? r.emit("Add", [product, bias]) : product], { approximate: string("tanh") });
};

/** A convolution of channels that come last, in x, w and y. */
const nhwcConv: Converter = (node, r) => {
  const [x, w] = [channelsFirst(r, node.input(0)), channelsFirst(r, node.input(1))];
  const y = r.emit("Conv", [x, w, node.inputs[2] ?? null], without(node, "activation", "activation_params"));
  const z = node.inputs[3];
  const sum = z ? r.emit("Add", [y, channelsFirst(r, z)]) : y;
  const activation = node.string("activation", "");
  if (activation !== "" && activation !== "Relu")
    throw new UserError(`${node.label}: the activation ${activation} has no form here`);
  r.become("Transpose", [activation ? r.emit("Relu", [sum]) : sum], { perm: lastFirst });
};

/** GroupNormalization of channels that may come last, and x·σ(x) where it is asked for. */
function groupNorm(node: Node, r: Rewriter, x: Value): void {
  const last = node.int("channels_last", 1) !== 0;
  const attributes = { num_groups: int(node.int("groups", 1)), epsilon: float(node.float("epsilon", 1e-5)) };
  const inputs = [last ? channelsFirst(r, x) : x, node.input(1), node.input(2)];
  const y = r.emit("GroupNormalization", inputs, attributes);
  const active = node.int("activation", 0) !== 0 ? r.emit("Mul", [y, r.emit("Sigmoid", [y])]) : y;
  if (last) r.become("Transpose", [active], { perm: lastFirst });
  else r.become("Identity", [active]);
}

const gridSample: Converter = (node) => {
  const names: Record<string, string> = { bilinear: "linear", bicubic: "cubic" };
  const mode = node.string("mode", "bilinear");
  node.attributes = withAttribute(node, "mode", string(names[mode] ?? mode));
  node.domain = "";
};

/**
 * How operators of ONNX Runtime are written at opset 21 that need no types for it: those that its CPU provider, which
 * tells the types, has no kernel of, and those that ONNX has too. The others: `ops/lowered/microsoft`.
 */
export const microsoft: Readonly<Record<string, Converter>> = {
  BiasAdd: biasAdd,
  BiasSplitGelu: biasSplitGelu,
  DequantizeLinear: standard,
  GatherND: standard,
  GemmFastGelu: gemmFastGelu,
  GridSample: gridSample,
  GroupNorm: (node, r) => {
    groupNorm(node, r, node.input(0));
  },
  NhwcConv: nhwcConv,
  NhwcFusedConv: nhwcConv,
  QuantizeLinear: standard,
  Unique: standard,
};
