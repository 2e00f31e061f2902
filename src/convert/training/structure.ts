import { Tensor } from "../../ir/tensor.js";
import * as e from "../../ops/emit.js";
import { UserError } from "../../util/assert.js";
import { given, type TrainingOp, type TrainingOps } from "./training_op.js";

/** Hands its inputs on. */
const through: TrainingOp = {
  types: (_, node, inputs) => node.outputs.map((__, i) => inputs[i] ?? null),
  lower: (_, node, inputs) => node.outputs.map((__, i) => inputs[i] ?? null),
};

export const structure: TrainingOps = {
  PassThrough: through,
  // Only says that its inputs are done.
  Group: {
    types: (t) => [t.constant(Tensor.of("bool", [], [1]))],
    lower: ({ b }) => [b.constant(Tensor.of("bool", [], [1]))],
  },
  // Where a host would take the outputs and give their cotangents back: a graph that holds its loss begins with 1.
  YieldOp: {
    types: [0],
    lower: ({ b }, node, inputs) => {
      const loss = given(node, inputs, 0);
      if (node.inputs.length !== 1 || loss.shape?.length !== 0)
        throw new UserError(
          `${node.label}: it waits for cotangents of outputs that are no single loss; make the artifacts with a loss in the graph`,
        );
      return [e.scalarLike(b, 1, loss)];
    },
  },
};
