/**
 * Runs the derivatives of the samples of one rule on the CPU and on WebGPU: a process of its own, because a fault of the
 * provider can end it.
 *
 *     node build/scripts/gpu/operator.js OP
 *
 * Writes a line of JSON, a SampleResult, for each sample.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newModel } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import { rules } from "../../src/ops/index.js";
import type { OpName } from "../../src/ops/names.js";
import type { OpRule, Sample } from "../../src/ops/rule.js";
import { tidy } from "../../src/pack/tidy.js";
import { resolveOptions } from "../../src/runtime/options.js";
import { openSession, reasonOf } from "../../src/runtime/session.js";
import { saveModel } from "../../src/serde/index.js";
import { check } from "../../src/util/assert.js";
import { addCase } from "../../test/ops/check_case.js";
import type { Array64 } from "../../test/reference/array.js";
import { fromRuntime, toRuntime } from "../../test/support/ort.js";
import { observed, type Placement } from "./placement.js";

export interface SampleResult {
  sample: string;
  /** Largest error against the CPU, relative to the largest number of an output and no less than 1; null where it did not run. */
  error: number | null;
  placement: Placement;
  /** Why the provider did not run it. */
  failure: string;
}

type Outputs = ReadonlyMap<string, Array64>;

/** Writes the node of a sample, Jᵀc, Jv and H v, as packages hold them, to `file`. */
function writeSample(rule: OpRule, sample: Sample, file: string): ReadonlyMap<string, Array64> {
  const b = newBuilder(rule.op);
  const { node, pullback, push, hvp, feeds } = addCase(b, rule, sample, "float32", "static", "");
  [...node.outputs, ...pullback, ...push, ...hvp].forEach((value, i) => value && b.output(value, `out${i}`));
  saveModel(newModel(tidy(b.graph), Math.max(21, rule.since)), file);
  return new Map([...feeds].map(([v, x]) => [v.name, x]));
}

async function run(file: string, provider: string, feeds: ReadonlyMap<string, Array64>): Promise<Outputs> {
  const session = await openSession(file, resolveOptions({ provider }), new Map());
  try {
    const names = new Set(session.inputNames);
    const used = [...feeds].filter(([name]) => names.has(name)).map(([name, x]) => [name, toRuntime(x)] as const);
    const results = await session.run(Object.fromEntries(used));
    return new Map(Object.entries(results).map(([name, tensor]) => [name, fromRuntime(tensor)]));
  } finally {
    await session.release();
  }
}

function largestError(got: Outputs, expected: Outputs): number {
  const errors = [...expected].flatMap(([name, { data }]) => {
    const scale = data.reduce((m, x) => (Number.isFinite(x) ? Math.max(m, Math.abs(x)) : m), 1);
    return Array.from(data, (x, i) => {
      const y = got.get(name)?.data[i] ?? NaN;
      if (Object.is(x, y) || x === y) return 0;
      const error = Math.abs(x - y) / scale;
      return Number.isNaN(error) ? Infinity : error;
    });
  });
  return errors.reduce((m, x) => Math.max(m, x), 0);
}

async function compare(rule: OpRule, sample: Sample, file: string): Promise<SampleResult> {
  const name = sample.name ?? `#${rule.samples.indexOf(sample)}`;
  const feeds = writeSample(rule, sample, file);
  const expected = await run(file, "cpu", feeds);
  try {
    const { value, placement } = await observed(() => run(file, "webgpu", feeds));
    return { sample: name, error: largestError(value, expected), placement, failure: "" };
  } catch (error) {
    return { sample: name, error: null, placement: {}, failure: reasonOf(error) };
  }
}

const [op = ""] = process.argv.slice(2);
const rule = Object.hasOwn(rules, op) ? rules[op as OpName] : undefined;
check(rule, `no rule of an operator "${op}"`);
const folder = mkdtempSync(join(tmpdir(), "curvsam-operator-"));
try {
  for (const [i, sample] of rule.samples.entries()) {
    if (sample.noKernel) continue;
    process.stdout.write(`${JSON.stringify(await compare(rule, sample, join(folder, `${i}.onnx`)))}\n`);
  }
} finally {
  rmSync(folder, { recursive: true, force: true });
}
