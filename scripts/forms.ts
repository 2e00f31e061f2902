/**
 * Times operators in the form that the rules emit and in the one that the CPU provider is given, and forms that were tried and
 * left: writes docs/FORMS.md.
 *
 *     node build/scripts/forms.js
 *
 * It wants an idle machine of two cores.
 */
import { join } from "node:path";
import { cpus } from "node:os";
import { setTimeout } from "node:timers/promises";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { type Graph, type Value, int, ints, newModel, string, tensorType } from "../src/ir/graph.js";
import { Tensor as Constant } from "../src/ir/tensor.js";
import { cpuForms } from "../src/lower/forms.js";
import { dce } from "../src/passes/dce.js";
import { formatNumber, markdownTable } from "../src/report/table.js";
import { serializeModel } from "../src/serde/index.js";
import { must } from "../src/util/assert.js";
import { writeFileAtomically } from "../src/util/files.js";
import { Rng } from "../src/util/rng.js";
import { sizeOf } from "../src/util/shape.js";
import { root } from "../test/support/root.js";
import { Sketch } from "../test/support/sketch.js";
import { median } from "./bench/report.js";

const runs = 15;
const threads = 2;
/** Milliseconds between two sessions: the threads of the one before spin for a while. */
const pause = 100;

/** A graph of a few nodes, whose result is summed so that nothing is copied out. */
class Form extends Sketch {
  axes = (...values: number[]): Value => this.constant(Constant.int64s(values));

  done(result: Value): Graph {
    const output = this.op("ReduceMax", [result], { keepdims: int(0) }, []);
    this.graph.outputs.push(output);
    return this.graph;
  }
}

const same = ints([1, 1, 1, 1]);
const swap = { perm: ints([1, 0, 2, 3]) };

/** A 3 x 3 convolution of 32 images; its gradients by the image and by the kernel. */
const convolution = (channels: number, size: number) => (): Graph => {
  const s = new Form();
  const [x, w] = [s.input("x", [32, channels, size, size]), s.input("w", [channels, channels, 3, 3])];
  return s.done(s.op("Conv", [x, w], { pads: same }));
};
const imageGradient = (channels: number, size: number) => (): Graph => {
  const s = new Form();
  const [x, w] = [s.input("dy", [32, channels, size, size]), s.input("w", [channels, channels, 3, 3])];
  return s.done(s.op("ConvTranspose", [x, w], { pads: same }));
};
const kernelGradient = (channels: number, size: number) => (): Graph => {
  const s = new Form();
  const swapped = [channels, 32, size, size];
  const [x, dy] = ["x", "dy"].map((name) =>
    s.op("Transpose", [s.input(name, [32, channels, size, size])], swap, swapped),
  ) as [Value, Value];
  const gradient = s.op("Conv", [x, dy], { pads: same }, [channels, channels, 3, 3]);
  return s.done(s.op("Transpose", [gradient], swap, [channels, channels, 3, 3]));
};

const stridedInputs = (s: Form, channels: number, size: number): [Value, Value] => [
  s.input("dy", [32, 2 * channels, size, size]),
  s.input("w", [2 * channels, channels, 3, 3]),
];

/** The gradient by the image of a 3 x 3 convolution with strides of 2. */
const stridedGradient = (channels: number, size: number) => (): Graph => {
  const s = new Form();
  const attributes = { pads: same, strides: ints([2, 2]), output_padding: ints([1, 1]) };
  return s.done(s.op("ConvTranspose", stridedInputs(s, channels, size), attributes));
};
/** The same as one convolution of 2 x 2 for all four phases, zeros where a phase has fewer elements. */
const inPhases = (channels: number, size: number) => (): Graph => {
  const s = new Form();
  const [dy, w] = stridedInputs(s, channels, size);
  const padded = s.op("Pad", [w, s.axes(0, 0, 0, 0, 0, 0, 1, 1)]);
  const taps = [2, 3].reduce((k, axis) => s.op("Gather", [k, s.axes(1, 3, 2, 0)], { axis: int(axis) }), padded);
  const parted = s.op("Reshape", [taps, s.axes(2 * channels, channels, 2, 2, 2, 2)]);
  const turned = s.op("Transpose", [parted], { perm: ints([2, 4, 1, 0, 3, 5]) }, null);
  const kernel = s.op("Reshape", [turned, s.axes(4 * channels, 2 * channels, 2, 2)]);
  return s.done(
    s.op("DepthToSpace", [s.op("Conv", [dy, kernel], { pads: ints([0, 0, 1, 1]) })], { blocksize: int(2) }),
  );
};

