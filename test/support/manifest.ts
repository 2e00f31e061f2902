import type { ManifestInput } from "../../src/format/manifest.js";

/** A small valid manifest, to change in a test. */
export const sampleManifest = (): ManifestInput => ({
  format: "curvsam-training-package",
  version: 1,
  tool: "curvsam 0.0.0",
  source: { file: "model.onnx", sha256: "00", irVersion: 8, opset: 17 },
  opset: 21,
  irVersion: 10,
  loss: { kind: "cross-entropy", logits: "logits" },
  optimizer: { ascent: "curvsam", combine: "plain", base: "sgd", estimator: "hvp", frequency: 3 },
  inputs: { x: { dtype: "float32", shape: ["batch", 4] } },
  targets: { labels: { dtype: "int64", shape: ["batch"] } },
  outputs: { logits: { dtype: "float32", shape: ["batch", 2] } },
  parameters: {
    w: { initializer: "w", transposed: false, dtype: "float32", shape: [4, 2], group: "default", trainable: true },
  },
  state: { "curvature/w": { dtype: "float32", shape: [4, 2], init: { fill: 1 } } },
  hyper: { "hyper/lr": { default: 0.1, description: "learning rate" } },
  random: { "z/w": { dtype: "float32", shape: [4, 2], distribution: "normal", per: "refresh" } },
  schedule: [
    { graph: "curvature_step", every: 3, offset: 0 },
    { graph: "step", every: 1, offset: 0 },
  ],
  graphs: { step: "step.onnx", curvature_step: "curvature_step.onnx" },
});
