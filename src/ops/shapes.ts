import type { Constants } from "../ir/builder.js";
import type { Value } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { freshDim, sizeOf, type Dim, type Shape } from "../util/shape.js";

/** The constant tensor behind `v`: an initializer, or the output of a Constant node. */
export function constantTensor(constants: Constants, v: Value | null | undefined): Tensor | undefined {
  if (!v) return undefined;
  const known = constants.constantOf(v);
  if (known) return known;
  return v.producer?.op === "Constant" ? v.producer.tensor("value") : undefined;
}

/** The numbers of a constant; undefined where `v` is absent or computed. */
export function constantNumbers(constants: Constants, v: Value | null | undefined): number[] | undefined {
  const tensor = constantTensor(constants, v);
  if (tensor) return tensor.numbers();
  const node = v?.producer;
  if (node?.op !== "Constant") return undefined;
  const one = node.int("value_int") ?? node.float("value_float");
  if (one !== undefined) return [one];
  const many = node.attributes["value_floats"];
  return node.ints("value_ints") ?? (many?.type === "floats" ? [...many.value] : undefined);
}

/** The number of a constant of one element. */
export function constantScalar(constants: Constants, v: Value | null | undefined): number | undefined {
  const tensor = constantTensor(constants, v);
  if (tensor && sizeOf(tensor.dims) !== 1) return undefined;
  const numbers = constantNumbers(constants, v);
  return numbers?.length === 1 ? numbers[0] : undefined;
}

/** The dimensions that an int64 vector of the graph holds, where they can be read off its producers. */
export function shapeValue(constants: Constants, v: Value): Dim[] | undefined {
  const numbers = constantNumbers(constants, v);
  if (numbers) return numbers;
  const node = v.producer;
  if (node?.op === "Identity") return shapeValue(constants, node.input(0));
  if (node?.op === "Shape") {
    const shape = node.input(0).shape;
    return shape ? shape.slice(node.int("start", 0), node.int("end")) : undefined;
  }
  if (node?.op === "Concat") {
    const parts = node.inputs.map((p) => (p ? shapeValue(constants, p) : undefined));
    const known = parts.filter((p) => p !== undefined);
    return known.length === parts.length ? known.flat() : undefined;
  }
  return undefined;
}

/** Dimensions of the value of an int64 vector: read off its producers, or unknown ones of the right number. */
export function shapeOrFresh(constants: Constants, v: Value): Dim[] | null {
  const dims = shapeValue(constants, v);
  if (dims) return dims;
  const rank = v.shape?.[0];
  return typeof rank === "number" ? Array.from({ length: rank }, freshDim) : null;
}

/** The dimensions of `target` (0: as in `from`, unless `allowZero`; -1: what remains) for a Reshape of `from`. */
export function reshapedDims(from: Shape | null, target: readonly Dim[], allowZero = false): Dim[] {
  const dims = target.map((d, i) => (d === 0 && !allowZero ? (from?.[i] ?? freshDim()) : d));
  if (!dims.includes(-1)) return dims;
  const rest = dims.filter((d) => d !== -1);
  return dims.map((d) => (d === -1 ? remainder(from, rest) : d));
}

/** What `from` holds beyond the dimensions `rest`. */
function remainder(from: Shape | null, rest: readonly Dim[]): Dim {
  if (!from) return freshDim();
  const left = [...from];
  let size = 1;
  for (const d of rest) {
    if (typeof d === "number") size *= d;
    else if (left.includes(d)) left.splice(left.indexOf(d), 1);
    else return freshDim();
  }
  const number = left.filter((d) => typeof d === "number").reduce((n, d) => n * d, 1) / size;
  const symbols = left.filter((d) => typeof d === "string");
  if (!Number.isInteger(number) || symbols.some((s) => s.startsWith("?"))) return freshDim();
  const [only] = symbols;
  if (only === undefined) return number;
  if (symbols.length === 1 && number === 1) return only;
  return [...symbols.sort(), ...(number === 1 ? [] : [number])].join("*");
}
