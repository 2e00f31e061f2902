import { existsSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect } from "chai";
import { evaluators } from "../../src/passes/evaluate.js";
import { fromTensor, isFoldable, type Small } from "../../src/passes/small.js";
import { parseModel } from "../../src/serde/index.js";
import { backendData, casesOf } from "../support/backend.js";
import { parseTensor } from "../support/tensors.js";

/** The tensors of a case; null where one is of a dtype that is not folded. */
function tensors(folder: string, kind: string): Small[] | null {
  const found: Small[] = [];
  for (let i = 0; ; i++) {
    const file = join(folder, "test_data_set_0", `${kind}_${i}.pb`);
    if (!existsSync(file)) return found;
    const tensor = parseTensor(readFileSync(file));
    if (!isFoldable(tensor.dtype)) return null;
    found.push(fromTensor(tensor));
  }
}

describe("constant folding", () => {
  it("agrees with ONNX's own cases, bit by bit", function () {
    const data = backendData();
    if (!data) {
      console.log("      skipped: ../shared/data/onnx is absent");
      return this.skip();
    }
    const done = new Map<string, number>();
    for (const folder of casesOf(data, "node")) {
      const model = parseModel(readFileSync(join(folder, "model.onnx")), { folder });
      const [node, ...more] = model.graph.nodes;
      if (!node || more.length > 0 || !Object.hasOwn(evaluators, node.op) || node.outputs.length > 1) continue;
      const types = [...model.graph.inputs, ...model.graph.outputs].map((v) => v.type);
      if (types.some((t) => t?.kind !== "tensor" || !isFoldable(t.dtype))) continue;
      const inputs = tensors(folder, "input");
      const outputs = tensors(folder, "output");
      if (!inputs || !outputs) continue;
      const fed = new Map(model.graph.inputs.map((v, i) => [v, inputs[i]!]));
      const result = evaluators[node.op]!(
        node,
        node.inputs.map((v) => v && (fed.get(v) ?? null)),
      );
      if (!result) continue;
      expect(result, basename(folder)).to.deep.equal(outputs[0]);
      done.set(node.op, (done.get(node.op) ?? 0) + 1);
    }
    const missing = Object.keys(evaluators).filter((op) => !done.has(op));
    // The cases of these two are floating-point; passes.test.ts has them.
    expect(missing).to.deep.equal(["ReduceProd", "ReduceSum"]);
    expect([...done.values()].reduce((a, b) => a + b, 0)).to.be.greaterThan(150);
  });
});
