import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import type { DType } from "../../src/util/dtype.js";
import { halfToNumber, numberToHalf } from "../../src/util/half.js";
import { array, type Array64 } from "../reference/array.js";

const typed: Partial<Record<DType, (data: Float64Array) => OrtTensor["data"]>> = {
  float32: (d) => Float32Array.from(d),
  float64: (d) => d,
  int64: (d) => BigInt64Array.from(Array.from(d, BigInt)),
  uint64: (d) => BigUint64Array.from(Array.from(d, BigInt)),
  int32: (d) => Int32Array.from(d),
  uint32: (d) => Uint32Array.from(d),
  int16: (d) => Int16Array.from(d),
  uint16: (d) => Uint16Array.from(d),
  int8: (d) => Int8Array.from(d),
  uint8: (d) => Uint8Array.from(d),
  bool: (d) => Uint8Array.from(d),
  float16: (d) => Uint16Array.from(d, numberToHalf),
};

/** The tensor that the runtime takes for `x`. */
export function toRuntime(x: Array64): OrtTensor {
  const data = typed[x.dtype]?.(x.data);
  if (!data) throw new Error(`the runtime is not fed with ${x.dtype}`);
  return new OrtTensor(x.dtype as OrtTensor.Type, data, x.dims);
}

export function fromRuntime(t: OrtTensor): Array64 {
  const numbers = Float64Array.from(t.data as ArrayLike<number>, Number);
  return array(t.type, t.dims, t.type === "float16" ? numbers.map(halfToNumber) : numbers);
}

/** Opens a serialised model in the runtime, runs it once, and closes it. */
export async function runOnce(
  model: Uint8Array,
  feeds: Readonly<Record<string, Array64>>,
  graphOptimizationLevel: "disabled" | "extended" = "extended",
): Promise<Record<string, Array64>> {
  const session = await InferenceSession.create(model, {
    graphOptimizationLevel,
    intraOpNumThreads: 1,
    logSeverityLevel: 3,
  });
  try {
    const results = await session.run(Object.fromEntries(Object.entries(feeds).map(([k, x]) => [k, toRuntime(x)])));
    return Object.fromEntries(Object.entries(results).map(([k, t]) => [k, fromRuntime(t)]));
  } finally {
    await session.release();
  }
}
