/**
 * Checks the WebGPU provider against the CPU's, and writes docs/WEBGPU.md: the derivatives of every sample of every rule
 * (relative error at most 1e-4), gradients, Hessian-vector products and training steps of a small encoder. All that
 * WebGPU does is validated (`validationMode: full`).
 *
 *     npx tsc && node build/scripts/gpu/webgpu_check.js [--only OP,OP] [--steps 50] [--work build/webgpu]
 *
 * It needs a Vulkan driver; Mesa's software Vulkan will do (CONTRIBUTING.md). With `--only` nothing is written. Exits with 1
 * where something does not agree that is not on record as a limit of the runtime.
 */
import { execFile } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs, promisify } from "node:util";
import { env } from "onnxruntime-node";
import { rules } from "../../src/ops/index.js";
import { resolveOptions } from "../../src/runtime/options.js";
import { requireProvider } from "../../src/runtime/session.js";
import { check } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { runScript } from "../script.js";
import { optimizers, readBatches, writeModels, type OptimizerName } from "./models.js";
import type { SampleResult } from "./operator.js";
import { compareTraining, type TrainingResult } from "./training.js";
import { limitOf, passes, report, type OperatorResult } from "./webgpu_report.js";

const run = promisify(execFile);
const say = (line: string) => process.stdout.write(`${line}\n`);

interface ProcessError {
  stdout?: string;
  signal?: string | null;
  code?: number | string | null;
}

/** The samples of one rule, in a process of its own. One that dies has lost the sample after the last line. */
async function checkOperator(op: string): Promise<OperatorResult> {
  const script = join(root, "build", "scripts", "gpu", "operator.js");
  const parse = (text: string) =>
    text
      .split("\n")
      .filter((line) => line.startsWith("{"))
      .map((line) => JSON.parse(line) as SampleResult);
  try {
    const { stdout } = await run(process.execPath, [script, op], { maxBuffer: 2 ** 26, timeout: 1_800_000 });
    return { op, samples: parse(stdout) };
  } catch (error) {
    const { stdout = "", signal, code } = error as ProcessError;
    const failure = `the process ended: ${signal ?? `exit code ${code ?? "unknown"}`}`;
    return { op, samples: [...parse(stdout), { sample: "the next", error: null, placement: {}, failure }] };
  }
}

async function main(): Promise<boolean> {
  const { values } = parseArgs({
    options: {
      only: { type: "string" },
      steps: { type: "string", default: "50" },
      work: { type: "string", default: join(root, "build", "webgpu") },
    },
  });
  const steps = Number(values.steps);
  check(Number.isInteger(steps) && steps > 0, `--steps: "${values.steps}"; a whole number from 1 on expected`);
  const chosen = values.only?.split(",") ?? Object.keys(rules);
  for (const op of chosen) check(Object.hasOwn(rules, op), `--only: no rule of an operator "${op}"`);
  await requireProvider(resolveOptions({ provider: "webgpu" }));

  const operators: OperatorResult[] = [];
  for (const op of chosen) {
    const result = await checkOperator(op);
    operators.push(result);
    for (const s of result.samples) {
      if (!passes(s))
        say(
          `${op} ${s.sample}: ${s.failure || `error ${s.error?.toExponential(1) ?? ""}`} ${limitOf(op, s) ? "(known)" : ""}`,
        );
    }
  }
  const unexpected = operators.flatMap(({ op, samples }) => samples.filter((s) => !passes(s) && !limitOf(op, s)));
  say(
    `${operators.length} operators, ${operators.flatMap((o) => o.samples).length} samples, ${unexpected.length} unexpected`,
  );
  if (values.only !== undefined) return unexpected.length === 0;

  await writeModels(values.work);
  const batches = readBatches(values.work);
  const trained: [OptimizerName, TrainingResult][] = [];
  for (const name of Object.keys(optimizers) as OptimizerName[]) {
    const result = await compareTraining(join(values.work, name), "webgpu", steps, batches);
    say(`${name}: ${steps} steps, losses differ by ${result.lossError.toExponential(1)} at most`);
    trained.push([name, result]);
  }
  writeFileSync(
    join(root, "docs", "WEBGPU.md"),
    report(operators, trained, steps, env.versions.node ?? env.versions.common),
  );
  return unexpected.length === 0 && trained.every(([, { lossError }]) => lossError <= 1e-3);
}

await runScript(main);
