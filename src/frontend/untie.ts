import { tensorType, type Graph, type Value } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { isFloat } from "../util/dtype.js";
import { anonymous } from "./parameters.js";

/**
 * Gives parameters back to modules that PyTorch's TorchScript exporter merged because they held equal values: fresh
 * biases of zeros, fresh norm gains of ones. It leaves `parameter = Identity(other parameter)`; such an output becomes an
 * initializer of its own where all elements are equal. Tensors that are equal otherwise are shared on purpose (tied
 * embeddings): they stay one.
 */
export function untieConstants(graph: Graph): void {
  const constant = new Map<Tensor, boolean>();
  const isConstant = (tensor: Tensor): boolean => {
    let known = constant.get(tensor);
    if (known === undefined) {
      const [first, ...others] = tensor.numbers();
      constant.set(tensor, (known = others.every((x) => x === first)));
    }
    return known;
  };
  const separate = (from: Value, to: Value): boolean => {
    const tensor = graph.initializers.get(from);
    if (!tensor || !isFloat(tensor.dtype) || anonymous.test(from.name) || !isParameterName(to.name)) return false;
    if (!isConstant(tensor)) return false;
    to.producer = null;
    to.type = tensorType(tensor.dtype, tensor.dims);
    graph.initializers.set(to, tensor);
    return true;
  };
  graph.nodes = graph.nodes.filter((node) => {
    const [from, to] = [node.inputs[0], node.outputs[0]];
    const isCopy = node.op === "Identity" && node.domain === "" && from && to && !graph.outputs.includes(to);
    return !(isCopy && separate(from, to));
  });
}

/** A name of `named_parameters`: dotted, where values that the exporter names for itself have slashes. */
const isParameterName = (name: string): boolean => /^[^/:]+$/.test(name) && !anonymous.test(name);
