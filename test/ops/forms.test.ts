import { float, int, ints, string } from "../../src/ir/graph.js";
import { rules } from "../../src/ops/index.js";
import type { OpName } from "../../src/ops/names.js";
import type { OpRule, Sample, SampleInput } from "../../src/ops/rule.js";
import type { DType } from "../../src/util/dtype.js";
import { checkRule } from "./check.js";
import { checkInRuntime } from "./check_runtime.js";

const x = (...shape: number[]): SampleInput => ({ shape });
const integers = (values: readonly number[], shape = [values.length], dtype: DType = "int64"): SampleInput => ({
  shape,
  dtype,
  values,
});
const constant = (values: readonly number[], shape = [values.length], dtype: DType = "int64"): SampleInput => ({
  ...integers(values, shape, dtype),
  constant: true,
});
const number = (value: number): SampleInput => ({ shape: [], values: [value], constant: true });
const keep = { keepdims: int(0) };

/** Forms of operators beyond the samples of their rules: other ranks, dtypes, axes, broadcasts, arguments known only at run time. */
const forms: Partial<Record<OpName, Sample[]>> = {
  Gather: [
    { name: "from a vector", inputs: [x(4), integers([2], [])] },
    {
      name: "a matrix of int32",
      inputs: [x(2, 4, 3), integers([0, 1, -1, 3], [2, 1, 2], "int32")],
      attributes: { axis: int(1) },
    },
    { name: "four axes", inputs: [x(2, 2, 3, 2), integers([0, -1])], attributes: { axis: int(-2) } },
  ],
  GatherElements: [
    { name: "int32", inputs: [x(2, 3), integers([0, 2, -1, 0], [2, 2], "int32")], attributes: { axis: int(1) } },
    { name: "repeated, part of the other axis", inputs: [x(3, 3), integers([0, 0, -1, 0], [2, 2])] },
  ],
  GatherND: [
    { name: "elements", inputs: [x(2, 3), integers([0, 1, 1, -1], [2, 2])] },
    {
      name: "two batch axes",
      inputs: [x(2, 2, 3), integers([1, -1, 0, 2], [2, 2, 1])],
      attributes: { batch_dims: int(2) },
    },
  ],
  ScatterElements: [
    {
      name: "int32",
      inputs: [x(2, 3), integers([0, -1, 2, 1], [2, 2], "int32"), x(2, 2)],
      attributes: { axis: int(-1) },
    },
  ],
  Slice: [
    {
      name: "int32, two axes",
      inputs: [
        x(3, 4),
        ...[
          [1, 0],
          [3, 2],
          [-1, 0],
          [1, 1],
        ].map((v) => constant(v, [2], "int32")),
      ],
    },
    { name: "backwards inside", inputs: [x(5, 2), ...[3, 0, 0, -1].map((v) => constant([v]))] },
    { name: "all at run time", inputs: [x(6, 2), ...[1, 5, 0, 2].map((v) => integers([v]))] },
    { name: "beyond both ends", inputs: [x(3, 2), ...[-100, 100, 0].map((v) => constant([v]))] },
    { name: "nothing", inputs: [x(3, 2), ...[2, 1, 0].map((v) => constant([v]))] },
  ],
  Concat: [
    { name: "vectors", inputs: [x(2), x(3)], attributes: { axis: int(0) } },
    { name: "four", inputs: [x(2, 3), x(2, 3), x(2, 1), x(2, 3)], attributes: { axis: int(1) } },
  ],
  Split: [
    {
      name: "four, of a middle axis",
      inputs: [x(2, 4, 2)],
      attributes: { axis: int(-2), num_outputs: int(4) },
      outputs: 4,
    },
  ],
  Transpose: [
    { name: "reversed by default", inputs: [x(2, 3, 4)] },
    { name: "heads", inputs: [x(2, 3, 2, 2)], attributes: { perm: ints([0, 2, 1, 3]) } },
  ],
  Expand: [
    { name: "of a scalar", inputs: [x(), constant([2, 2])] },
    { name: "to fewer axes", inputs: [x(2, 3), constant([3])] },
    { name: "at run time", inputs: [x(3, 1), integers([2, 1, 4])] },
  ],
  Reshape: [
    { name: "zero and minus one at run time", inputs: [x(2, 3, 4), integers([0, -1])] },
    { name: "to more axes", inputs: [x(2, 6), constant([0, 3, -1])] },
  ],
  Flatten: [
    { name: "everything", inputs: [x(2, 3)], attributes: { axis: int(0) } },
    { name: "from the end", inputs: [x(2, 3, 2)], attributes: { axis: int(-1) } },
  ],
  Unsqueeze: [{ name: "unsorted axes", inputs: [x(2, 3), constant([3, 0])] }],
  ReduceSum: [
    { name: "axes at run time", inputs: [x(2, 3, 2), integers([0, 2])], attributes: keep },
    { name: "of a scalar", inputs: [x()] },
  ],
  ReduceMean: [{ name: "axes at run time", inputs: [x(2, 3, 2), integers([1, -1])], attributes: keep }],
  ReduceMax: [
    { name: "axes at run time", inputs: [{ shape: [2, 3, 2], distinct: 0.01 }, integers([1])], attributes: keep },
  ],
  ReduceL2: [{ name: "a middle axis", inputs: [x(2, 3, 2), constant([1])], attributes: keep }],
  ReduceProd: [{ name: "two axes", inputs: [x(2, 3, 2), constant([0, 1])], attributes: keep }],
  ReduceLogSumExp: [{ name: "two axes", inputs: [x(2, 3, 2), constant([0, 1])], attributes: keep }],
  Softmax: [{ name: "of four axes", inputs: [x(2, 2, 2, 3)], attributes: { axis: int(1) } }],
  LogSoftmax: [{ name: "of four axes", inputs: [x(2, 2, 2, 3)], attributes: { axis: int(1) } }],
  LayerNormalization: [
    { name: "every axis", inputs: [x(2, 3), x(2, 3), x(2, 3)], attributes: { axis: int(0) } },
    { name: "two outputs", inputs: [x(2, 4), x(4)], outputs: 2 },
    { name: "a scale of three axes", inputs: [x(2, 3, 4), x(1, 1, 4), x(1, 1, 4)] },
  ],
  MatMul: [
    { name: "batches that broadcast both ways", inputs: [x(1, 2, 2, 3), x(2, 1, 3, 2)] },
    { name: "a matrix on the left of a batch", inputs: [x(2, 3), x(4, 3, 2)] },
    { name: "a vector on the left of batches", inputs: [x(3), x(2, 2, 3, 4)] },
    { name: "one element", inputs: [x(1, 1), x(1, 1)] },
    { name: "five axes by two", inputs: [x(2, 1, 2, 2, 3), x(3, 2)] },
  ],
  Gemm: [
    { name: "a whole C", inputs: [x(2, 3), x(3, 4), x(2, 4)] },
    { name: "C of one element", inputs: [x(2, 3), x(3, 4), x(1, 1)] },
    { name: "one row, one column", inputs: [x(1, 3), x(3, 1), x(1)], attributes: { alpha: float(2) } },
  ],
  Pad: [
    { name: "four axes", inputs: [x(1, 2, 2, 2), constant([0, 0, 1, 1, 0, 0, 1, 0])] },
    { name: "edges, far", inputs: [x(2, 2), constant([3, 0, 0, 4])], attributes: { mode: string("edge") } },
    { name: "edges at run time", inputs: [x(2, 2), integers([1, 0, 0, 2])], attributes: { mode: string("edge") } },
  ],
  Where: [
    { name: "a scalar condition", inputs: [integers([1], [], "bool"), x(2, 3), x(3)] },
    { name: "three ways of broadcasting", inputs: [integers([1, 0], [2, 1, 1], "bool"), x(3, 1), x(2)] },
  ],
  Pow: [
    { name: "negative bases, a negative exponent", inputs: [{ shape: [3], values: [-1.2, 0.5, 2] }, number(-2)] },
    { name: "an int32 exponent", inputs: [x(2, 2), constant([3], [], "int32")] },
    {
      name: "constant exponents",
      inputs: [
        { shape: [3], range: [0.5, 1.5] },
        { shape: [3], values: [0.5, 2, 3], constant: true },
      ],
    },
  ],
  ConvTranspose: [
    {
      name: "three axes, groups, dilated, strided",
      inputs: [x(1, 2, 2, 1, 2), x(2, 1, 2, 1, 2), x(2)],
      attributes: {
        group: int(2),
        dilations: ints([2, 1, 1]),
        strides: ints([1, 2, 2]),
        pads: ints([1, 0, 0, 0, 0, 1]),
      },
    },
    {
      name: "SAME_LOWER",
      inputs: [x(1, 2, 3), x(2, 2, 3)],
      attributes: { auto_pad: string("SAME_LOWER"), kernel_shape: ints([3]), strides: ints([2]) },
    },
    {
      name: "a shape of the output",
      inputs: [{ ...x(1, 1, 3, 2), fixed: [2, 3] }, x(1, 2, 3, 2)],
      attributes: { output_shape: ints([6, 5]), kernel_shape: ints([3, 2]), strides: ints([2, 2]) },
    },
  ],
  Conv: [
    {
      name: "three axes, groups, dilated, strided",
      inputs: [x(1, 2, 4, 3, 3), x(4, 1, 2, 2, 2), x(4)],
      attributes: {
        group: int(2),
        dilations: ints([2, 1, 1]),
        strides: ints([1, 1, 2]),
        pads: ints([1, 0, 0, 0, 0, 1]),
      },
    },
    {
      name: "SAME_UPPER, one axis, in groups",
      inputs: [x(2, 2, 5), x(2, 1, 2)],
      attributes: { group: int(2), kernel_shape: ints([2]), auto_pad: string("SAME_UPPER") },
    },
  ],
  MaxPool: [
    {
      name: "three axes, with indices",
      inputs: [{ shape: [1, 1, 3, 2, 4], distinct: 0.01 }],
      attributes: { kernel_shape: ints([2, 2, 2]), strides: ints([1, 1, 2]), pads: ints([0, 0, 1, 0, 1, 0]) },
      outputs: 2,
    },
  ],
  AveragePool: [
    {
      name: "three axes, ceil mode, the padding counts",
      inputs: [x(1, 1, 3, 2, 4)],
      attributes: {
        kernel_shape: ints([2, 2, 3]),
        strides: ints([1, 1, 2]),
        pads: ints([1, 0, 1, 0, 1, 0]),
        ceil_mode: int(1),
        count_include_pad: int(1),
      },
    },
  ],
  LpPool: [
    {
      name: "three axes, dilated",
      inputs: [{ shape: [1, 1, 3, 2, 4], range: [0.2, 1.5] }],
      attributes: { kernel_shape: ints([2, 1, 2]), dilations: ints([2, 1, 2]), p: int(3) },
    },
  ],
  MaxUnpool: [
    {
      name: "one axis, overlapping windows, a shape of the output",
      inputs: [x(1, 1, 3), integers([0, 3, 5], [1, 1, 3]), constant([1, 1, 7])],
      attributes: { kernel_shape: ints([3]), strides: ints([2]) },
    },
  ],
  Col2Im: [
    {
      name: "dilated, padded",
      inputs: [x(1, 4, 2), constant([3, 3]), constant([2, 2])],
      attributes: { dilations: ints([2, 2]), pads: ints([0, 1, 0, 0]), strides: ints([1, 1]) },
    },
  ],
  LSTM: [
    {
      name: "both directions, lengths, states, peepholes, clipped",
      inputs: [
        ...[x(3, 2, 2), x(2, 8, 2), x(2, 8, 2), x(2, 16), integers([2, 3], [2], "int32")],
        ...[x(2, 2, 2), x(2, 2, 2), x(2, 6)],
      ],
      attributes: { hidden_size: int(2), direction: string("bidirectional"), clip: float(5) },
      outputs: 3,
    },
  ],
  GRU: [
    {
      name: "both directions, lengths, states, linear before reset",
      inputs: [x(3, 2, 2), x(2, 6, 2), x(2, 6, 2), x(2, 12), integers([3, 1], [2], "int32"), x(2, 2, 2)],
      attributes: { hidden_size: int(2), direction: string("bidirectional"), linear_before_reset: int(1) },
      outputs: 2,
    },
  ],
  Resize: [
    ...["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"].map((nearest) => ({
      name: `nearest, ${nearest}`,
      inputs: [x(1, 1, 3, 2), null, null, constant([1, 1, 4, 5])],
      attributes: { nearest_mode: string(nearest) },
    })),
    ...["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "asymmetric", "align_corners"].map((mode) => ({
      name: `cubic, ${mode}`,
      inputs: [x(1, 1, 4, 3), null, null, constant([1, 1, 3, 5])],
      attributes: { mode: string("cubic"), coordinate_transformation_mode: string(mode) },
    })),
    {
      name: "linear, three axes",
      inputs: [x(1, 1, 2, 3, 2), null, null, constant([1, 1, 3, 2, 4])],
      attributes: { mode: string("linear") },
    },
    {
      name: "the aspect kept, not smaller",
      inputs: [x(1, 1, 2, 4), null, null, constant([4, 6])],
      attributes: { mode: string("linear"), keep_aspect_ratio_policy: string("not_smaller"), axes: ints([2, 3]) },
    },
  ],
  Trilu: [{ name: "a batch, lower", inputs: [x(2, 3, 3), constant([1], [])], attributes: { upper: int(0) } }],
  TopK: [{ name: "k at run time", inputs: [{ shape: [2, 4], distinct: 0.05 }, integers([2])], outputs: 2 }],
  CumSum: [{ name: "an int32 axis from the end", inputs: [x(2, 3), constant([-1], [], "int32")] }],
  OneHot: [
    {
      name: "an inner axis, one index outside",
      inputs: [integers([0, 1, 2, 5], [2, 2]), constant([3], []), x(2)],
      attributes: { axis: int(1) },
    },
  ],
  Mean: [{ name: "three, broadcast", inputs: [x(2, 1), x(3), x()] }],
  Sum: [{ name: "three, broadcast", inputs: [x(2, 1), x(3), x()] }],
  Einsum: [
    { name: "one against many", inputs: [x(1, 3), x(2, 3)], attributes: { equation: string("...i,...i->...") } },
    { name: "spaces", inputs: [x(2, 3), x(3, 2)], attributes: { equation: string("i j , j k -> k i") } },
    { name: "traces of a batch", inputs: [x(2, 3, 3)], attributes: { equation: string("bii->b") } },
  ],
};

describe("further forms of operators", () => {
  for (const [op, samples] of Object.entries(forms)) {
    const rule: OpRule = { ...rules[op as OpName], samples };
    it(op, async () => {
      checkRule(rule);
      await checkInRuntime(rule);
    });
  }
});
