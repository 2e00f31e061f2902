import { tensorType, type Node, type Value } from "../ir/graph.js";
import { check, must } from "../util/assert.js";
import { freshDim, type Dim } from "../util/shape.js";
import { activationsOf, type Activation } from "./activations.js";
import * as e from "./emit.js";
import { Iteration, elementAt } from "./iteration.js";
import type { Decompose, RuleBuilder } from "./rule.js";

/** One direction of a recurrent layer: what its cells read, outside of the Loop. */
export interface Weights {
  readonly hidden: number;
  /** R of each gate, transposed and side by side: [hidden, gates·hidden]. */
  readonly recurrent: Value;
  /** The biases of the recurrence, [gates·hidden]; null where there are none. */
  readonly recurrentBias: Value | null;
  /** Peephole weights, [3·hidden]. */
  readonly peepholes: Value | null;
  readonly activations: readonly Activation[];
}

/** A kind of layer. */
export interface Layer {
  readonly gates: number;
  readonly activations: readonly string[];
  /** Whether it has a cell state beside the hidden state. */
  readonly hasCell: boolean;
  /** Gates whose recurrent bias is added before the Loop, with that of the input. */
  readonly merged: (node: Node) => number;
  /** The next states, from the input's part of the gates (biases included) and the states: [batch, …] each. */
  readonly step: (b: RuleBuilder, node: Node, w: Weights, x: Value, states: readonly Value[]) => readonly Value[];
}

/** `v` in equal parts along its last axis. */
export function parts(b: RuleBuilder, v: Value, count: number, size: number): Value[] {
  if (count === 1) return [v];
  const type = tensorType(v.dtype, [...v.dims.slice(0, -1), size]);
  const sizes = b.int64s(Array<number>(count).fill(size));
  const node = b.node(
    "Split",
    [v, sizes],
    { axis: { type: "int", value: BigInt(v.dims.length - 1) } },
    {},
    { outputs: count, types: Array(count).fill(type) },
  );
  return node.outputs.map((_, i) => node.output(i));
}

/** Slice `d` of a tensor with one slice a direction. */
const ofDirection = (b: RuleBuilder, v: Value, d: number, dims: readonly Dim[]): Value =>
  elementAt(b, v, b.scalar(d, "int64"), tensorType(v.dtype, dims));

/** The layer as Loops over its steps, one for each direction; the products with the inputs are taken before, all at once. */
export const layer =
  (kind: Layer): Decompose =>
  (b, node) => {
    check(node.int("layout", 0) === 0, () => `${node.label}: layout 1 has no derivative here; export it time first`);
    const directions = node.string("direction", "forward") === "bidirectional" ? 2 : 1;
    const hidden = node.int("hidden_size") ?? node.input(2).dims[2];
    check(typeof hidden === "number", () => `${node.label}: its hidden size is not known; give it hidden_size`);
    const activations = activationsOf(node, kind.activations, directions);
    const made = Array.from({ length: directions }, (_, d) => {
      const backwards = node.string("direction", "forward") === "reverse" || d === 1;
      return direction(b, node, kind, hidden, d, backwards, must(activations[d], "activations"));
    });
    const join = (values: readonly Value[], axis: number): Value =>
      e.concat(
        b,
        values.map((v) => e.unsqueeze(b, v, [axis])),
        axis,
      );
    const states = kind.hasCell ? [0, 1] : [0];
    const ys = made.map((m) => m.y);
    return [
      join(ys, 1),
      ...states.map((k) =>
        join(
          made.map((m) => must(m.last[k], "state")),
          0,
        ),
      ),
    ];
  };

function direction(
  b: RuleBuilder,
  node: Node,
  kind: Layer,
  hidden: number,
  d: number,
  backwards: boolean,
  activations: readonly Activation[],
): { y: Value; last: Value[] } {
  const x = node.input(0);
  const rows = kind.gates * hidden;
  const columns = node.input(1).dims[2] ?? freshDim();
  const transposed = (v: Value, size: Dim): Value => e.transpose(b, ofDirection(b, v, d, [rows, size]), [1, 0]);
  const bias = node.inputs[3] ? parts(b, ofDirection(b, node.inputs[3], d, [2 * rows]), 2, rows) : null;
  const weights: Weights = {
    hidden,
    recurrent: transposed(node.input(2), hidden),
    recurrentBias: bias?.[1] ?? null,
    peepholes: node.inputs[7] ? ofDirection(b, node.inputs[7], d, [3 * hidden]) : null,
    activations,
  };
  let inputs = e.matmul(b, x, transposed(node.input(1), columns));
  if (bias?.[0] && bias[1]) {
    inputs = e.add(b, inputs, bias[0]);
    const merged = kind.merged(node) * hidden;
    if (merged === rows) inputs = e.add(b, inputs, bias[1]);
    else {
      const kept = e.slice(b, bias[1], b.int64s([0]), b.int64s([merged]), [0], tensorType(x.dtype, [merged]));
      inputs = e.add(b, inputs, e.pad(b, kept, [b.int64s([0])], [b.int64s([rows - merged])], [0], bias[1].type));
    }
  }
  const lengths = node.inputs[4] ? e.cast(b, node.inputs[4], "int64") : null;
  // Of sequences with lengths of their own, each is turned round by itself.
  const turned = (v: Value): Value => {
    if (!backwards) return v;
    return lengths
      ? b.op("ReverseSequence", [v, lengths], { time_axis: e.int(0), batch_axis: e.int(1) }, { types: [v.type] })
      : e.flip(b, v);
  };
  inputs = turned(inputs);
  const stateType = tensorType(x.dtype, [x.dims[1] ?? 1, hidden]);
  const start = (i: number): Value => {
    const given = node.inputs[i];
    if (given) return ofDirection(b, given, d, [x.dims[1] ?? 1, hidden]);
    const shape = e.concat(b, [e.dimOf(b, x, 1), b.int64s([hidden])], 0);
    return e.expand(b, e.scalarLike(b, 0, x), shape, stateType);
  };
  const loop = new Iteration(b, node.op, x.dims[0] ?? 1);
  const inside = loop.body;
  const states = (kind.hasCell ? [5, 6] : [5]).map((i) => loop.carry(start(i), stateType));
  const now = elementAt(inside, inputs, loop.index, tensorType(x.dtype, [x.dims[1] ?? 1, rows]));
  const next = kind.step(inside, node, weights, now, states);
  const going = lengths && e.unsqueeze(inside, e.less(inside, loop.index, lengths), [1]);
  states.forEach((state, k) => {
    const value = must(next[k], "state");
    loop.setNext(state, going ? e.where(inside, going, value, state) : value);
  });
  const h = must(next[0], "hidden state");
  loop.scan(going ? e.where(inside, going, h, e.scalarLike(inside, 0, h)) : h);
  const { final, scanned } = loop.emit(e.squeeze(b, e.dimOf(b, x, 0), [0]));
  return { y: turned(must(scanned[0], "outputs")), last: final };
}
