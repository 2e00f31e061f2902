import { int, string } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { check } from "../util/assert.js";
import { normalizeAxis } from "../util/shape.js";
import { legacy } from "./legacy.js";
import { opset7 } from "./opset7.js";
import { scanOfBatch } from "./scan8.js";
import { setInput, withAttribute, without, type Converter } from "./rewriter.js";

type Step = Readonly<Record<string, Converter>>;

/** An attribute of integers that became input `position`; absent stays absent. */
const intsToInput =
  (name: string, position: number): Converter =>
  (node, r) => {
    const values = node.ints(name);
    node.attributes = without(node, name);
    if (values) setInput(node, position, r.int64s(values, name));
  };

const inTurn =
  (...converters: Converter[]): Converter =>
  (node, r) =>
    converters.forEach((c) => c(node, r));

/** Attribute `name`, where it is absent, takes what an older version of the operator meant. */
const older =
  (name: string, value: string): Converter =>
  (node) => {
    if (!node.attributes[name]) node.attributes = withAttribute(node, name, string(value));
  };

const upsampleScales: Converter = (node, r) => {
  const scales = node.attributes["scales"];
  check(scales?.type === "floats", () => `${node.label}: it has no scales`);
  node.attributes = without(node, "scales");
  setInput(node, 1, r.constant(Tensor.of("float32", [scales.value.length], scales.value), "scales"));
};

/** Old batch normalization over each activation for itself has no form today. */
const batchNormalizationSpatial: Converter = (node) => {
  check(node.int("spatial", 1) === 1, () => `${node.label}: spatial = 0 has no form in later opsets; export it anew`);
  node.attributes = without(node, "spatial");
};

const topKCount: Converter = (node, r) => {
  const k = node.int("k");
  check(k !== undefined, () => `${node.label}: it has no k`);
  node.attributes = without(node, "k");
  setInput(node, 1, r.int64s([k], "k"));
};

const clipBounds: Converter = (node, r) => {
  for (const [i, name] of ["min", "max"].entries()) {
    const bound = node.float(name);
    if (bound !== undefined && Number.isFinite(bound) && Math.abs(bound) < 3.4e38)
      setInput(node, i + 1, r.scalarLike(node.input(0), bound));
  }
  node.attributes = without(node, "min", "max");
};

const padInputs: Converter = (node, r) => {
  const [pads, value] = [node.ints("pads"), node.float("value", 0)];
  check(pads, () => `${node.label}: it has no pads`);
  node.attributes = without(node, "pads", "value");
  setInput(node, 1, r.int64s(pads, "pads"));
  if (value !== 0) setInput(node, 2, r.scalarLike(node.input(0), value));
};

/** Resize of opset 10 mapped coordinates by the scale alone, and took the nearest below (above when it shrank). */
const resizeCoordinates: Converter = (node, r) => {
  const scales = r.constantOf(node.inputs[1]);
  const shrinks = scales?.numbers().some((s) => s < 1) ?? false;
  node.attributes = {
    ...node.attributes,
    coordinate_transformation_mode: string("asymmetric"),
    nearest_mode: string(shrinks ? "ceil" : "floor"),
  };
  node.inputs = [node.input(0), null, node.input(1)];
};

const dropoutRatio: Converter = (node, r) => {
  const ratio = node.float("ratio");
  node.attributes = without(node, "ratio");
  if (ratio !== undefined) setInput(node, 1, r.constant(Tensor.of("float32", [], [ratio]), "ratio"));
};

/** Before opset 13 all axes from `axis` on were one: flattened there, unless it is the last. */
const flattenedAxis: Converter = (node, r) => {
  const x = node.input(0);
  const axis = node.int("axis", 1);
  const rank = x.shape?.length;
  const last = axis === -1 || (rank !== undefined && normalizeAxis(axis, rank) === rank - 1);
  if (last) {
    node.attributes = withAttribute(node, "axis", int(-1));
    return;
  }
  const matrix = r.emit("Flatten", [x], { axis: int(axis) });
  const result = r.emit(node.op, [matrix], { axis: int(-1) });
  r.become("Reshape", [result, r.emit("Shape", [x])]);
};

