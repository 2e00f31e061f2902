import { expect } from "chai";
import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { upgrade } from "../../src/convert/index.js";
import type { Graph, Model, Value } from "../../src/ir/graph.js";
import { parseModel, serializeModel } from "../../src/serde/index.js";
import { UserError } from "../../src/util/assert.js";
import { ofTensor, type Array64 } from "../reference/array.js";
import { evaluate, holds } from "../reference/evaluate.js";
import { backendData, casesOf } from "../support/backend.js";
import { openCase } from "../support/backend_case.js";
import { runOnce } from "../support/ort.js";
import { parseTensor } from "../support/tensors.js";

/** Of the cases that conversion leaves as they are but for the opset, one in so many is run. */
const sampling = 10;

/** Operators without a form at opset 21. */
const refused = ["BitCast"];

const isNumeric = (v: Value): boolean => v.type?.kind === "tensor" && holds(v.type.dtype);

function feedsOf(folder: string, graph: Graph): Record<string, Array64> | null {
  const feeds: Record<string, Array64> = {};
  for (const [i, v] of graph.inputs.entries()) {
    const file = join(folder, "test_data_set_0", `input_${i}.pb`);
    if (!existsSync(file)) return null;
    feeds[v.name] = ofTensor(parseTensor(readFileSync(file)));
  }
  return feeds;
}

const structure = (graph: Graph): string =>
  graph.nodes.map((n) => `${n.op}(${n.inputs.length};${Object.keys(n.attributes).join()})`).join();

/** What the runtime makes of the model; null where it does not execute it. */
async function results(model: Model, feeds: Record<string, Array64>): Promise<Record<string, Array64> | null> {
  try {
    return await runOnce(serializeModel(model), feeds);
  } catch {
    return null;
  }
}

function difference(after: Record<string, Array64>, before: Record<string, Array64>): string | null {
  for (const [name, y] of Object.entries(before)) {
    const got = after[name];
    if (!got) return `output "${name}" is gone`;
    if (got.dims.join() !== y.dims.join() || got.dtype !== y.dtype) return `output "${name}" has another type`;
    const i = y.data.findIndex((v, k) => !Object.is(v, got.data[k]) && !(Math.abs(v - got.data[k]!) < 1e-5));
    if (i >= 0) return `${name}[${i}] is ${got.data[i]!}; it was ${y.data[i]!}`;
  }
  return null;
}

describe("convert: ONNX's own node cases, brought to opset 21", () => {
  it("compute in the runtime what they did before", async function () {
    this.timeout(60_000);
    const data = backendData();
    if (!data) return this.skip();
    const failures: string[] = [];
    const without = new Set<string>();
    let [changed, count] = [0, 0];
    for (const [index, folder] of casesOf(data, "node").entries()) {
      const read = (): Model => parseModel(readFileSync(join(folder, "model.onnx")), { folder });
      const model = read();
      const opset = model.opsets.get("") ?? 1;
      const { graph } = model;
      if (opset === 21 || opset < 7 || model.functions.length > 0) continue;
      const form = structure(graph);
      try {
        upgrade(model);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
        for (const op of refused) if (error.message.startsWith(op)) without.add(op);
        continue;
      }
      const isChanged = structure(graph) !== form;
      if (!isChanged && index % sampling > 0) continue;
      if (![...graph.inputs, ...graph.outputs].every(isNumeric)) continue;
      const feeds = feedsOf(folder, graph);
      const before = feeds && (await results(read(), feeds));
      if (!feeds || !before) continue;
      count++;
      if (isChanged) changed++;
      const after = await results(model, feeds);
      const wrong = after ? difference(after, before) : "the runtime refuses it";
      if (wrong) failures.push(`${basename(folder)}, opset ${opset}: ${wrong}`);
    }
    expect(failures.join("\n")).to.equal("");
    expect([...without].sort()).to.deep.equal(refused);
    expect(changed, "cases rewritten").to.be.greaterThan(60);
    expect(count, "cases run").to.be.greaterThan(180);
  });
});

describe("convert: cases of opsets that the runtime does not execute", () => {
  it("compute at opset 21 what their files say", function () {
    const data = backendData();
    if (!data) return this.skip();
    const failures: string[] = [];
    const compared = new Set<string>();
    const scan = casesOf(data, "node").filter((folder) => basename(folder) === "test_scan_sum");
    for (const folder of [...scan, ...casesOf(data, "pytorch-operator"), ...casesOf(data, "pytorch-converted")]) {
      const before = parseModel(readFileSync(join(folder, "model.onnx")), { folder });
      const { model, feeds } = openCase(folder).load();
      if (![...feeds.keys(), ...before.graph.outputs].every(isNumeric)) continue;
      const known = evaluate(model.graph, feeds);
      model.graph.outputs.forEach((output, i) => {
        const expected = ofTensor(parseTensor(readFileSync(join(folder, "test_data_set_0", `output_${i}.pb`))));
        const got = known.get(output)!;
        const wrong = expected.data.findIndex((y, k) => {
          const error = Math.abs(y - got.data[k]!) / Math.max(1, Math.abs(y));
          return !Object.is(y, got.data[k]) && !(error < 1e-4) && Number.isFinite(y);
        });
        if (wrong >= 0 || got.dims.join() !== expected.dims.join())
          failures.push(`${basename(folder)}, element ${wrong}`);
      });
      for (const node of before.graph.nodes) compared.add(node.op);
    }
    expect(failures).to.deep.equal([]);
    expect([...compared]).to.include.members(["Add", "BatchNormalization", "Gemm", "PRelu", "Scan"]);
  });
});