const biasGradient = (width: number) => (): Graph => {
  const s = new Form();
  return s.done(s.op("ReduceSum", [s.input("dy", [16, 64, width]), s.axes(0, 1)], { keepdims: int(0) }, [width]));
};
const reluGradient = (): Graph => {
  const s = new Form();
  const shape = [32, 64, 32, 32];
  const zero = s.constant(Constant.of("float32", [], [0]));
  const isOn = s.op("Greater", [s.input("y", shape), zero]);
  isOn.type = tensorType("bool", shape);
  return s.done(s.op("Where", [isOn, s.input("dy", shape), zero], {}, shape));
};
const signGradient = (): Graph => {
  const s = new Form();
  const shape = [32, 64, 32, 32];
  return s.done(s.op("Mul", [s.op("Sign", [s.input("y", shape)]), s.input("dy", shape)]));
};
/** The new state where a scalar says so, else the old. */
const choice = (): Graph => {
  const s = new Form();
  const shape = [4096, 384];
  const [flag, x, y] = [s.input("flag", []), s.input("x", shape), s.input("y", shape)];
  const isTaken = s.op("Equal", [flag, flag]);
  isTaken.type = tensorType("bool", []);
  return s.done(s.op("Where", [isTaken, s.op("Add", [x, y], {}, shape), x], {}, shape));
};
const table = [30_522, 384];
/** The gradient of a table of which 1,024 rows were read, some of them more than once, and their numbers. */
const tableGradient = (s: Form): { gradient: Value; ids: Value } => {
  const ids = s.input("ids", [1024, 1]);
  ids.type = tensorType("int64", [1024, 1]);
  const at = s.op("Expand", [ids, s.axes(1024, 384)]);
  at.type = tensorType("int64", [1024, 384]);
  const zeros = s.op("Expand", [s.constant(Constant.of("float32", [], [0])), s.axes(...table)], {}, table);
  const scatter = { axis: int(0), reduction: string("add") };
  return { ids, gradient: s.op("ScatterElements", [zeros, at, s.input("dy", [1024, 384])], scatter, table) };
};
const tableNorm = (): Graph => {
  const s = new Form();
  return s.done(s.op("ReduceSumSquare", [tableGradient(s).gradient], { keepdims: int(0) }, []));
};
const perturbedRows = (): Graph => {
  const s = new Form();
  const { gradient, ids } = tableGradient(s);
  const perturbed = s.op("Add", [s.input("w", table), gradient], {}, table);
  return s.done(s.op("Gather", [perturbed, ids], { axis: int(0) }, [1024, 1, 384]));
};
/** What is timed; `other` is a form that was tried, where it is none of those that are applied. */
const cases: { what: string; graph: () => Graph; other?: { does: string; graph: () => Graph } }[] = [
  ...[
    [64, 32],
    [128, 16],
    [256, 8],
    [512, 4],
  ].flatMap(([channels = 0, size = 0]) => {
    const of = `${channels} channels, ${size} x ${size}`;
    return [
      { what: `3 x 3 convolution, ${of}`, graph: convolution(channels, size) },
      { what: `its gradient by the image, ${of}`, graph: imageGradient(channels, size) },
      { what: `its gradient by the kernel, ${of}`, graph: kernelGradient(channels, size) },
    ];
  }),
  { what: "3 x 3 convolution, 256 channels, 14 x 14", graph: convolution(256, 14) },
  ...[
    [64, 16],
    [256, 4],
  ].map(([channels = 0, size = 0]) => ({
    what: `gradient by the image with strides of 2, ${2 * channels} channels of ${size} x ${size} to ${channels}`,
    graph: stridedGradient(channels, size),
    other: { does: "one convolution for all phases", graph: inPhases(channels, size) },
  })),
  { what: "gradient of a bias, 16 x 64 rows of 384", graph: biasGradient(384) },
  { what: "gradient of a bias, 16 x 64 rows of 1536", graph: biasGradient(1536) },
  { what: "norm of the gradient of a table of 30,522 x 384, 1,024 rows read", graph: tableNorm },
  { what: "1,024 rows of such a table, moved along its gradient", graph: perturbedRows },
  { what: "a sum where a scalar says so, 4096 x 384", graph: choice },
  { what: "derivative of a ReLU, 32 x 64 x 32 x 32", graph: reluGradient },
  {
    what: "derivative of a ReLU, 32 x 64 x 32 x 32",
    graph: reluGradient,
    other: { does: "product with the sign of the result", graph: signGradient },
  },
];

