/** Operators with bodies. */
import { must } from "../../src/util/assert.js";
import { normalizeAxis } from "../../src/util/shape.js";
import { full, scalar, stridesOf, view, withDims, type Array64 } from "./array.js";
import type { Call, Op } from "./call.js";
import { concat } from "./layout.js";

const body = (c: Call, name: string) => must(c.node.bodies[name], `body ${name}`);

/** Joins one tensor a step along a new axis. */
function stack(parts: readonly Array64[], axis: number): Array64 {
  const rank = parts[0]!.dims.length + 1;
  const at = normalizeAxis(axis, rank);
  return concat(
    parts.map((p) => withDims(p, [...p.dims.slice(0, at), 1, ...p.dims.slice(at)])),
    at,
  );
}

const ifElse: Op = (c) => c.run(body(c, c.at(0).data[0] ? "then_branch" : "else_branch"), []);

const loop: Op = (c) => {
  const trips = c.maybe(0)?.data[0] ?? Infinity;
  let going = (c.maybe(1)?.data[0] ?? 1) !== 0;
  let state = c.inputs.slice(2).map((_, i) => c.at(2 + i));
  const scanned: Array64[][] = [];
  const inner = body(c, "body");
  for (let i = 0; i < trips && going; i++) {
    const out = c.run(inner, [scalar(i, "int64"), scalar(1, "bool"), ...state]);
    going = out[0]!.data[0] !== 0;
    state = out.slice(1, 1 + state.length);
    out.slice(1 + state.length).forEach((x, j) => (scanned[j] ??= []).push(x));
  }
  const scans = inner.outputs.slice(1 + state.length).map((o, j) => {
    const parts = scanned[j] ?? [];
    // Without an iteration the runtime has no size for a dimension that is not static.
    const none = (): number[] => o.dims.map((d) => (typeof d === "number" ? d : 0));
    return parts.length > 0 ? stack(parts, 0) : full(o.dtype, [0, ...none()], 0);
  });
  return [...state, ...scans];
};

const scan: Op = (c) => {
  const inner = body(c, "body");
  const count = must(c.node.int("num_scan_inputs"), "num_scan_inputs");
  const all = c.all();
  let state = all.slice(0, all.length - count);
  const inputs = all.slice(all.length - count);
  const outs = inner.outputs.length - state.length;
  const zeros = (n: number): number[] => Array<number>(n).fill(0);
  const inAxes = c.node.ints("scan_input_axes") ?? zeros(count);
  const inBack = c.node.ints("scan_input_directions") ?? zeros(count);
  const outAxes = c.node.ints("scan_output_axes") ?? zeros(outs);
  const outBack = c.node.ints("scan_output_directions") ?? zeros(outs);
  const axis = inputs.map((x, i) => normalizeAxis(inAxes[i]!, x.dims.length));
  const steps = inputs[0]!.dims[axis[0]!]!;
  const scanned: Array64[][] = Array.from({ length: outs }, () => []);
  for (let t = 0; t < steps; t++) {
    const now = inputs.map((x, i) => {
      const strides = stridesOf(x.dims);
      const at = (inBack[i] ? steps - 1 - t : t) * strides[axis[i]!]!;
      const keep = (_: unknown, j: number): boolean => j !== axis[i];
      return view(x, x.dims.filter(keep), strides.filter(keep), at);
    });
    const out = c.run(inner, [...state, ...now]);
    state = out.slice(0, state.length);
    out.slice(state.length).forEach((x, j) => (outBack[j] ? scanned[j]!.unshift(x) : scanned[j]!.push(x)));
  }
  return [...state, ...scanned.map((parts, j) => stack(parts, outAxes[j]!))];
};

export const control: Record<string, Op> = { If: ifElse, Loop: loop, Scan: scan };
