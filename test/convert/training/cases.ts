/** Training operators of ONNX Runtime on small inputs: what is run on its kernels, and as it is lowered. */
import {
  Graph,
  Node,
  Value,
  float,
  int,
  ints,
  newModel,
  string,
  tensorType,
  type Attributes,
} from "../../../src/ir/graph.js";
import type { Model } from "../../../src/ir/graph.js";
import { Tensor } from "../../../src/ir/tensor.js";
import type { DType } from "../../../src/util/dtype.js";
import { sizeOf } from "../../../src/util/shape.js";
import { uniform } from "../../ops/check_sample.js";
import type { Feed } from "../../support/run_graph.js";

/** Puts inputs and nodes of one case into a graph that holds many. */
export class Sketch {
  private count = 0;
  constructor(
    private readonly graph: Graph,
    private readonly name: string,
    readonly feeds: Map<string, Feed>,
  ) {}

  /** A float input, uniform in a range. */
  x(shape: readonly number[], from = -1, to = 1, name = this.unique("x")): Value {
    const random = uniform(name);
    const data = Float64Array.from({ length: sizeOf(shape) }, () => from + (to - from) * random());
    return this.input(name, "float32", shape, data);
  }

  ids(shape: readonly number[], values: readonly number[]): Value {
    return this.input(this.unique("ids"), "int64", shape, BigInt64Array.from(values, BigInt));
  }

  flags(shape: readonly number[], values: readonly number[]): Value {
    return this.input(this.unique("flags"), "bool", shape, Uint8Array.from(values));
  }

  constant(dtype: DType, shape: readonly number[], values: readonly number[]): Value {
    const v = new Value(this.unique("constant"), tensorType(dtype, shape));
    this.graph.initializers.set(v, Tensor.of(dtype, shape, values));
    return v;
  }

  /** An operator of com.microsoft, or of the given domain; null is an output left out. */
  op(
    op: string,
    inputs: readonly (Value | null)[],
    attributes: Attributes = {},
    outputs = 1,
    domain = "com.microsoft",
  ): Value[] {
    const made = Array.from({ length: outputs }, () => new Value(this.unique(op), null));
    this.graph.nodes.push(new Node(op, [...inputs], made, attributes, {}, domain, this.unique(op)));
    return made;
  }

  standard(op: string, inputs: readonly (Value | null)[], attributes: Attributes = {}, outputs = 1): Value[] {
    return this.op(op, inputs, attributes, outputs, "");
  }

  private input(name: string, dtype: DType, shape: readonly number[], data: Feed["data"]): Value {
    const v = new Value(name, tensorType(dtype, shape));
    this.graph.inputs.push(v);
    this.feeds.set(name, { dtype, dims: shape, data });
    return v;
  }

  private unique(base: string): string {
    return `${this.name}/${base}${this.count++}`;
  }
}

export type Case = (s: Sketch) => Value[];

const [x4, x6] = [
  [2, 3, 4],
  [2, 6],
] as const;
/** dy and one value more. */
const two =
  (
    op: string,
    attributes: Attributes = {},
    shape: readonly number[] = x4,
    range: readonly [number, number] = [-1, 1],
  ): Case =>
  (s) =>
    s.op(op, [s.x(shape), s.x(shape, ...range)], attributes);

/** Something like the output of a softmax, or its logarithm, along one axis. */
const softmaxed =
  (op: string, of: "Softmax" | "LogSoftmax", axis: number, given: number): Case =>
  (s) => {
    const [y] = s.standard(of, [s.x(x4)], { axis: int(axis) });
    return s.op(op, [s.x(x4), y!], { axis: int(given) });
  };

const crossEntropy =
  (logits: readonly number[], labels: readonly number[], attributes: Attributes, weighted = false): Case =>
  (s) => {
    const rows = [logits[0]!, ...logits.slice(2)];
    const [logp] = s.standard("LogSoftmax", [s.x(logits)], { axis: int(1) });
    const none = attributes["reduction"]?.value === "none";
    const dl = s.x(none ? rows : []);
    const inputs = [dl, logp!, s.ids(rows, labels), ...(weighted ? [s.x([logits[1]!], 0.5, 2)] : [])];
    return s.op("SoftmaxCrossEntropyLossGrad", inputs, attributes);
  };

