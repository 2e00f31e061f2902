import { float, int, ints, tensorType, Value, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import { Rng } from "../../src/util/rng.js";

/** What a batch norm of `batchNormNet` is made with. */
export const norms = { epsilon: 1e-3, momentum: 0.75 };

/**
 * Images of 2 channels, 4 by 4, through a convolution, a batch norm in training mode, a ReLU, a mean over the image and a
 * linear layer with a batch norm behind it: logits of 3 classes.
 */
export function batchNormNet(): Graph {
  const b = newBuilder("batch_norms");
  const type = (...shape: (number | string)[]) => ({ types: [tensorType("float32", shape)] });
  const held = (name: string, dims: number[], shift = 0, size = 1): Value => {
    const value = new Value(name, tensorType("float32", dims));
    const count = dims.reduce((n, d) => n * d, 1);
    const rng = new Rng(name);
    const values = Array.from({ length: count }, () => shift + size * (2 * rng.uniform() - 1));
    b.graph.initializers.set(value, Tensor.of("float32", dims, values));
    return value;
  };
  const norm = (name: string, x: Value, channels: number): Value => {
    const inputs = [
      x,
      held(`${name}.weight`, [channels], 1, 0.2),
      held(`${name}.bias`, [channels], 0, 0.2),
      held(`${name}.running_mean`, [channels], 0, 0.2),
      held(`${name}.running_var`, [channels], 1, 0.2),
    ];
    const attributes = { training_mode: int(1), epsilon: float(norms.epsilon), momentum: float(norms.momentum) };
    const statistics = tensorType("float32", [channels]);
    return b
      .node("BatchNormalization", inputs, attributes, {}, { outputs: 3, types: [x.type, statistics, statistics] })
      .output();
  };
  const x = b.input("x", tensorType("float32", ["batch", 2, 4, 4]));
  const convolved = b.op(
    "Conv",
    [x, held("conv.weight", [3, 2, 3, 3], 0, 0.4)],
    { kernel_shape: ints([3, 3]), pads: ints([1, 1, 1, 1]) },
    type("batch", 3, 4, 4),
  );
  const hidden = b.op("Relu", [norm("bn1", convolved, 3)], {}, type("batch", 3, 4, 4));
  const pooled = b.op("ReduceMean", [hidden, b.int64s([2, 3])], { keepdims: int(0) }, type("batch", 3));
  const linear = b.op("MatMul", [pooled, held("head.weight", [3, 3])], {}, type("batch", 3));
  b.output(norm("bn2", linear, 3), "logits");
  return b.graph;
}
