import { describeInput, type GraphInput } from "../format/ports.js";
import type { Manifest } from "../format/manifest.js";
import { check } from "../util/assert.js";
import { sizeOf } from "../util/shape.js";
import { didYouMean } from "../util/suggest.js";
import { holds, type HostTensor } from "./tensors.js";

/** What one micro-batch feeds a graph, by the names of the graph's inputs. */
export interface Feeds {
  feeds: Readonly<Record<string, HostTensor>>;
}

/** Sizes of the dynamic dimensions, by name. */
export type Sizes = ReadonlyMap<string, number>;

/**
 * Checks a batch against the manifest: names, dtypes, fixed dimensions, equal sizes where a dynamic dimension returns, and
 * class ids in range. Returns the sizes of the dynamic dimensions.
 */
export function checkBatch(manifest: Manifest, batch: Feeds): Sizes {
  const sizes = new Map<string, number>();
  const firstWith = new Map<string, string>();
  for (const [name, tensor] of Object.entries(batch.feeds)) {
    const port = describeInput(manifest, name);
    const names = [...Object.keys(manifest.inputs), ...Object.keys(manifest.targets)];
    check(
      port && (port.role === "input" || port.role === "target"),
      () => `the batch has "${name}", the model's inputs are ${names.join(", ")}${didYouMean(name, names)}`,
    );
    checkTensor(name, tensor, port);
    port.shape.forEach((dim, i) => {
      const size = tensor.dims[i] ?? 0;
      if (typeof dim === "number") {
        check(
          size === dim,
          `the batch's "${name}" is [${tensor.dims.join(",")}], the model takes [${port.shape.join(",")}]: ` +
            `dimension ${i} is fixed at ${dim}; make batches of that size or export the model with a dynamic axis`,
        );
        return;
      }
      const before = sizes.get(dim);
      check(
        before === undefined || before === size,
        `the batch's "${name}" has ${size} in dimension ${i} ("${dim}"), "${firstWith.get(dim) ?? ""}" has ${before ?? 0}`,
      );
      sizes.set(dim, size);
      if (before === undefined) firstWith.set(dim, name);
    });
  }
  checkClasses(manifest, batch);
  return sizes;
}

function checkTensor(name: string, tensor: HostTensor, port: GraphInput): void {
  check(tensor.dtype === port.dtype, `the batch's "${name}" is ${tensor.dtype}, the model takes ${port.dtype}`);
  check(
    holds(tensor.data, tensor.dtype),
    `the batch's "${name}" is ${tensor.dtype} in a ${tensor.data.constructor.name}`,
  );
  check(
    tensor.data.length === sizeOf(tensor.dims),
    `the batch's "${name}" has ${tensor.data.length} elements for shape [${tensor.dims.join(",")}]`,
  );
  check(
    tensor.dims.length === port.shape.length,
    `the batch's "${name}" is [${tensor.dims.join(",")}], the model takes [${port.shape.join(",")}]`,
  );
}

/** An index outside of the classes would read past the logits: cross-entropy's labels are checked before each run. */
function checkClasses(manifest: Manifest, batch: Feeds): void {
  const { kind, logits, ignoreIndex } = manifest.loss;
  const classes = logits === undefined ? undefined : manifest.outputs[logits]?.shape.at(-1);
  if (kind !== "cross-entropy" || typeof classes !== "number") return;
  const ignored = typeof ignoreIndex === "number" ? BigInt(ignoreIndex) : null;
  const count = BigInt(classes);
  for (const name of Object.keys(manifest.targets)) {
    const data = batch.feeds[name]?.data;
    if (!(data instanceof BigInt64Array)) continue;
    const wrong = data.findIndex((id) => (id < 0n || id >= count) && id !== ignored);
    check(
      wrong < 0,
      () => `the batch's "${name}" has class ${data[wrong]}; the model has ${classes}, 0 to ${classes - 1}`,
    );
  }
}