const internalEntropy: Case = (s) => {
  const scores = s.x([3, 4]);
  const labels = s.ids([3], [1, -1, 3]);
  const ignored = s.constant("int64", [], [-1]);
  const attributes = { reduction: string("mean"), output_type: int(1) };
  const [loss, logp] = s.op("SoftmaxCrossEntropyLossInternal", [scores, labels, null, ignored], attributes, 2);
  const [grad] = s.op("SoftmaxCrossEntropyLossInternalGrad", [s.x([]), logp!, labels, null, ignored], attributes);
  return [loss!, logp!, grad!];
};

const layerNorm =
  (shape: readonly number[], axis: number): Case =>
  (s) => {
    const inner = shape.slice(axis);
    const [x, scale] = [s.x(shape), s.x(inner, 0.5, 1.5)];
    const [, mean, inverse] = s.standard("LayerNormalization", [x, scale, s.x(inner)], { axis: int(axis) }, 3);
    return s.op("LayerNormalizationGrad", [s.x(shape), x, scale, mean!, inverse!], { axis: int(axis) }, 3);
  };

const conv =
  (
    op: "ConvGrad" | "ConvTransposeGrad",
    dy: readonly number[],
    x: readonly number[],
    w: readonly number[],
    a: Attributes,
  ): Case =>
  (s) =>
    s.op(op, [s.x(dy), s.x(x), s.x(w)], { kernel_shape: ints(w.slice(2)), ...a }, 3);

const maxPool =
  (x: readonly number[], dy: readonly number[], attributes: Attributes): Case =>
  (s) => {
    const [, places] = s.standard("MaxPool", [s.x(x)], attributes, 2);
    const [dx] = s.standard("MaxPoolGrad", [s.x(dy), places!], attributes);
    dx!.type = tensorType("float32", x);
    return [dx!];
  };

let pools = 0;
const averagePool = (x: readonly number[], dy: readonly number[], attributes: Attributes): Case => {
  const name = `pooled${pools++}`;
  return (s) => {
    const given = s.x(x, -1, 1, name);
    s.standard("AveragePool", [given], attributes);
    const [dx] = s.standard("AveragePoolGrad", [s.x(dy)], attributes);
    dx!.name = `${name}_grad`;
    dx!.type = tensorType("float32", x);
    return [dx!];
  };
};

const shapeOf = (s: Sketch, v: Value): Value => s.standard("Shape", [v])[0]!;

const gather =
  (
    shape: readonly number[],
    ids: readonly number[],
    dims: readonly number[],
    dy: readonly number[],
    axis: number,
  ): Case =>
  (s) =>
    s.op("GatherGrad", [shapeOf(s, s.x(shape)), s.ids(dims, ids), s.x(dy)], { axis: int(axis) });

const dropout =
  (ratio: number): Case =>
  (s) => {
    const inputs = [s.x(x6), s.flags(x6, [1, 0, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1]), s.constant("float32", [], [ratio])];
    return s.op("DropoutGrad", [...inputs, s.constant("bool", [], [1])]);
  };

const mean = { reduction: string("mean") };

