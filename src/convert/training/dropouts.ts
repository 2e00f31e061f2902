import { tensorType, type Node } from "../../ir/graph.js";
import { Tensor } from "../../ir/tensor.js";
import * as e from "../../ops/emit.js";
import { constantScalar } from "../../ops/shapes.js";
import { UserError, must } from "../../util/assert.js";
import { given, type Given, type TrainingOp, type TrainingOps } from "./training_op.js";

/** The ratio of a dropout and whether it is in training mode, from constant inputs. */
function settings(b: e.B, node: Node, ratio: e.V | null | undefined, mode: e.V | null | undefined): [number, boolean] {
  const share = ratio ? constantScalar(b, ratio) : 0.5;
  const training = mode ? constantScalar(b, mode) : 1;
  if (share === undefined || training === undefined)
    throw new UserError(`${node.label}: its ratio or its mode is no constant; export the model with constants there`);
  return [share, training !== 0];
}

/** (dy, mask, ratio, mode) → dy·mask/(1 − ratio). */
const gradient: TrainingOp = {
  types: [0],
  lower: ({ b }, node, inputs) => {
    const dy = given(node, inputs, 0);
    const [ratio, training] = settings(b, node, inputs[2], inputs[3]);
    if (!training || ratio === 0) return [dy];
    return [e.mul(b, dy, e.scale(b, e.cast(b, given(node, inputs, 1), dy.dtype), 1 / (1 - ratio)))];
  },
};

/** A standard Dropout: its mask becomes an input of the training graphs. */
function dropout(b: e.B, x: e.V, ratio: e.V | null, mode: e.V | null): Given {
  const types = [x.type, tensorType("bool", x.shape)];
  const on = mode ?? b.constant(Tensor.of("bool", [], [1]));
  const node = b.node("Dropout", [x, ratio ?? b.scalar(0.5), on], {}, {}, { outputs: 2, types });
  return [node.output(0), node.output(1)];
}

/** (x, ratio, mode) → y, mask: a Dropout whose mask is packed to bits, which only its gradient reads. */
const bitmask: TrainingOp = {
  types: (t, node, inputs) => t.ops("Dropout", [given(node, inputs, 0)], 2),
  lower: ({ b }, node, inputs) => dropout(b, given(node, inputs, 0), inputs[1] ?? null, inputs[2] ?? null),
};

/** (x, bias, residual, ratio, mode) → residual + dropout(x + bias), mask. */
const biased: TrainingOp = {
  types: (t, node, inputs) => t.ops("Dropout", [given(node, inputs, 0)], 2),
  lower: ({ b }, node, inputs) => {
    const sum = e.add(b, given(node, inputs, 0), given(node, inputs, 1));
    const [y = null, mask = null] = dropout(b, sum, inputs[3] ?? null, inputs[4] ?? null);
    const dropped = must(y, "a dropout");
    return [inputs[2] ? e.add(b, inputs[2], dropped) : dropped, mask];
  },
};

export const dropouts: TrainingOps = {
  DropoutGrad: gradient,
  BitmaskDropoutGrad: gradient,
  BitmaskDropout: bitmask,
  BiasDropout: biased,
  BitmaskBiasDropout: biased,
};
