import { expect } from "chai";
import { join } from "node:path";
import {
  asMatrix,
  fromMatrix,
  inputFactor,
  inputRows,
  outputFactor,
  outputRows,
  tapped,
} from "../../src/curvature/kronecker.js";
import { findLayers, type Layer } from "../../src/curvature/layers.js";
import { gradient } from "../../src/autodiff/hvp.js";
import { forward, lossOf } from "../../src/frontend/objective.js";
import { findSource } from "../../src/frontend/source.js";
import { tensorType, type Value } from "../../src/ir/graph.js";
import { newBuilder } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import { loadSource } from "../../src/pack/load.js";
import { must } from "../../src/util/assert.js";
import { array, ofTensor, transpose, type Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import { matmul } from "../reference/products.js";
import { folder } from "../support/torch_fixtures.js";
import { threeLayers } from "../support/three_layers.js";

const source = findSource(threeLayers(), { loss: { kind: "mse" } });
const layers = findLayers(source.graph, source.parameters, "batch");
const summary = (found: readonly Layer[]): unknown => found.map((l) => [l.kind, l.weight, l.bias, l.inputs, l.outputs]);

describe("layers with Kronecker factors", () => {
  it("are MatMul, Gemm, Conv and Gather with a weight of their own, and their biases", () => {
    expect(summary(layers)).to.deep.equal([
      ["embedding", "table.weight", null, 7, 4],
      ["convolution", "conv.weight", "conv.bias", 12, 3],
      ["linear", "dense.weight", "dense.bias", 27, 4],
      ["linear", "head.weight", "head.bias", 4, 2],
    ]);
    expect(layers.map((l) => l.outputsFirst)).to.deep.equal([false, true, true, true]);
  });

  it("leave out what is frozen, and what does not work example by example", () => {
    const frozen = source.parameters.map((p) => ({ ...p, trainable: !/^conv|head.bias/.test(p.name) }));
    const left = findLayers(source.graph, frozen, "batch");
    expect(left.map((l) => [l.weight, l.bias])).to.deep.equal([
      ["table.weight", null],
      ["dense.weight", "dense.bias"],
      ["head.weight", null],
    ]);
    expect(findLayers(source.graph, source.parameters, "sequence")).to.deep.equal([]);
  });

  it("are the same in every export of a model", async () => {
    for (const file of ["torchscript14", "torchscript17-folded", "dynamo18", "dynamo18-folded"]) {
      const { source: bert } = await loadSource(join(folder, `bert-eval-${file}.onnx`), {
        loss: { kind: "cross-entropy" },
      });
      const found = findLayers(bert.graph, bert.parameters, "batch");
      const covered = new Set(found.flatMap((l) => [l.weight, l.bias]));
      const rest = bert.parameters.map((p) => p.name).filter((n) => !covered.has(n));
      expect(found, file).to.have.lengthOf(16);
      expect(
        rest.filter((n) => !/LayerNorm|position_embeddings/.test(n)),
        file,
      ).to.deep.equal([]);
    }
  });
});

describe("Kronecker factors", () => {
  const b = newBuilder("factors");
  const parameters = new Map(source.parameters.map((p) => [p.name, b.input(p.name, must(p.value.type, p.name))]));
  const batch = {
    inputs: new Map([...source.inputs].map(([name, v]) => [name, b.input(name, must(v.type, name))])),
    labels: b.input("labels", tensorType("float32", ["batch", 2])),
    random: new Map<string, Value>(),
    buffers: new Map<string, Value>(),
  };
  const map = forward(b, source, parameters, batch, true, [...source.outputs.values()]);
  const { loss, weight } = lossOf(b, source, map, batch);
  const copyOf = (v: Value): Value => must(map.get(v), v.name);
  const names = [...parameters.keys()];
  const grads = new Map(gradient(b, loss, [...parameters.values()]).map((g, i) => [names[i], must(g, names[i] ?? "")]));
  const gradientOf = (name: string): Value => must(grads.get(name), name);
  const cotangents = tapped(
    b,
    loss,
    e.scalarLike(b, 1, loss),
    layers.map((l) => copyOf(l.output)),
  );
  layers.forEach((layer, i) => {
    const cotangent = must(cotangents[i], layer.weight);
    const whole = asMatrix(b, layer, gradientOf(layer.weight), layer.bias === null ? null : gradientOf(layer.bias));
    b.output(whole, `whole/${layer.weight}`);
    const back = fromMatrix(b, layer, whole, gradientOf(layer.weight));
    b.output(e.sub(b, back.weight, gradientOf(layer.weight)), `weight/${layer.weight}`);
    if (layer.bias !== null && back.bias) b.output(e.sub(b, back.bias, gradientOf(layer.bias)), `bias/${layer.weight}`);
    if (layer.kind !== "embedding") b.output(inputRows(b, layer, copyOf(layer.input)), `a/${layer.weight}`);
    b.output(outputRows(b, layer, cotangent), `s/${layer.weight}`);
    b.output(inputFactor(b, layer, copyOf(layer.input)), `A/${layer.weight}`);
    b.output(outputFactor(b, layer, cotangent, weight), `S/${layer.weight}`);
  });
  const feeds: Record<string, Array64> = {
    ids: array("int64", [2, 3], [0, 4, 2, -1, 4, 4]),
    images: array(
      "float32",
      [2, 2, 5, 4],
      Array.from({ length: 80 }, (_, i) => Math.sin(2.3 * i)),
    ),
    labels: array("float32", [2, 2], [1, -1, 0.5, 2]),
  };
  for (const p of source.parameters) {
    feeds[p.name] = ofTensor(must(source.graph.initializers.get(p.value), p.name));
  }
  const out = outputsOf(b.graph, feeds);
  const got = (name: string): Array64 => must(out[name], name);
  const near = (x: Array64, y: Array64): void => {
    expect(x.dims).to.deep.equal(y.dims);
    x.data.forEach((v, i) => expect(v).to.be.closeTo(y.data[i] ?? NaN, 1e-12));
  };

  for (const layer of layers) {
    const { weight: name, inputs, outputs } = layer;
    const s = got(`s/${name}`);
    const a = ((): Array64 => {
      if (layer.kind !== "embedding") return got(`a/${name}`);
      const ids = [0, 4, 2, 6, 4, 4];
      return array(
        "float32",
        [6, 7],
        ids.flatMap((id) => Array.from({ length: 7 }, (_, j) => (j === id ? 1 : 0))),
      );
    })();
    const rows = must(a.dims[0], name);
    const extended = layer.bias === null ? a : withOne(a);

    it(`${name}: the gradient is Σ āsᵀ over the rows of the layer, as a matrix and back`, () => {
      expect([a.dims[1], s.dims[1]]).to.deep.equal([inputs, outputs]);
      near(matmul(transpose(extended, [1, 0]), s), got(`whole/${name}`));
      expect(Math.max(...got(`weight/${name}`).data.map(Math.abs))).to.equal(0);
      if (layer.bias !== null) expect(Math.max(...got(`bias/${name}`).data.map(Math.abs))).to.equal(0);
    });

    it(`${name}: A is the mean of āāᵀ, S is N Σ ssᵀ`, () => {
      const square = matmul(transpose(extended, [1, 0]), extended);
      const mean = array(
        "float32",
        square.dims,
        square.data.map((v) => v / rows),
      );
      if (layer.kind === "embedding") {
        near(got(`A/${name}`), array("float32", [7, 1, 1], [1 / 6, 0, 1 / 6, 0, 3 / 6, 0, 1 / 6]));
        [...mean.data].forEach((v, i) => expect(i % 8 === 0 || v === 0).to.equal(true));
      } else near(got(`A/${name}`), mean);
      const second = matmul(transpose(s, [1, 0]), s);
      // The squared error is a mean over the 4 elements of the labels.
      near(
        got(`S/${name}`),
        array(
          "float32",
          second.dims,
          second.data.map((v) => 4 * v),
        ),
      );
    });
  }
});

/** A column of ones after the others. */
function withOne(a: Array64): Array64 {
  const [n = 0, d = 0] = a.dims;
  const data = Array.from({ length: n }, (_, i) => [...a.data.slice(i * d, (i + 1) * d), 1]);
  return array(a.dtype, [n, d + 1], data.flat());
}
