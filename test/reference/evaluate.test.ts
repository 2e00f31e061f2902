import { expect } from "chai";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import type { Graph, Model, Value } from "../../src/ir/graph.js";
import { parseModel } from "../../src/serde/index.js";
import { backendData, casesOf } from "../support/backend.js";
import { parseTensor } from "../support/tensors.js";
import { ofTensor, type Array64 } from "./array.js";
import { holds, operators, outputsOf } from "./evaluate.js";

/** Cases left out, and why. */
const excluded: Record<string, string> = {
  test_dynamicquantizelinear: "x/s is a half, but for float32's rounding of s",
  test_dynamicquantizelinear_expanded: "x/s is a half, but for float32's rounding of s",
  test_scan_sum: "the Scan of opset 8 has another signature",
  test_training_dropout: "a mask drawn by another generator",
  test_training_dropout_default: "a mask drawn by another generator",
  test_training_dropout_default_mask: "a mask drawn by another generator",
  test_training_dropout_mask: "a mask drawn by another generator",
};

/** Operators that ONNX has no cases for: the runtime's own numbers check them (test/ops/runtime.test.ts). */
const ofTheRuntime = ["SimplifiedLayerNormalization", "SoftmaxCrossEntropyLossInternal", "GlobalLpPool", "MaxRoiPool"];

/** Cases whose numbers are written with four decimals. */
const rounded = new Set([
  "test_averagepool_2d_ceil_last_window_starts_on_pad",
  "test_gridsample_bicubic",
  "test_roialign_aligned_false",
  "test_roialign_aligned_true",
]);

const nodesOf = (g: Graph): string[] =>
  g.nodes.flatMap((n) => [`${n.domain}:${n.op}`, ...Object.values(n.bodies).flatMap(nodesOf)]);

const isNumeric = (v: Value): boolean => v.type?.kind === "tensor" && holds(v.type.dtype);

/** Whether the case lies within what the evaluator covers. */
function covers(model: Model, name: string): boolean {
  if (name in excluded || model.functions.length > 0) return false;
  const { graph } = model;
  const ops = nodesOf(graph);
  return (
    ops.every((op) => op.startsWith(":") && Object.hasOwn(operators, op.slice(1))) &&
    [...graph.inputs, ...graph.outputs].every(isNumeric)
  );
}

const files = (folder: string, kind: string): Array64[] => {
  const found: Array64[] = [];
  for (let i = 0; ; i++) {
    const file = join(folder, `${kind}_${i}.pb`);
    if (!existsSync(file)) return found;
    found.push(ofTensor(parseTensor(readFileSync(file))));
  }
};

/** Relative and absolute tolerance for what float32 (or less) computed. */
const tolerances: Partial<Record<string, number>> = { float16: 2e-3, bfloat16: 2e-2, float32: 2e-5, float64: 1e-7 };

function compare(name: string, got: Array64, expected: Array64): void {
  expect(got.dims, `${name}: shape`).to.deep.equal(expected.dims);
  expect(got.dtype, `${name}: dtype`).to.equal(expected.dtype);
  const tolerance = rounded.has(name.split(" ")[0]!) ? 1e-4 : (tolerances[expected.dtype] ?? 0);
  got.data.forEach((x, i) => {
    const y = expected.data[i]!;
    if (Object.is(x, y) || x === y || (Number.isNaN(x) && Number.isNaN(y))) return;
    const error = Math.abs(x - y) / (1 + Math.abs(y));
    if (!(error <= tolerance)) expect.fail(`${name}: element ${i} is ${x}; expected ${y}`);
  });
}

describe("the float64 evaluator", () => {
  it("agrees with ONNX's own node cases", function () {
    const data = backendData();
    if (!data) return this.skip();
    const seen = new Set<string>();
    const failures: string[] = [];
    let count = 0;
    for (const folder of casesOf(data, "node")) {
      const name = basename(folder);
      const model = parseModel(readFileSync(join(folder, "model.onnx")), { folder });
      if (!covers(model, name)) continue;
      count++;
      for (const op of nodesOf(model.graph)) seen.add(op.slice(1));
      try {
        const inputs = files(join(folder, "test_data_set_0"), "input");
        const feeds = Object.fromEntries(model.graph.inputs.map((v, i) => [v.name, inputs[i]!]));
        const outputs = outputsOf(model.graph, feeds, model.opsets.get("") ?? 1);
        const expected = files(join(folder, "test_data_set_0"), "output");
        model.graph.outputs.forEach((o, i) => compare(`${name} ${o.name}`, outputs[o.name]!, expected[i]!));
      } catch (error) {
        failures.push(`${name}: ${(error as Error).message}`);
      }
    }
    expect(failures.join("\n")).to.equal("");
    expect(count).to.be.at.least(1270);
    const unseen = Object.keys(operators).filter((op) => !seen.has(op) && !op.includes("::"));
    expect(unseen, "operators without a case").to.deep.equal(ofTheRuntime);
  });
});
