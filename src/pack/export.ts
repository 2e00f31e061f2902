import { join } from "node:path";
import { checkTensors, otherWeights } from "../format/compare.js";
import { readManifest, weightsFile } from "../format/manifest.js";
import { SafetensorsFile } from "../format/safetensors.js";
import { Tensor } from "../ir/tensor.js";
import { loadModel, saveModel } from "../serde/index.js";
import { must } from "../util/assert.js";
import { version } from "../util/version.js";

/**
 * Writes `file`: the package's model in evaluation mode with its weights inside, under the source model's own names of
 * inputs, outputs and initializers. `weights` is a safetensors file with every parameter, by default the package's own.
 * The file appears when it is whole; weights above 1.5 GB go to a file beside it.
 *
 * Throws a UserError where the weights are of another model.
 */
export function exportModel(folder: string, file: string, options: { weights?: string } = {}): void {
  const manifest = readManifest(folder);
  const model = loadModel(join(folder, manifest.graphs["forward"] ?? "forward.onnx"));
  const from = options.weights ?? join(folder, weightsFile);
  const weights = new SafetensorsFile(from);
  try {
    const { graph } = model;
    const buffers = Object.entries(manifest.state).filter(([, { init }]) => "tensor" in init);
    const used = [...Object.entries(manifest.parameters), ...buffers].filter(([name]) => graph.input(name));
    checkTensors(weights, used, otherWeights);
    for (const [name, spec] of used) {
      const value = must(graph.input(name), name);
      const entry = weights.entry(name);
      value.name = "initializer" in spec ? spec.initializer : name;
      graph.inputs.splice(graph.inputs.indexOf(value), 1);
      const { offset, byteLength } = entry;
      graph.initializers.set(
        value,
        new Tensor(entry.dtype, entry.shape, { external: { file: from, offset, length: byteLength } }),
      );
    }
    for (const [name, { source }] of Object.entries(manifest.inputs)) {
      const input = graph.input(name);
      if (source !== undefined && input) input.name = source;
    }
    const renamed = graph.output("labels_output");
    if (renamed) renamed.name = "labels";
    model.producer = { name: "curvsam", version };
    saveModel(model, file);
  } finally {
    weights.close();
  }
}
