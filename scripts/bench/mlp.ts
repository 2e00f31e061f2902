import { Rng } from "../../src/util/rng.js";

const width = 1024;
const depth = 3;

export interface Layer {
  rows: number;
  columns: number;
  weight: Float32Array;
  bias: Float32Array;
}

/** The perceptron that JavaScript libraries are compared on: three layers of 1024 x 1024, ReLU between them, 256 rows, MSE. */
export function makeMlp(): {
  layers: Layer[];
  batch: number;
  inputs: Float32Array;
  targets: Float32Array;
  learningRate: number;
} {
  const rng = new Rng(0, "benchmark perceptron");
  const normal = (n: number, scale: number): Float32Array => {
    const values = new Float32Array(n);
    rng.fillNormal(values);
    return values.map((v) => v * scale);
  };
  const layers = Array.from({ length: depth }, () => ({
    rows: width,
    columns: width,
    weight: normal(width * width, Math.sqrt(2 / width)),
    bias: new Float32Array(width),
  }));
  const batch = 256;
  return { layers, batch, inputs: normal(batch * width, 1), targets: normal(batch * width, 1), learningRate: 0.01 };
}
