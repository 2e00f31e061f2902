/** A process of its own: takes two steps of the package FOLDER on a batch of ROWS, and sends what they were to take and what they took. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { readManifest } from "../../src/format/manifest.js";
import { Engine } from "../../src/runtime/engine.js";
import { stepMemory } from "../../src/runtime/step_memory.js";
import { must } from "../../src/util/assert.js";

export interface StepMemoryAnswer {
  /** Bytes that the steps take beyond the resident set of the process with its package open. */
  estimated: number;
  measured: number;
}

/** A field of /proc/self/status, in bytes. */
function status(field: string): number {
  const line = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(readFileSync("/proc/self/status", "utf8"));
  return 1024 * Number(must(line?.[1], field));
}

if (process.send) {
  const [folder = "", rows = ""] = process.argv.slice(2);
  const manifest = readManifest(folder);
  const lowered = join(folder, "lowered");
  const batch = Number(rows);
  const { buffers, sessions, run } = await stepMemory(folder, manifest, new Map([["batch", batch]]), {
    ...{ fused: true, micro: 1, lowered },
  });
  const width = Number(must(manifest.inputs["x"], "x").shape[1]);
  const x = { dtype: "float32", dims: [batch, width], data: new Float32Array(batch * width).fill(0.1) } as const;
  const labels = { dtype: "int64", dims: [batch], data: new BigInt64Array(batch) } as const;
  const engine = await Engine.open(folder, { threads: 1, lowered });
  const open = status("VmRSS");
  for (let step = 0; step < 2; step++) await engine.step([{ feeds: { x, labels } }]);
  const answer: StepMemoryAnswer = { estimated: buffers + sessions + run, measured: status("VmHWM") - open };
  process.send(answer, () => process.exit(0));
}
