import { expect } from "chai";
import { gradient, hvpOfGradient, hvpReverse } from "../../src/autodiff/hvp.js";
import { unbroadcast } from "../../src/autodiff/accumulate.js";
import { vjp } from "../../src/autodiff/reverse.js";
import { instantiate } from "../../src/ir/copy.js";
import { tensorType, type Value } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import type { OpName } from "../../src/ops/names.js";
import { must } from "../../src/util/assert.js";
import type { Dim } from "../../src/util/shape.js";
import { array, type Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { rejects } from "../support/rejects.js";
import { twoLayers } from "../support/two_layers.js";

describe("reverse and forward mode", () => {
  it("agree on the HVP of a network, and with differences of its gradient", () => {
    const source = twoLayers("float64");
    const b = newBuilder("hvp");
    const x = b.input("x", tensorType("float64", ["batch", 3]));
    const params = [...source.initializers.keys()].map((v) => b.input(v.name, v.type ?? tensorType("float64", null)));
    const probe = [...source.initializers.keys()].map((v) =>
      b.input(`z/${v.name}`, v.type ?? tensorType("float64", null)),
    );
    const bindings = new Map<Value, Value>([[must(source.inputs[0], "x"), x]]);
    [...source.initializers.keys()].forEach((v, i) => bindings.set(v, must(params[i], v.name)));
    const y = must(instantiate(b, source, bindings).get(must(source.outputs[0], "y")), "y");
    const loss = e.sumAll(b, e.square(b, b.op("Sigmoid", [y])));
    const grads = gradient(b, loss, params);
    const forward = hvpOfGradient(b, grads, params, probe);
    const reverse = hvpReverse(b, grads, params, probe);
    const at = (r: number): ReadonlyMap<Value, Array64> => {
      const feeds = new Map<Value, Array64>([[x, array("float64", [2, 3], [0.3, -0.2, 0.9, -0.5, 0.1, 0.4])]]);
      [...source.initializers].forEach(([v, t], i) => {
        const z = t.numbers().map((_, j) => Math.cos(2 * j + i));
        feeds.set(must(probe[i], v.name), array("float64", t.dims, z));
        feeds.set(
          must(params[i], v.name),
          array(
            "float64",
            t.dims,
            t.numbers().map((w, j) => w + r * (z[j] ?? 0)),
          ),
        );
      });
      return evaluate(b.graph, feeds);
    };
    const h = 1e-5;
    const [here, ahead, behind] = [at(0), at(h), at(-h)];
    params.forEach((_, i) => {
      const of = (m: ReadonlyMap<Value, Array64>, v: Value | null | undefined): Float64Array =>
        must(m.get(must(v, "v")), "v").data;
      of(here, forward[i]).forEach((p, j) => {
        expect(p).to.be.closeTo(of(here, reverse[i])[j] ?? NaN, 1e-13);
        expect(p).to.be.closeTo(((of(ahead, grads[i])[j] ?? NaN) - (of(behind, grads[i])[j] ?? NaN)) / (2 * h), 1e-8);
      });
    });
  });

  it("list every node without a rule", async () => {
    const b = newBuilder("f");
    const x = b.input("x", tensorType("float32", [2]));
    const emit = (op: string, v: Value): Value =>
      b.op(op as OpName, [v], {}, { types: [v.type], name: `layer/${op}`, domain: "example" });
    const y = e.sumAll(b, emit("Second", e.tanh(b, emit("First", x))));
    await rejects(() => gradient(b, y, [x]), "2 node(s)", 'First "layer/First"', 'Second "layer/Second"');
  });

  it("hold what lies behind a source, and give null where nothing depends on one", () => {
    const b = newBuilder("f");
    const w = b.input("w", tensorType("float64", [2]));
    const other = b.input("other", tensorType("float64", [2]));
    const perturbed = e.scale(b, w, 3);
    const loss = e.sumAll(b, e.square(b, perturbed));
    const [g, none] = vjp(b, [loss], [e.scalarLike(b, 1, loss)], [perturbed, other]);
    expect(none).to.equal(null);
    const values = evaluate(b.graph, { w: array("float64", [2], [1, -2]), other: array("float64", [2], [0, 0]) });
    expect([...must(values.get(must(g, "g")), "g").data]).to.deep.equal([6, -12]);
  });
});

describe("unbroadcasting", () => {
  const cases: [string, number[], number[]][] = [
    ["leading axes", [4, 2, 3], [3]],
    ["ones inside", [4, 2, 3], [2, 1]],
    ["to a scalar", [2, 3], []],
    ["nothing", [2, 3], [2, 3]],
    ["leading ones", [4, 2], [1, 1]],
  ];
  for (const [name, from, to] of cases) {
    const data = Array.from({ length: from.reduce((n, d) => n * d, 1) }, (_, i) => i * i - 3 * i);
    const run = (cotangentShape: Dim[] | null, primalShape: Dim[] | null): Array64 => {
      const b = newBuilder("f");
      const cotangent = b.input("c", tensorType("float64", cotangentShape));
      const primal = b.input("p", tensorType("float64", primalShape));
      const result = unbroadcast(b, cotangent, primal);
      const size = to.reduce((n, d) => n * d, 1);
      const feeds = { c: array("float64", from, data), p: array("float64", to, new Float64Array(size)) };
      return must(evaluate(b.graph, feeds).get(result), "result");
    };
    const symbols = (tag: string, shape: number[]): Dim[] => shape.map((_, i) => `${tag}${i}`);
    it(`${name}: the same at run time as by shape`, () => {
      const known = run(from, to);
      expect(known.dims).to.deep.equal(to);
      const total = (x: ArrayLike<number>): number => Array.from(x).reduce((s, v) => s + v, 0);
      expect(total(known.data)).to.equal(total(data));
      for (const unknown of [run(symbols("c", from), symbols("p", to)), run(null, null), run(from, null)]) {
        expect(unknown.dims).to.deep.equal(known.dims);
        expect([...unknown.data]).to.deep.equal([...known.data]);
      }
    });
  }
});
