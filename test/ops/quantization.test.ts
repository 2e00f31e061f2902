import { expect } from "chai";
import { vjp } from "../../src/autodiff/reverse.js";
import { int, newModel, tensorType, type Attributes, type Value } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder } from "../../src/ops/builder.js";
import * as e from "../../src/ops/emit.js";
import { rules } from "../../src/ops/index.js";
import type { OpRule } from "../../src/ops/rule.js";
import { serializeModel } from "../../src/serde/index.js";
import type { DType } from "../../src/util/dtype.js";
import { array } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { runOnce } from "../support/ort.js";
import { checkCases } from "./check.js";
import { Inputs, differentiate, type Case, type Shapes } from "./check_derivatives.js";
import { uniform } from "./check_sample.js";

interface Form {
  name: string;
  shape: number[];
  scale: { shape: number[]; values: number[] };
  zero: { dtype: DType; values: number[] };
  attributes?: Attributes;
  /** What lies between: layouts of quantized numbers. */
  between?: (b: ReturnType<typeof newBuilder>, q: Value) => Value;
}

const forms: Form[] = [
  { name: "one scale", shape: [2, 4], scale: { shape: [], values: [0.63] }, zero: { dtype: "int8", values: [3] } },
  {
    name: "a scale for each column",
    shape: [3, 2],
    scale: { shape: [2], values: [0.33, 0.9] },
    zero: { dtype: "uint8", values: [128, 120] },
    attributes: { axis: int(1) },
  },
  {
    name: "a scale for each block",
    shape: [4, 2],
    scale: { shape: [2, 2], values: [0.37, 0.9, 0.41, 0.75] },
    zero: { dtype: "int8", values: [0, 1, -2, 3] },
    attributes: { axis: int(0), block_size: int(2) },
  },
  {
    name: "transposed between",
    shape: [2, 3],
    scale: { shape: [], values: [0.63] },
    zero: { dtype: "int8", values: [0] },
    between: (b, q) => e.transpose(b, q, [1, 0]),
  },
];

/** y = DequantizeLinear(QuantizeLinear(x, s, z), s, z), with values in and out of the range. */
function pair(form: Form, shapes: Shapes): Case {
  const random = uniform(form.name);
  const b = newBuilder("pair");
  const inputs = new Inputs(b, "", shapes);
  const size = form.shape.reduce((n, d) => n * d, 1);
  const x = inputs.add(
    "x",
    array(
      "float64",
      form.shape,
      Array.from({ length: size }, () => 200 * random() - 100),
    ),
  );
  const s = inputs.add(
    "s",
    array("float64", form.scale.shape, form.scale.values),
    tensorType("float64", form.scale.shape),
  );
  const z = b.constant(Tensor.of(form.zero.dtype, form.scale.shape, form.zero.values));
  const attributes = form.attributes ?? {};
  const typed = (v: Value, dtype: DType) => ({ types: [tensorType(dtype, v.shape)] });
  const q = b.op("QuantizeLinear", [x, s, z], attributes, typed(x, form.zero.dtype));
  const moved = form.between?.(b, q) ?? q;
  const y = b.op("DequantizeLinear", [moved, s, z], attributes, typed(moved, "float64"));
  const value = evaluate(b.graph, inputs.feeds, { straightThrough: true }).get(y)!;
  return {
    ...differentiate(`QuantizeLinear, ${form.name}`, inputs, [x, s], [[y, value]], random),
    straightThrough: true,
  };
}

const check = (form: Form): void =>
  checkCases((["static", "named", "erased"] as const).map((shapes) => () => pair(form, shapes)));

describe("fake quantization, straight through", () => {
  for (const form of forms) it(`${form.name}: the derivatives are those without rounding`, () => check(form));

  it("a planted factor is refused", () => {
    const table = rules as unknown as Record<string, OpRule>;
    const right = table.QuantizeLinear!;
    const { vjp: rule } = right;
    if (rule === "zero") throw new Error("QuantizeLinear has a derivative");
    table.QuantizeLinear = {
      ...right,
      vjp: (c, ...rest) => rule(c, ...rest).map((v) => v && e.scale(c.b, v, 1.001)),
    };
    try {
      expect(() => check(forms[0]!)).to.throw(/^QuantizeLinear, one scale/);
    } finally {
      table.QuantizeLinear = right;
    }
  });

  it("in and out of the range, PyTorch's numbers", async () => {
    // torch._fake_quantize_learnable_per_tensor_affine(x, s, z, -128, 127), scale 0.5, zero point 2.
    const b = newBuilder("fake");
    const x = b.input("x", tensorType("float32", [4]));
    const s = b.input("s", tensorType("float32", []));
    const z = b.constant(Tensor.of("int8", [], [2]));
    const q = b.op("QuantizeLinear", [x, s, z], {}, { types: [tensorType("int8", [4])] });
    const y = b.op("DequantizeLinear", [q, s, z], {}, { types: [tensorType("float32", [4])] });
    const c = b.input("c", tensorType("float32", [4]));
    const [dx, ds] = vjp(b, [y], [c], [x, s]);
    b.output(dx!, "dx");
    b.output(ds!, "ds");
    const got = await runOnce(serializeModel(newModel(b.graph)), {
      x: array("float32", [4], [0.6, -1.3, 100, -100]),
      s: array("float32", [], [0.5]),
      c: array("float32", [4], [1, 2, 3, 4]),
    });
    expect(Array.from(got.dx!.data)).to.deep.equal([1, 2, 0, 0]);
    // (round(1.2) − 1.2) + 2(round(−2.6) + 2.6) + 3(127 − 2) + 4(−128 − 2)
    expect(got.ds!.data[0]).to.be.closeTo(-0.2 + 2 * -0.4 + 375 - 520, 1e-4);
  });
});
