import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { readManifest, type Manifest } from "../../src/format/manifest.js";
import { describeInput } from "../../src/format/ports.js";
import { Graph, Node, Value, int, tensorType, type Model } from "../../src/ir/graph.js";
import { lowerForCpu } from "../../src/lower/cpu.js";
import { checkBatch, type Feeds, type Sizes } from "../../src/runtime/batch.js";
import { wrap } from "../../src/runtime/tensors.js";
import { loadModel, serializeModel } from "../../src/serde/index.js";
import { check, must } from "../../src/util/assert.js";
import { Rng } from "../../src/util/rng.js";
import { sizeOfDim } from "../../src/util/shape.js";
import { readBatch } from "./batches.js";
import type { Answer } from "./line_process.js";

const settings = (threads: number): InferenceSession.SessionOptions => ({
  graphOptimizationLevel: "disabled",
  intraOpNumThreads: threads,
  enableMemPattern: false,
  logSeverityLevel: 3,
});

const isProduct = (node: Node): boolean => ["MatMul", "Gemm", "FusedMatMul", "FusedGemm"].includes(node.op);
const noise = new Rng(0, "benchmark products");

function random(dims: readonly number[]): Tensor {
  const data = new Float32Array(dims.reduce((n, d) => n * d, 1));
  noise.fillNormal(data);
  return new Tensor("float32", data, dims);
}

/** Feeds for every input of the plain step: the batch, defaults, and random values of the right shapes. */
function feedsFor(manifest: Manifest, batch: Feeds, sizes: Sizes, names: readonly string[]): Record<string, Tensor> {
  const feeds = names.map((name) => {
    const given = batch.feeds[name];
    if (given) return [name, wrap(given.dtype, given.data, given.dims)] as const;
    const hyper = manifest.hyper[name];
    if (hyper) return [name, new Tensor("float32", Float32Array.of(hyper.default), [])] as const;
    const shape = must(describeInput(manifest, name), `input "${name}"`).shape;
    return [
      name,
      random(
        shape.map((d) =>
          must(
            sizeOfDim(d, (symbol) => sizes.get(symbol)),
            `size of ${d}`,
          ),
        ),
      ),
    ] as const;
  });
  return Object.fromEntries(feeds);
}

/** The shapes of both operands of every product, read off a run of the whole step. */
async function operandShapes(model: Model, products: readonly Node[], feeds: Record<string, Tensor>, threads: number) {
  const { graph } = model;
  const inputs = new Set(graph.inputs);
  const kept = graph.outputs;
  graph.outputs = [...new Set(products.flatMap((n) => n.inputs.filter((v) => v !== null)))].filter(
    (v) => !inputs.has(v) && !graph.initializers.has(v),
  );
  const session = await InferenceSession.create(serializeModel(model), settings(threads));
  const results = await session.run(feeds);
  await session.release();
  graph.outputs = kept;
  return (v: Value): readonly number[] =>
    graph.initializers.get(v)?.dims ?? (feeds[v.name] ?? must(results[v.name], `a shape of "${v.name}"`)).dims;
}

/**
 * The matrix products of `nodes` and nothing else: every operand is an input of its own, every product is dropped as soon as
 * it is made (Shape reads no element of it).
 */
function productsGraph(name: string, nodes: readonly Node[], shapeOf: (v: Value) => readonly number[]): Graph {
  const graph = new Graph(name);
  const operands = new Map<Value, Value>();
  const operand = (v: Value): Value => {
    let input = operands.get(v);
    if (!input) {
      input = new Value(`operand_${operands.size}`, tensorType("float32", shapeOf(v)));
      operands.set(v, input);
      graph.inputs.push(input);
    }
    return input;
  };
  const shapes = nodes.map((node, i) => {
    const product = new Value(`product_${i}`, null);
    const shape = new Value(`shape_${i}`, null);
    const inputs = node.inputs.map((v) => v && operand(v));
    graph.nodes.push(new Node(node.op, inputs, [product], node.attributes, {}, node.domain, product.name));
    graph.nodes.push(new Node("Shape", [product], [shape], {}, {}, "", shape.name));
    return shape;
  });
  const all = new Value("shapes", tensorType("int64", ["n"]));
  graph.nodes.push(new Node("Concat", shapes, [all], { axis: int(0) }, {}, "", "shapes"));
  graph.outputs.push(all);
  return graph;
}

/** Runs the matrix products of the package's plain step, as the CPU provider has them: one graph for each pass. */
export async function openProducts(
  folder: string,
  batchFile: string,
  threads: number,
): Promise<{ step(): Promise<Answer> }> {
  const manifest = readManifest(folder);
  const batch = readBatch(batchFile);
  const sizes = checkBatch(manifest, batch);
  const model = loadModel(await lowerForCpu(join(folder, "step.onnx"), join(folder, "lowered"), sizes));
  const names = model.graph.inputs.map((v) => v.name);
  const all = model.graph.nodes.filter(isProduct);
  const shapeOf = await operandShapes(model, all, feedsFor(manifest, batch, sizes, names), threads);
  // A sum over rows written as a product with one column is no matrix product.
  const products = all.filter((n) => shapeOf(n.input(1)).at(-1) !== 1 || shapeOf(n.input(1)).length < 2);
  const second = products.filter((n) => n.name.startsWith("pass2/"));
  const first = products.filter((n) => !second.includes(n));
  check(
    second.length === 0 || Math.abs(first.length - second.length) <= 8,
    "the products of the passes differ in number",
  );
  const passes = await Promise.all(
    [first, second]
      .filter((nodes) => nodes.length > 0)
      .map(async (nodes, i) => {
        const graph = productsGraph(`pass${i + 1}`, nodes, shapeOf);
        const feeds = Object.fromEntries(graph.inputs.map((v) => [v.name, random(v.dims.map(Number))]));
        const session = await InferenceSession.create(serializeModel({ ...model, graph }), settings(threads));
        return () => session.run(feeds);
      }),
  );
  return {
    step: async () => {
      const start = performance.now();
      for (const run of passes) await run();
      return { ms: performance.now() - start, products: products.length };
    },
  };
}