/** Cases that the CPU kernels of the training build run. */
export const cases: Readonly<Record<string, Case>> = {
  ReluGrad: two("ReluGrad"),
  LeakyReluGrad: two("LeakyReluGrad", { alpha: float(0.1) }),
  SigmoidGrad: two("SigmoidGrad", {}, x4, [0.1, 0.9]),
  TanhGrad: two("TanhGrad"),
  GeluGrad: two("GeluGrad"),
  FastGeluGrad: two("FastGeluGrad"),
  QuickGeluGrad: two("QuickGeluGrad", { alpha: float(1.3) }),
  BiasGeluGrad_dX: (s) => s.op("BiasGeluGrad_dX", [s.x(x4), s.x(x4), s.x([4])]),
  BiasFastGeluGrad_dX: (s) => s.op("BiasFastGeluGrad_dX", [s.x(x4), s.x(x4), s.x([4])]),
  Gelu: (s) => s.op("Gelu", [s.x(x4)]),
  BiasGelu: (s) => s.op("BiasGelu", [s.x(x4), s.x([4])]),
  "FastGelu with a bias": (s) => s.op("FastGelu", [s.x(x4), s.x([4])]),
  QuickGelu: (s) => s.op("QuickGelu", [s.x(x4)], { alpha: float(1.3) }),
  "SoftmaxGrad, flattened": softmaxed("SoftmaxGrad", "Softmax", 2, 2),
  SoftmaxGrad_13: softmaxed("SoftmaxGrad_13", "Softmax", 1, 1),
  "LogSoftmaxGrad, flattened": softmaxed("LogSoftmaxGrad", "LogSoftmax", 2, 2),
  LogSoftmaxGrad_13: softmaxed("LogSoftmaxGrad_13", "LogSoftmax", 1, 1),
  SoftmaxCrossEntropyLossGrad: crossEntropy([3, 4], [1, 0, 3], mean),
  "SoftmaxCrossEntropyLossGrad, weights, an ignored label, two axes": crossEntropy(
    [2, 3, 2],
    [0, 2, -1, 1],
    { ...mean, ignore_index: int(-1) },
    true,
  ),
  "SoftmaxCrossEntropyLossGrad, sum": crossEntropy([3, 4], [1, 0, 3], { reduction: string("sum") }),
  "SoftmaxCrossEntropyLossGrad, none": crossEntropy([3, 4], [1, 0, 3], { reduction: string("none") }),
  "SoftmaxCrossEntropyLossInternal and its gradient": internalEntropy,
  LayerNormalizationGrad: layerNorm([2, 3, 4], 2),
  "LayerNormalizationGrad, two axes": layerNorm([3, 2, 4], 1),
  SimplifiedLayerNormalizationGrad: (s) =>
    s.op(
      "SimplifiedLayerNormalizationGrad",
      [s.x(x4), s.x(x4), s.x([4]), s.x([2, 3, 1], 0.5, 1.5)],
      { axis: int(-1) },
      2,
    ),
  InvertibleLayerNormalizationGrad: (s) => {
    const inputs = [s.x(x4), s.x(x4), s.x([4], 0.5, 1.5), s.x([4]), s.x([2, 3, 1], 0.5, 1.5)];
    const made = s.op("InvertibleLayerNormalizationGrad", inputs, { axis: int(-1) }, 3);
    for (const [i, shape] of [x4, [4], [4]].entries()) made[i]!.type = tensorType("float32", shape);
    return made;
  },
  BatchNormInternal: (s) =>
    s.op(
      "BatchNormInternal",
      [s.x([3, 2, 2, 2]), s.x([2], 0.5, 1.5), s.x([2]), s.x([2]), s.x([2], 0.5, 1.5)],
      { training_mode: int(1), momentum: float(0.7), epsilon: float(1e-4) },
      5,
    ),
  BatchNormalizationGrad: (s) =>
    s.op(
      "BatchNormalizationGrad",
      [s.x([3, 2, 2, 2]), s.x([3, 2, 2, 2]), s.x([2], 0.5, 1.5), s.x([2]), s.x([2], 0.5, 1.5)],
      { epsilon: float(1e-4) },
      3,
    ),
  ConvGrad: conv("ConvGrad", [2, 3, 3, 2], [2, 2, 6, 5], [3, 2, 3, 3], {
    pads: ints([1, 0, 1, 2]),
    strides: ints([2, 3]),
  }),
  "ConvGrad, groups, dilated": conv("ConvGrad", [2, 6, 4, 2], [2, 4, 6, 4], [6, 2, 2, 2], {
    group: int(2),
    dilations: ints([2, 2]),
  }),
  "ConvGrad, one axis": conv("ConvGrad", [2, 3, 5], [2, 2, 5], [3, 2, 3], { pads: ints([1, 1]) }),
  MaxPoolGrad: maxPool([2, 2, 4, 5], [2, 2, 3, 3], {
    kernel_shape: ints([2, 3]),
    strides: ints([1, 2]),
    pads: ints([0, 1, 0, 1]),
  }),
  AveragePoolGrad: averagePool([2, 2, 4, 4], [2, 2, 2, 2], { kernel_shape: ints([2, 2]), strides: ints([2, 2]) }),
  "AveragePoolGrad, the padding counts": averagePool([1, 2, 4, 3], [1, 2, 4, 3], {
    kernel_shape: ints([3, 3]),
    pads: ints([1, 1, 1, 1]),
    count_include_pad: int(1),
  }),
  "AveragePoolGrad, the padding does not count": averagePool([1, 2, 4, 3], [1, 2, 4, 3], {
    kernel_shape: ints([3, 3]),
    pads: ints([1, 1, 1, 1]),
  }),
  "GatherGrad, rows": gather([4, 3], [0, 3, 0, 1], [2, 2], [2, 2, 3], 0),
  "GatherGrad, last axis": gather([2, 4], [1, 1, 2], [3], [2, 3], 1),
  GatherElementsGrad: (s) =>
    s.op("GatherElementsGrad", [s.x([2, 3]), shapeOf(s, s.x([2, 4])), s.ids([2, 3], [0, 3, 0, 2, 1, 1])], {
      axis: int(1),
    }),
  SliceGrad: (s) => {
    const bounds = [[1], [5], [1], [2]].map((v) => s.constant("int64", [1], v));
    return s.op("SliceGrad", [s.x([2, 2]), shapeOf(s, s.x([2, 5])), ...bounds]);
  },
  "ConcatTraining and SplitTraining": (s) => {
    const [joined, sizes] = s.op("ConcatTraining", [s.x([2, 1]), s.x([2, 3])], { axis: int(1) }, 2);
    return [joined!, ...s.op("SplitTraining", [joined!, sizes!], { axis: int(1) }, 2)];
  },
  ReduceSumTraining: (s) =>
    s.op("ReduceSumTraining", [s.x(x4), s.constant("int64", [2], [0, 2])], { keepdims: int(0) }),
  "BroadcastGradientArgs, sums over its axes": (s) => {
    const axes = s.op("BroadcastGradientArgs", [shapeOf(s, s.x([3, 1])), shapeOf(s, s.x(x4))], {}, 2);
    return s.op("ReduceSumTraining", [s.x(x4), axes[0]!], { keepdims: int(1), noop_with_empty_axes: int(1) });
  },
  Trilu: (s) => s.op("Trilu", [s.x([3, 4])], { upper: int(0) }),
  "FusedMatMul, transposed": (s) =>
    s.op("FusedMatMul", [s.x([2, 4, 3]), s.x([2, 5, 4])], { transA: int(1), transB: int(1), alpha: float(0.5) }),
  "FusedMatMul, batch transposed": (s) =>
    s.op("FusedMatMul", [s.x([3, 2, 4]), s.x([4, 2, 5])], { transBatchA: int(1), transBatchB: int(1) }),
  Scale: (s) => s.op("Scale", [s.x(x6), s.constant("float32", [], [3])]),
  "Scale down by an integer": (s) => s.op("Scale", [s.x(x6), s.constant("int64", [1], [3])], { scale_down: int(1) }),
  "DivGrad, broadcast": (s) => s.op("DivGrad", [s.x(x4), s.x(x4), s.x([3, 1], 0.5, 2)], {}, 2),
  ReduceAllL2: (s) => {
    const [norm] = s.op("ReduceAllL2", [s.x(x4), s.x(x6)]);
    norm!.type = tensorType("float32", []);
    return [norm!];
  },
  "InPlaceAccumulatorV2, its sum": (s) =>
    s.op("InPlaceAccumulatorV2", [s.x(x6), s.x(x6), s.flags([1], [0])], {}, 2).slice(1),
  "InPlaceAccumulatorV2, reset": (s) =>
    s.op("InPlaceAccumulatorV2", [s.x(x6), s.x(x6), s.flags([1], [1])], {}, 2).slice(1),
  DropoutGrad: dropout(0.3),
};

/** A model of one case, or of several side by side, and what it is fed. */
export function modelOf(
  names: readonly string[],
  of: Readonly<Record<string, Case>> = cases,
): {
  model: Model;
  feeds: Map<string, Feed>;
  outputs: Map<string, Value[]>;
} {
  const graph = new Graph("cases");
  const feeds = new Map<string, Feed>();
  const outputs = new Map<string, Value[]>();
  for (const name of names) {
    const made = of[name]!(new Sketch(graph, name.replace(/\W+/g, "_"), feeds));
    outputs.set(name, made);
    graph.outputs.push(...made);
  }
  const model = newModel(graph, 17, 8);
  model.opsets.set("com.microsoft", 1);
  return { model, feeds, outputs };
}
