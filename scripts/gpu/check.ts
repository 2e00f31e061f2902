/**
 * Holds packages on a GPU against the CPU, through onnxruntime-node: gradients, Hessian-vector products and training steps of
 * models/roberta-mini under AdamW, SAM and CurvSAM; then the same in mixed precision, against float32 on the CPU.
 *
 *     node build/scripts/gpu/check.js --provider cuda|dml|webgpu [--steps 20] [--work build/gpu] [--prepare]
 *
 * The packages are made in the work folder where they are not there yet; `--prepare` does no more. Exits with 1 where something differs by too much.
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { formatNumber, markdownTable } from "../../src/report/table.js";
import { resolveOptions } from "../../src/runtime/options.js";
import { requireProvider } from "../../src/runtime/session.js";
import { check } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { runScript } from "../script.js";
import { mixedName, optimizers, readBatches, writeModels } from "./models.js";
import { compareTraining } from "./training.js";
import { nodesOn } from "./placement.js";

/** Largest relative errors. Losses of many steps grow apart further than the numbers of one. */
const largest = {
  float32: { gradient: 1e-3, hvp: 1e-3, loss: 1e-2 },
  // Some 20 roundings of float16.
  mixed: { gradient: 1e-2, hvp: 1e-2, loss: 2e-2 },
};

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      provider: { type: "string", default: "cuda" },
      steps: { type: "string", default: "20" },
      work: { type: "string", default: join(root, "build", "gpu") },
      prepare: { type: "boolean", default: false },
    },
  });
  const steps = Number(values.steps);
  check(Number.isInteger(steps) && steps > 0, `--steps: "${values.steps}"; a whole number from 1 on expected`);
  if (!values.prepare) await requireProvider(resolveOptions({ provider: values.provider }));
  const last = join(values.work, mixedName("curvsam"), "manifest.json");
  if (!existsSync(join(values.work, "batches.json")) || !existsSync(last)) await writeModels(values.work);
  if (values.prepare) return true;
  const batches = readBatches(values.work);
  let agrees = true;
  for (const precision of ["float32", "mixed"] as const) {
    const limits = largest[precision];
    const rows = [];
    let isNear = true;
    for (const name of Object.keys(optimizers)) {
      const tried = join(values.work, precision === "mixed" ? mixedName(name) : name);
      const result = await compareTraining(join(values.work, name), values.provider, steps, batches, tried);
      const { gradientError, hvpError, lossError, placement } = result;
      isNear &&= (gradientError ?? 0) <= limits.gradient && (hvpError ?? 0) <= limits.hvp && lossError <= limits.loss;
      rows.push([name, gradientError, hvpError, lossError, nodesOn(placement, "gpu"), nodesOn(placement, "cpu")]);
    }
    const header = ["optimizer", "gradient", "HVP", `losses of ${steps} steps`, "nodes on the GPU", "on the CPU"];
    const title = `${values.provider} in ${precision === "mixed" ? "mixed precision" : precision} against the CPU in float32, relative differences`;
    process.stdout.write(`${title}\n\n${markdownTable(header, rows)}\n`);
    const texts = Object.entries(limits).map(([what, limit]) => `${what} ${formatNumber(limit)}`);
    if (!isNear)
      process.stderr.write(
        `error: ${values.provider}, ${precision}: it differs from the CPU by more than ${texts.join(", ")}\n`,
      );
    agrees &&= isNear;
  }
  return agrees;
}

await runScript(main);
