import { tensorType, type Graph, type Node, type Type, type Value } from "../ir/graph.js";
import { wiringOf, type Wiring } from "../ops/wiring.js";
import { freshDim, normalizeAxis, sameShape, type Dim } from "../util/shape.js";
import type { Probe } from "./probe.js";
import type { Frame } from "./probe_session.js";

const isUnknown = (d: Dim): boolean => typeof d === "string" && d.startsWith("?");

/**
 * Types the values of the bodies of `node`, which lies in `frame`, and then its outputs; whether that told more of these
 * than was known. A carry keeps the dimensions that no iteration changes.
 */
export async function typeBodies(probe: Probe, node: Node, frame: Frame): Promise<boolean> {
  const wiring = wiringOf(node);
  for (const w of wiring) {
    enter(node, w);
    do await probe.type(frameOf(w.body, frame));
    while (widen(w));
  }
  let improved = false;
  node.outputs.forEach((o, i) => {
    if (!o) return;
    const found = outputType(node, i, wiring);
    if (!found || !tellsMore(found, o.type)) return;
    o.type = found;
    improved = true;
  });
  return improved;
}

/** A body as a frame: its inputs and its captures, of which constants stay constants. */
function frameOf(body: Graph, outer: Frame): Frame {
  const initializers = new Map(body.initializers);
  const inputs = [...body.inputs];
  for (const v of body.captures()) {
    const tensor = outer.initializers.get(v);
    if (tensor) initializers.set(v, tensor);
    else inputs.push(v);
  }
  return { inputs, initializers, nodes: body.nodes };
}

/** Gives the inputs of a body the types of what enters it. */
function enter(node: Node, w: Wiring): void {
  const scalar = (v: Value | undefined, dtype: "int64" | "bool"): void => {
    if (v) v.type = tensorType(dtype, v.shape?.length === 1 ? [1] : []);
  };
  if (node.op === "Loop") {
    scalar(w.body.inputs[0], "int64");
    scalar(w.body.inputs[1], "bool");
  }
  const carries = node.inputs.length - node.int("num_scan_inputs", 0);
  w.enter.forEach(([from, to], i) => {
    to.type = from.type;
    if (node.op !== "Scan" || i < carries || from.type?.kind !== "tensor") return;
    const axis = normalizeAxis(node.ints("scan_input_axes")?.[i - carries] ?? 0, from.dims.length);
    to.type = tensorType(from.dtype, from.shape?.filter((_, k) => k !== axis) ?? null);
  });
}

/** Forgets dimensions of carries that change from one iteration to the next; whether there were any. */
function widen({ back }: Wiring): boolean {
  let widened = false;
  for (const [from, to] of back) {
    const [end, start] = [from.shape, to.shape];
    if (from.type?.kind !== "tensor" || !start) continue;
    const shape =
      end?.length === start.length ? start.map((d, i) => (d === end[i] || isUnknown(d) ? d : freshDim())) : null;
    if (sameShape(shape, start)) continue;
    to.type = tensorType(from.dtype, shape);
    widened = true;
  }
  return widened;
}

/** The type of output `i`, from what leaves the bodies. */
function outputType(node: Node, i: number, wiring: readonly Wiring[]): Type | null {
  const o = node.outputs[i];
  const inner = wiring.flatMap((w) => w.leave.filter(([, to]) => to === o).map(([from]) => from.type));
  if (node.op === "If") return inner.reduce((a, b) => common(a, b));
  const type = inner[0];
  if (node.op !== "Loop" || type?.kind !== "tensor") return null;
  const carries = node.inputs.length - 2;
  const carry = wiring[0]?.body.inputs[2 + i]?.type;
  if (i < carries) return carry ?? null;
  return tensorType(type.dtype, type.shape && [lengthOf(node), ...type.shape]);
}

/** What two types have in common. */
function common(a: Type | null, b: Type | null): Type | null {
  if (a?.kind !== "tensor" || b?.kind !== "tensor" || a.dtype !== b.dtype) return null;
  const [x, y] = [a.shape, b.shape];
  return tensorType(a.dtype, x && y?.length === x.length ? x.map((d, i) => (d === y[i] ? d : freshDim())) : null);
}

const lengths = new WeakMap<Node, Dim>();

/** The number of iterations of a Loop: one dimension for all that it collects. */
function lengthOf(node: Node): Dim {
  let length = lengths.get(node);
  if (length === undefined) lengths.set(node, (length = freshDim()));
  return length;
}

/** Whether `a` says more of dimensions than `b`. */
function tellsMore(a: Type, b: Type | null): boolean {
  if (b?.kind !== "tensor") return true;
  if (a.kind !== "tensor" || !a.shape) return false;
  if (b.shape?.length !== a.shape.length) return true;
  const known = b.shape;
  return a.shape.some((d, i) => !isUnknown(d) && isUnknown(known[i] ?? "?"));
}
