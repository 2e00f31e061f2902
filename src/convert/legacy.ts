import { Tensor } from "../ir/tensor.js";
import type { Converter } from "./rewriter.js";

/** y = αx + β. */
const affine: Converter = (node, r) => {
  const x = node.input(0);
  const scaled = r.emit("Mul", [x, r.scalarLike(x, node.float("alpha", 1))]);
  r.become("Add", [scaled, r.scalarLike(x, node.float("beta", 0))]);
};

/** y = α·f(βx). */
const scaled =
  (op: string): Converter =>
  (node, r) => {
    const x = node.input(0);
    const inner = r.emit("Mul", [x, r.scalarLike(x, node.float("beta", 1))]);
    r.become("Mul", [r.emit(op, [inner]), r.scalarLike(x, node.float("alpha", 1))]);
  };

const scale: Converter = (node, r) => {
  r.become("Mul", [node.input(0), r.scalarLike(node.input(0), node.float("scale", 1))]);
};

/** y = s·x + bias of each channel. */
const imageScaler: Converter = (node, r) => {
  const x = node.input(0);
  const given = node.attributes["bias"];
  const bias = given?.type === "floats" ? given.value : [];
  const scaledUp = r.emit("Mul", [x, r.scalarLike(x, node.float("scale", 1))]);
  r.become("Add", [scaledUp, r.constant(Tensor.of("float32", [bias.length, 1, 1], bias), "bias")]);
};

/** Experimental operators of ONNX's first releases, which ONNX Runtime executes to opset 9. */
export const legacy: Readonly<Record<string, Converter>> = {
  Affine: affine,
  ImageScaler: imageScaler,
  ParametricSoftplus: scaled("Softplus"),
  Scale: scale,
  ScaledTanh: scaled("Tanh"),
};
