/**
 * Holds packages on a GPU against the CPU, through onnxruntime-node: gradients, Hessian-vector products and training steps of
 * models/roberta-mini under AdamW, SAM and CurvSAM.
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
import { check, UserError } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { optimizers, readBatches, writeModels } from "./models.js";
import { compareTraining } from "./training.js";
import { nodesOn } from "./placement.js";

/** Largest relative errors. Losses of many steps grow apart further than the numbers of one. */
const largest = { gradient: 1e-3, hvp: 1e-3, loss: 1e-2 };

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
  if (!existsSync(join(values.work, "batches.json"))) await writeModels(values.work);
  if (values.prepare) return true;
  const batches = readBatches(values.work);
  const rows = [];
  let agrees = true;
  for (const name of Object.keys(optimizers)) {
    const result = await compareTraining(join(values.work, name), values.provider, steps, batches);
    const { gradientError, hvpError, lossError, placement } = result;
    agrees &&= (gradientError ?? 0) <= largest.gradient && (hvpError ?? 0) <= largest.hvp && lossError <= largest.loss;
    rows.push([name, gradientError, hvpError, lossError, nodesOn(placement, "gpu"), nodesOn(placement, "cpu")]);
  }
  const header = ["optimizer", "gradient", "HVP", `losses of ${steps} steps`, "nodes on the GPU", "on the CPU"];
  process.stdout.write(`${values.provider} against the CPU, relative differences\n\n${markdownTable(header, rows)}\n`);
  const limits = Object.entries(largest).map(([what, limit]) => `${what} ${formatNumber(limit)}`);
  if (!agrees)
    process.stderr.write(`error: ${values.provider} differs from the CPU by more than ${limits.join(", ")}\n`);
  return agrees;
}

try {
  process.exitCode = (await main()) ? 0 : 1;
} catch (error) {
  if (!(error instanceof UserError)) throw error;
  process.stderr.write(`error: ${error.message}\n`);
  process.exitCode = 1;
}
