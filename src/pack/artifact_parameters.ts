import type { Checkpoint, CheckpointTensor } from "../format/checkpoint.js";
import type { TrainingPorts } from "../frontend/training_graph.js";
import { tensorType, type Graph, type Value } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { check } from "../util/assert.js";
import { sameShape } from "../util/shape.js";

const typeText = (dtype: string, shape: readonly (number | string)[]): string => `${dtype}[${shape.join(",")}]`;

/** A parameter's elements, left where they lie. */
const tensorOf = (t: CheckpointTensor): Tensor =>
  new Tensor(t.dtype, t.shape, "bytes" in t.data ? { bytes: t.data.bytes } : { external: t.data.external });

/**
 * Makes the parameters of the checkpoint initializers of the evaluation graph; gives these by name. Throws a UserError
 * where checkpoint and models do not belong together.
 */
export function attachParameters(of: {
  file: string;
  evalFile: string;
  checkpointFile: string;
  checkpoint: Checkpoint;
  ports: TrainingPorts;
  evaluation: Graph;
}): Map<string, Value> {
  const { file, evalFile, checkpointFile, checkpoint, ports, evaluation } = of;
  const other = "this is the checkpoint of another model";
  check(
    !checkpoint.nominal,
    `${checkpointFile}: a nominal checkpoint holds names and no weights; name the full checkpoint of the artifacts`,
  );
  const tensors = new Map([...checkpoint.trainable, ...checkpoint.frozen].map((t) => [t.name, t]));
  for (const name of ports.gradients.keys()) {
    check(
      tensors.has(name),
      `${checkpointFile}: it holds no parameter "${name}", whose gradient ${file} computes; ${other}`,
    );
  }
  const inputs = new Map(ports.inputs.map((v) => [v.name, v]));
  const parameters = new Map<string, Value>();
  for (const [name, t] of tensors) {
    const input = inputs.get(name);
    check(input, `${checkpointFile}: it holds "${name}", which is no input of ${file}; ${other}`);
    check(
      input.dtype === t.dtype && sameShape(input.shape, t.shape),
      () =>
        `${checkpointFile}: "${name}" is ${typeText(t.dtype, t.shape)}, ${typeText(input.dtype, input.dims)} in ${file}; ${other}`,
    );
    check(
      t.dtype === "float32" || !ports.gradients.has(name),
      `${checkpointFile}: "${name}" is ${t.dtype}; training needs float32 models`,
    );
    const value = evaluation.input(name);
    check(
      value,
      `${evalFile}: it has no input "${name}", a parameter of ${checkpointFile}; they are of different models`,
    );
    evaluation.inputs.splice(evaluation.inputs.indexOf(value), 1);
    value.type = tensorType(t.dtype, t.shape);
    evaluation.initializers.set(value, tensorOf(t));
    parameters.set(name, value);
  }
  return parameters;
}
