/** Quantized numbers. */
import { must } from "../../src/util/assert.js";
import { dtypeOfCode, type DType } from "../../src/util/dtype.js";
import { normalizeAxis } from "../../src/util/shape.js";
import { array, stridesOf, type Array64 } from "./array.js";
import type { Call, Op } from "./call.js";
import { roundEven } from "./special.js";

/** Integer ranges: as in the operator's table. */
const ranges: Partial<Record<DType, readonly [number, number]>> = {
  uint8: [0, 255],
  int8: [-128, 127],
  uint16: [0, 65535],
  int16: [-32768, 32767],
  uint4: [0, 15],
  int4: [-8, 7],
};

/** The scale (zero point) that each element of x meets. */
function met(c: Call, v: Array64 | null, x: Array64, absent: number): (flat: number) => number {
  if (!v) return () => absent;
  if (v.data.length === 1) return () => v.data[0]!;
  const axis = normalizeAxis(c.node.int("axis", 1), x.dims.length);
  const stride = stridesOf(x.dims)[axis]!;
  const block = c.node.int("block_size", 0);
  const size = x.dims[axis]!;
  return (flat) => {
    const at = Math.floor(flat / stride) % size;
    if (block === 0) return v.data[at]!;
    const before = Math.floor(flat / (stride * size));
    return v.data[(before * v.dims[axis]! + Math.floor(at / block)) * stride + (flat % stride)]!;
  };
}

const quantizeLinear: Op = (c) => {
  const [x, s, z] = [c.at(0), c.at(1), c.maybe(2)];
  const dtype = z?.dtype ?? dtypeOfCode(c.node.int("output_dtype", 0)) ?? "uint8";
  const [low, high] = must(ranges[dtype], `the range of ${dtype}`);
  const [scale, zero] = [met(c, s, x, 1), met(c, z, x, 0)];
  const q = x.data.map((v, i) => {
    const ratio = v / scale(i);
    return Math.min(Math.max((c.straightThrough ? ratio : roundEven(ratio)) + zero(i), low), high);
  });
  return array(dtype, x.dims, q);
};

const dequantizeLinear: Op = (c) => {
  const [q, s, z] = [c.at(0), c.at(1), c.maybe(2)];
  const [scale, zero] = [met(c, s, q, 1), met(c, z, q, 0)];
  return array(
    dtypeOfCode(c.node.int("output_dtype", 0)) ?? s.dtype,
    q.dims,
    q.data.map((v, i) => (v - zero(i)) * scale(i)),
  );
};

const dynamicQuantizeLinear: Op = (c) => {
  const x = c.at(0);
  const [low, high] = [Math.min(0, ...x.data), Math.max(0, ...x.data)];
  const scale = (low === high ? 1 : high - low) / 255;
  const zero = roundEven(Math.min(Math.max(-low / scale, 0), 255));
  const q = x.data.map((v) => {
    const ratio = v / scale;
    return Math.min(Math.max((c.straightThrough ? ratio : roundEven(ratio)) + zero, 0), 255);
  });
  return [array("uint8", x.dims, q), array(x.dtype, [], [scale]), array("uint8", [], [zero])];
};

export const quantizations: Readonly<Record<string, Op>> = {
  QuantizeLinear: quantizeLinear,
  DequantizeLinear: dequantizeLinear,
  DynamicQuantizeLinear: dynamicQuantizeLinear,
};