/** Before opset 14 the outputs said whether it trained; the saved statistics are gone since. */
const batchNormalizationMode: Converter = (node, r) => {
  const [, ...statistics] = node.outputs;
  const saved = node.outputs.slice(3).find((v) => v && r.isRead(v));
  check(
    !saved,
    () => `${node.label}: its output "${saved?.name ?? ""}" (saved statistics) has no form in later opsets`,
  );
  if (statistics.some((v) => v)) node.attributes = withAttribute(node, "training_mode", int(1));
  node.outputs = node.outputs.slice(0, 3);
};

const splitCount: Converter = (node) => {
  if (!node.inputs[1]) node.attributes = withAttribute(node, "num_outputs", int(node.outputs.length));
};

const gridSampleMode: Converter = (node) => {
  const names: Record<string, string> = { bilinear: "linear", bicubic: "cubic" };
  const mode = node.string("mode", "bilinear");
  node.attributes = withAttribute(node, "mode", string(names[mode] ?? mode));
};

const dftAxis: Converter = (node, r) => {
  const axis = node.int("axis", 1);
  node.attributes = without(node, "axis");
  setInput(node, 2, r.constant(Tensor.of("int64", [], [axis]), "axis"));
};

/** Scale and bias of a group became those of a channel: each is repeated over the channels of its group. */
const groupNormalizationChannels: Converter = (node, r) => {
  const groups = node.int("num_groups");
  check(groups !== undefined, () => `${node.label}: it has no num_groups`);
  const x = node.input(0);
  const channels = r.emit("Shape", [x], { start: int(1), end: int(2) });
  const count = r.int64s([groups], "groups");
  const shape = r.emit("Concat", [count, r.emit("Div", [channels, count])], { axis: int(0) });
  for (const i of [1, 2]) {
    const columns = r.emit("Unsqueeze", [node.input(i), r.int64s([1])]);
    node.inputs[i] = r.emit("Reshape", [r.emit("Expand", [columns, shape]), r.int64s([-1])]);
  }
};

const reductions = (names: readonly string[]): Step =>
  Object.fromEntries(names.map((name) => [`Reduce${name}`, intsToInput("axes", 1)]));

/** What changed at each opset, for nodes of the one before. */
export const steps: ReadonlyMap<number, Step> = new Map<number, Step>([
  [7, opset7],
  [
    9,
    {
      Upsample: upsampleScales,
      BatchNormalization: batchNormalizationSpatial,
      Scan: scanOfBatch,
    },
  ],
  [
    10,
    {
      ...legacy,
      Upsample: (node) => (node.op = "Resize"),
      Slice: inTurn(intsToInput("starts", 1), intsToInput("ends", 2), intsToInput("axes", 3)),
      TopK: topKCount,
    },
  ],
  [
    11,
    { Clip: clipBounds, Pad: padInputs, Resize: resizeCoordinates, Scatter: (node) => (node.op = "ScatterElements") },
  ],
  [12, { Dropout: dropoutRatio }],
  [
    13,
    {
      Softmax: flattenedAxis,
      LogSoftmax: flattenedAxis,
      Hardmax: flattenedAxis,
      Split: intsToInput("split", 1),
      Squeeze: intsToInput("axes", 1),
      Unsqueeze: intsToInput("axes", 1),
      ReduceSum: intsToInput("axes", 1),
    },
  ],
  [14, { BatchNormalization: batchNormalizationMode }],
  [16, { RoiAlign: older("coordinate_transformation_mode", "output_half_pixel") }],
  [
    18,
    {
      ...reductions(["L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare"]),
      Split: splitCount,
    },
  ],
  [20, { GridSample: gridSampleMode, DFT: dftAxis }],
  [21, { GroupNormalization: groupNormalizationChannels }],
]);
