import { join } from "node:path";
import type { CheckpointTensor } from "../format/checkpoint.js";
import { writeCheckpoint } from "../format/checkpoint_write.js";
import { checkTensors, otherWeights } from "../format/compare.js";
import { readManifest, weightsFile } from "../format/manifest.js";
import { SafetensorsFile } from "../format/safetensors.js";

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
    const parameters = Object.entries(manifest.parameters);
    const buffers = Object.entries(manifest.state).filter(([, { init }]) => "tensor" in init);
    checkTensors(weights, [...parameters, ...buffers], otherWeights);
    const tensor = (name: string): CheckpointTensor => {
      const { dtype, shape, offset, byteLength: length } = weights.entry(name);
      return { name, dtype, shape, data: { external: { file: from, offset, length } } };
    };
    const all = (trainable: boolean): CheckpointTensor[] =>
      parameters.filter(([, p]) => p.trainable === trainable).map(([name]) => tensor(name));
    writeCheckpoint(file, {
      trainable: all(true),
      frozen: [...all(false), ...buffers.map(([name]) => tensor(name))],
      nominal: false,
      optimizer: [],
      properties: new Map(),
    });
  });
}