async function milliseconds(graph: Graph): Promise<number> {
  const model = newModel(graph);
  model.opsets.set("com.microsoft", 1);
  const session = await InferenceSession.create(serializeModel(model), {
    intraOpNumThreads: threads,
    graphOptimizationLevel: "extended",
    enableMemPattern: false,
    logSeverityLevel: 3,
  });
  const rng = new Rng(0, "forms");
  const feeds = graph.inputs.map((v): [string, Tensor] => {
    const dims = v.dims.map(Number);
    if (v.dtype === "int64") {
      const ids = BigInt64Array.from({ length: sizeOf(dims) }, () => BigInt(rng.int(Number(table[0]))));
      return [v.name, new Tensor("int64", ids, dims)];
    }
    const data = new Float32Array(sizeOf(dims));
    rng.fillNormal(data);
    return [v.name, new Tensor("float32", data, dims)];
  });
  await setTimeout(pause);
  const times: number[] = [];
  for (let i = 0; i < runs + 2; i++) {
    const start = performance.now();
    await session.run(Object.fromEntries(feeds));
    times.push(performance.now() - start);
  }
  await session.release();
  return median(times.slice(2));
}

const rows = [];
for (const { what, graph, other } of cases) {
  const lowered = other ? other.graph() : graph();
  const applied = [];
  for (const { name, apply } of other ? [] : cpuForms) if (apply(lowered).modified) applied.push(name);
  dce(lowered);
  const before = await milliseconds(graph());
  const after = other || applied.length > 0 ? await milliseconds(lowered) : null;
  const ratio = after === null ? null : formatNumber(after / before, 2);
  const form = other ? `${other.does} (not taken)` : applied.join(", ") || "as it is";
  rows.push([what, form, formatNumber(before, 3), after === null ? null : formatNumber(after, 3), ratio]);
}
const cpu = must(cpus()[0], "a processor").model.trim();
const names = cpuForms.map(({ name, does }) => `- **${name}**: ${does}`).join("\n");
writeFileAtomically(
  join(root, "docs", "FORMS.md"),
  `# Forms of the CPU provider

Made by \`node build/scripts/forms.js\`, never by hand. Milliseconds of one operator and of a maximum over its result, medians of ${runs} runs,
float32, ${threads} threads, ${cpu}: as the rules emit it, and as sessions on the CPU are given it. Forms that were tried and are not faster
are there as well. Images come 32 at a time.

${markdownTable(["what", "form", "as emitted", "in the form", "ratio"], rows)}
What each form does:

${names}
`,
);
