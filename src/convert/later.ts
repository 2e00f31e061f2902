import { int, type Attribute, type Node, type Value } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { UserError, check } from "../util/assert.js";
import { without, type Converter, type Rewriter } from "./rewriter.js";

/** y = x·σ(αx). */
const swish: Converter = (node, r) => {
  const x = node.input(0);
  const alpha = node.float("alpha", 1);
  const scaled = alpha === 1 ? x : r.emit("Mul", [x, r.scalarLike(x, alpha)]);
  r.become("Mul", [x, r.emit("Sigmoid", [scaled])]);
};

/** The axes from `axis` to the last, counted from the end where they can be, else at run time. */
function trailingAxes(node: Node, r: Rewriter): Value {
  const x = node.input(0);
  const axis = node.int("axis", -1);
  const rank = x.shape?.length;
  const first = axis < 0 ? axis : rank === undefined ? undefined : axis - rank;
  if (first !== undefined)
    return r.int64s(
      Array.from({ length: -first }, (_, i) => first + i),
      "axes",
    );
  const scalar = (n: number): Value => r.constant(Tensor.of("int64", [], [n]));
  return r.emit("Range", [scalar(axis), r.emit("Size", [r.emit("Shape", [x])]), scalar(1)]);
}

/** y = s·x/√(mean x² + ε), in the dtype of x. */
const rmsNormalization: Converter = (node, r) => {
  const x = node.input(0);
  const square = r.emit("Mul", [x, x]);
  const mean = r.emit("ReduceMean", [square, trailingAxes(node, r)], { keepdims: int(1) });
  const shifted = r.emit("Add", [mean, r.scalarLike(x, node.float("epsilon", 1e-5))]);
  const inverse = r.emit("Reciprocal", [r.emit("Sqrt", [shifted])]);
  r.become("Mul", [r.emit("Mul", [x, inverse]), node.input(1)]);
};

/** An attribute that a later opset added goes where it says what the operator did before, else the node is refused. */
const addedAttribute =
  (name: string, before: string | number): Converter =>
  (node) => {
    const value: Attribute | undefined = node.attributes[name];
    const given = value?.type === "string" ? node.string(name) : node.int(name);
    check(
      given === undefined || given === before,
      () => `${node.label}: ${name} = ${given ?? ""} has no form at opset 21; export the model at opset 21`,
    );
    node.attributes = without(node, name);
  };

/** The runtime has it, under its own name, at any opset: types can be told then (`ops/lowered/microsoft`). */
const ofTheRuntime: Converter = (node, r) => {
  r.become(node.op, node.inputs, node.attributes, "com.microsoft");
};

const refuse =
  (since: number): Converter =>
  (node) => {
    throw new UserError(`${node.label} is an operator of opset ${since}; export the model at opset 21, without it`);
  };

/**
 * How nodes of opsets after 21 are written at 21. Every other operator that has changed since takes more dtypes and
 * means the same.
 */
export const later: Readonly<Record<string, Converter>> = {
  BitCast: refuse(26),
  Cast: addedAttribute("round_mode", "up"),
  CastLike: addedAttribute("round_mode", "up"),
  CausalConvWithState: ofTheRuntime,
  DequantizeLinear: addedAttribute("output_dtype", 0),
  LinearAttention: ofTheRuntime,
  QuantizeLinear: addedAttribute("precision", 0),
  Range: addedAttribute("stash_type", 1),
  RMSNormalization: rmsNormalization,
  SpaceToDepth: addedAttribute("mode", "DCR"),
  SwiGLU: refuse(28),
  Swish: swish,
};
