import { expect } from "chai";
import type { Value } from "../../src/ir/graph.js";
import { tensorType } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import { rules } from "../../src/ops/index.js";
import type { OpRule } from "../../src/ops/rule.js";
import type { Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { drawInputs, uniform } from "./check_sample.js";

/** Operators that graphs with derivatives spell out: what they become computes the same. */
describe("operators written in terms of others", () => {
  for (const rule of (Object.values(rules) as OpRule[]).filter((r) => r.expands)) {
    it(rule.op, () => {
      for (const sample of rule.samples) {
        const b = newBuilder("expansion");
        const random = uniform(sample.name ?? "");
        const feeds = new Map<Value, Array64>();
        const add = (x: Array64, name: string): Value => {
          const v = b.input(name, tensorType(x.dtype, x.dims));
          feeds.set(v, x);
          return v;
        };
        const inputs = drawInputs(sample.inputs, "float64", random).map((x, i) => x && add(x, `x${i}`));
        const captured = (drawInputs(sample.captured ?? [], "float64", random) as Array64[]).map((x, i) =>
          add(x, `c${i}`),
        );
        const bodies = sample.bodies?.(b, captured, inputs as Value[]) ?? {};
        const outputs = Array.from({ length: sample.outputs ?? 1 }, () => null);
        const node = b.emit(
          rule.op,
          inputs,
          outputs.map(() => true),
          sample.attributes ?? {},
          bodies,
          { types: outputs },
        );
        const expanded = rule.decompose!(b, node);
        const known = evaluate(b.graph, feeds);
        node.outputs.forEach((o, i) => {
          const [got, expected] = [known.get(expanded[i]!)!, known.get(o!)!];
          expect(got.dims, sample.name).to.deep.equal(expected.dims);
          got.data.forEach((x, j) => expect(x, sample.name).to.be.closeTo(expected.data[j]!, 1e-12));
        });
      }
    });
  }
});
