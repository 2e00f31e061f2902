import { readFileSync } from "node:fs";
import { join } from "node:path";
import { jvp } from "../../src/autodiff/forward.js";
import { vjp } from "../../src/autodiff/reverse.js";
import { float, int, ints, Node, string, tensorType, Value, type Attributes, type Graph } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { newBuilder, ruleOf } from "../../src/ops/builder.js";
import { isFloat, type DType } from "../../src/util/dtype.js";
import { array, type Array64 } from "../reference/array.js";
import { evaluate } from "../reference/evaluate.js";
import { root } from "./root.js";

type Num = number | "Infinity";

/** A point at a kink, a tie or an edge, and PyTorch's gradients there; `scripts/convention_fixtures.py`. */
export interface ConventionPoint {
  op: string;
  name: string;
  /** What PyTorch calls the same. */
  torch: string;
  inputs: readonly { dtype: DType; dims: readonly number[]; data: readonly number[]; constant?: true }[];
  attributes?: {
    float?: Record<string, number>;
    int?: Record<string, number>;
    ints?: Record<string, number[]>;
    string?: Record<string, string>;
  };
  cotangent?: readonly number[];
  /** By each input that is not constant. */
  gradients: readonly (readonly Num[])[];
  /** The second derivative is infinite there, as it should be. */
  singular?: true;
}

export const conventions = JSON.parse(readFileSync(join(root, "test", "fixtures", "conventions.json"), "utf8")) as {
  torch: string;
  points: ConventionPoint[];
};

const mapped = <T, A>(of: Record<string, T> | undefined, make: (x: T) => A): [string, A][] =>
  Object.entries(of ?? {}).map(([name, x]) => [name, make(x)]);

const attributesOf = ({ attributes: a }: ConventionPoint): Attributes =>
  Object.fromEntries([
    ...mapped(a?.float, float),
    ...mapped(a?.int, int),
    ...mapped(a?.ints, ints),
    ...mapped(a?.string, string),
  ]);

/** The operator's value, by the reference evaluator. */
function valueOf({ op }: ConventionPoint, inputs: readonly Array64[], attributes: Attributes): Array64 {
  const b = newBuilder(op);
  const feeds = new Map(inputs.map((x, i) => [b.input(`x${i}`, tensorType(x.dtype, x.dims)), x]));
  const y = new Value("y", null);
  b.graph.nodes.push(new Node(op, [...feeds.keys()], [y], attributes));
  return evaluate(b.graph, feeds).get(y)!;
}

/** Gradients `g…` and, unless these are singular, a Hessian-vector product `h…` at the point: a graph, its opset and feeds. */
export function emitPoint(
  point: ConventionPoint,
  dtype: DType,
): { graph: Graph; opset: number; feeds: Record<string, Array64> } {
  const b = newBuilder(point.op);
  const feeds: Record<string, Array64> = {};
  const feed = (name: string, x: Array64): Value => {
    feeds[name] = x;
    return b.input(name, tensorType(x.dtype, x.dims));
  };
  const given = point.inputs.map((x) => array(isFloat(x.dtype) ? dtype : x.dtype, x.dims, x.data));
  const isFed = (i: number): boolean => !point.inputs[i]!.constant;
  const inputs = given.map((x, i) => (isFed(i) ? feed(`x${i}`, x) : b.constant(Tensor.of(x.dtype, x.dims, x.data))));
  const xs = inputs.filter((_, i) => isFed(i));
  const attributes = attributesOf(point);
  const value = valueOf(point, given, attributes);
  const type = tensorType(value.dtype, value.dims);
  const node = b.emit(point.op, inputs, [true], attributes, {}, { types: [type], domain: "" });
  const ones = array(dtype, value.dims, point.cotangent ?? value.data.map(() => 1));
  const gradients = vjp(b, [node.output()], [feed("c", ones)], xs);
  const like = (v: Value): Array64 =>
    array(
      dtype,
      v.dims.map(Number),
      feeds[v.name]!.data.map(() => 1),
    );
  const tangents = new Map(xs.map((x) => [x, feed(`v_${x.name}`, like(x))]));
  const hvp = point.singular ? [] : jvp(b, gradients, tangents);
  gradients.forEach((g, i) => g && b.output(g, `g${i}`));
  hvp.forEach((h, i) => h && b.output(h, `h${i}`));
  return { graph: b.graph, opset: Math.max(21, ruleOf(node)?.since ?? 21), feeds };
}

/** Our gradients at the point, by each input that is not constant; zeros where there is no derivative. */
export function gradientsAt(point: ConventionPoint, outputs: Readonly<Record<string, Array64>>): Float64Array[] {
  const fed = point.inputs.filter((x) => !x.constant);
  return fed.map((x, i) => outputs[`g${i}`]?.data ?? new Float64Array(x.data.length));
}
