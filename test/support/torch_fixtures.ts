import { readFileSync } from "node:fs";
import { join } from "node:path";
import { SafetensorsFile } from "../../src/format/safetensors.js";
import { root } from "./root.js";
import type { Feed } from "./run_graph.js";

/** What scripts/make_fixtures.py wrote: see test/fixtures/README.md. */
export interface Index {
  exports: ExportFixture[];
  trajectories: TrajectoryFixture[];
}
export interface ExportFixture {
  file: string;
  model: string;
  mode: "eval" | "train";
  exporter: string;
  opset: number;
  folded: Record<string, { parameter: string; transposed: boolean }> | null;
  reference: string;
  /** Batch norms that the exporter put into evaluation mode in an export for training. */
  restored?: number;
  dropouts: { node: string; output: string; mask: string; ratio: number }[];
}
export interface TrajectoryFixture {
  file: string;
  export: string;
  data: string;
  ascent: string;
  base: string;
  nesterov: boolean;
  hyper: Record<string, number>;
  steps: number;
  kept: number[];
}

export const folder = join(root, "test", "fixtures", "torch");
export const index = JSON.parse(readFileSync(join(folder, "index.json"), "utf8")) as Index;

/** Every tensor of a fixture, by name. */
export function readFixture(file: string, from = folder): Map<string, Feed> {
  const source = new SafetensorsFile(join(from, file));
  try {
    return new Map(
      [...source.entries].map(([name, { dtype, shape }]) => {
        const buffer = source.bytes(name).slice().buffer;
        const data =
          dtype === "float64"
            ? new Float64Array(buffer)
            : dtype === "float32"
              ? new Float32Array(buffer)
              : dtype === "int64"
                ? new BigInt64Array(buffer)
                : new Uint8Array(buffer);
        return [name, { dtype: dtype === "uint8" ? "bool" : dtype, dims: shape, data }];
      }),
    );
  } finally {
    source.close();
  }
}

/** Entry `t` of a tensor's leading axis. */
export function row({ dtype, dims, data }: Feed, t: number): Feed {
  const size = dims.slice(1).reduce((n, d) => n * d, 1);
  return { dtype, dims: dims.slice(1), data: data.slice(t * size, (t + 1) * size) };
}
