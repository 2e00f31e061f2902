import { join } from "node:path";
import type { CheckpointTensor } from "../format/checkpoint.js";
import { writeCheckpoint } from "../format/checkpoint_write.js";
import { readManifest, weightsFile } from "../format/manifest.js";
import { SafetensorsFile } from "../format/safetensors.js";
import { check } from "../util/assert.js";
import { sameShape } from "../util/shape.js";

/**
 * Writes `file`: the weights of a package as a checkpoint of ONNX Runtime training, so that the artifacts that the package
 * was made of go on from them. Running statistics are among its frozen parameters. `weights` as in `exportModel`.
 *
 * Throws a UserError where the weights are of another model.
 */
export function exportCheckpoint(folder: string, file: string, options: { weights?: string } = {}): void {
  const manifest = readManifest(folder);
  const from = options.weights ?? join(folder, weightsFile);
  SafetensorsFile.using(from, (weights) => {
    const tensor = (name: string, shape: readonly (number | string)[]): CheckpointTensor => {
      const entry = weights.entry(name);
      check(
        sameShape(entry.shape, shape),
        `${from}: "${name}" has shape [${entry.shape.join(",")}], [${shape.join(",")}] expected; these are the weights of another model`,
      );
      const { dtype, offset, byteLength: length } = entry;
      return { name, dtype, shape: entry.shape, data: { external: { file: from, offset, length } } };
    };
    const parameters = Object.entries(manifest.parameters);
    const buffers = Object.entries(manifest.state).filter(([, { init }]) => "tensor" in init);
    const all = (trainable: boolean): CheckpointTensor[] =>
      parameters.filter(([, p]) => p.trainable === trainable).map(([name, p]) => tensor(name, p.shape));
    writeCheckpoint(file, {
      trainable: all(true),
      frozen: [...all(false), ...buffers.map(([name, { shape }]) => tensor(name, shape))],
      nominal: false,
      optimizer: [],
      properties: new Map(),
    });
  });
}
