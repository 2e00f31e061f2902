/** Recurrent layers: RNN, LSTM, GRU. */
import { must } from "../../src/util/assert.js";
import { array, full, numbersOf, transpose, view, type Array64 } from "./array.js";
import type { Call, Op } from "./call.js";
import { sigmoid, softplus } from "./special.js";

type Activation = (x: number) => number;

interface Kind {
  /** Defaults; undefined where the function has no such parameter. */
  alpha?: number;
  beta?: number;
  of: (x: number, alpha: number, beta: number) => number;
}

const activations: Record<string, Kind> = {
  affine: { alpha: 1, beta: 0, of: (x, a, b) => a * x + b },
  elu: { alpha: 1, of: (x, a) => (x < 0 ? a * Math.expm1(x) : x) },
  hardsigmoid: { alpha: 0.2, beta: 0.5, of: (x, a, b) => Math.min(1, Math.max(0, a * x + b)) },
  leakyrelu: { alpha: 0.01, of: (x, a) => (x < 0 ? a * x : x) },
  relu: { of: (x) => Math.max(0, x) },
  scaledtanh: { alpha: 1, beta: 1, of: (x, a, b) => a * Math.tanh(b * x) },
  sigmoid: { of: sigmoid },
  softplus: { of: softplus },
  softsign: { of: (x) => x / (1 + Math.abs(x)) },
  tanh: { of: Math.tanh },
  thresholdedrelu: { alpha: 1, of: (x, a) => (x > a ? x : 0) },
};

/** All activations, with the parameters that the attributes list in order for those that have such. */
function activationsOf(c: Call, names: readonly string[]): Activation[] {
  const [alphas, betas] = ["activation_alpha", "activation_beta"].map((name) => {
    const a = c.node.attributes[name];
    return a?.type === "floats" ? [...a.value] : [];
  }) as [number[], number[]];
  const clip = c.node.float("clip", Infinity);
  return names.map((name) => {
    const { of, alpha, beta } = must(activations[name.toLowerCase()], `activation ${name}`);
    const a = alpha === undefined ? 0 : (alphas.shift() ?? alpha);
    const b = beta === undefined ? 0 : (betas.shift() ?? beta);
    return (x) => of(Math.min(Math.max(x, -clip), clip), a, b);
  });
}

/** One direction of a layer: the weights of its gates in rows. */
interface Direction {
  hidden: number;
  /** Σ over the inputs, biases included, for row `r`. */
  fromInput: (r: number, x: Float64Array) => number;
  fromHidden: (r: number, h: Float64Array) => number;
  biasOfHidden: (r: number) => number;
  peephole: (r: number) => number;
  activate: Activation[];
}

/** New hidden and cell state from an input row and the old ones. */
type Cell = (
  c: Call,
  d: Direction,
  x: Float64Array,
  h: Float64Array,
  cell: Float64Array,
) => [Float64Array, Float64Array];

const rnn: Cell = (_, d, x, h, cell) => [
  h.map((_, i) => d.activate[0]!(d.fromInput(i, x) + d.fromHidden(i, h) + d.biasOfHidden(i))),
  cell,
];

/** Gates in the order i, o, f, c; peepholes i, o, f. */
const lstm: Cell = (c, d, x, h, cell) => {
  const n = d.hidden;
  const [f, g, out] = d.activate as [Activation, Activation, Activation];
  const gate = (k: number, i: number): number =>
    d.fromInput(k * n + i, x) + d.fromHidden(k * n + i, h) + d.biasOfHidden(k * n + i);
  const next = cell.map((old, i) => {
    const input = f(gate(0, i) + d.peephole(i) * old);
    const forget = c.node.int("input_forget", 0) === 1 ? 1 - input : f(gate(2, i) + d.peephole(2 * n + i) * old);
    return forget * old + input * g(gate(3, i));
  });
  return [next.map((now, i) => f(gate(1, i) + d.peephole(n + i) * now) * out(now)), next];
};

/** Gates in the order z, r, h. */
const gru: Cell = (c, d, x, h, cell) => {
  const n = d.hidden;
  const [f, g] = d.activate as [Activation, Activation];
  const gate = (k: number, i: number): number =>
    f(d.fromInput(k * n + i, x) + d.fromHidden(k * n + i, h) + d.biasOfHidden(k * n + i));
  const reset = h.map((_, i) => gate(1, i));
  const damped = h.map((v, i) => reset[i]! * v);
  const after = c.node.int("linear_before_reset", 0) !== 0;
  const next = h.map((old, i) => {
    const row = 2 * n + i;
    const hidden = after
      ? reset[i]! * (d.fromHidden(row, h) + d.biasOfHidden(row))
      : d.fromHidden(row, damped) + d.biasOfHidden(row);
    const z = gate(0, i);
    return (1 - z) * g(d.fromInput(row, x) + hidden) + z * old;
  });
  return [next, cell];
};

function direction(c: Call, k: number, gates: number, defaults: readonly string[]): Direction {
  const [w, r, bias, peepholes] = [c.at(1), c.at(2), c.maybe(3), c.maybe(7)];
  const hidden = r.dims[2]!;
  const rows = gates * hidden;
  const inputs = w.dims[2]!;
  const product = (m: Array64, size: number, row: number, v: Float64Array): number => {
    let sum = 0;
    for (let i = 0; i < size; i++) sum += m.data[(k * rows + row) * size + i]! * v[i]!;
    return sum;
  };
  const a = c.node.attributes["activations"];
  const names = a?.type === "strings" ? a.value.map(String) : defaults;
  const listed = activationsOf(c, names);
  const own = listed.length > defaults.length ? listed.slice(k * defaults.length, (k + 1) * defaults.length) : listed;
  return {
    hidden,
    fromInput: (row, x) => product(w, inputs, row, x) + (bias?.data[k * 2 * rows + row] ?? 0),
    fromHidden: (row, h) => product(r, hidden, row, h),
    biasOfHidden: (row) => bias?.data[k * 2 * rows + rows + row] ?? 0,
    peephole: (row) => peepholes?.data[k * 3 * hidden + row] ?? 0,
    activate: own,
  };
}

/** Runs `cell` over the steps, in every direction; steps beyond a sequence's length give zeros and keep the state. */
const recurrent =
  (cell: Cell, gates: number, defaults: readonly string[]): Op =>
  (c) => {
    const batchFirst = c.node.int("layout", 0) === 1;
    const x = batchFirst ? transpose(c.at(0), [1, 0, 2]) : c.at(0);
    const [steps, batch, inputs] = x.dims as [number, number, number];
    const directions = c.at(1).dims[0]!;
    const hidden = c.at(2).dims[2]!;
    const given = c.maybe(4);
    const lengths = given ? numbersOf(given) : Array<number>(batch).fill(steps);
    const y = full(x.dtype, [steps, directions, batch, hidden], 0);
    const [lastH, lastC] = [5, 6].map((i) => {
      const start = c.maybe(i);
      const dims = [directions, batch, hidden];
      if (!start || (i === 6 && gates !== 4)) return full(x.dtype, dims, 0);
      const ordered = batchFirst ? transpose(start, [1, 0, 2]) : start;
      return array(x.dtype, dims, ordered.data.slice());
    }) as [Array64, Array64];
    for (let k = 0; k < directions; k++) {
      const d = direction(c, k, gates, defaults);
      const backwards = c.node.string("direction", "forward") === "reverse" || k === 1;
      for (let n = 0; n < batch; n++) {
        const state = (k * batch + n) * hidden;
        const at = (s: Array64): Float64Array => s.data.subarray(state, state + hidden);
        for (let s = 0; s < lengths[n]!; s++) {
          const t = backwards ? lengths[n]! - 1 - s : s;
          const row = x.data.subarray((t * batch + n) * inputs, (t * batch + n + 1) * inputs);
          const [h, memory] = cell(c, d, row, at(lastH).slice(), at(lastC).slice());
          at(lastH).set(h);
          at(lastC).set(memory);
          y.data.set(h, ((t * directions + k) * batch + n) * hidden);
        }
      }
    }
    const order = (s: Array64): Array64 =>
      batchFirst ? transpose(s, [1, 0, 2]) : view(s, s.dims, [batch * hidden, hidden, 1]);
    return [batchFirst ? transpose(y, [2, 0, 1, 3]) : y, order(lastH), order(lastC)];
  };

export const recurrents: Record<string, Op> = {
  RNN: recurrent(rnn, 1, ["Tanh"]),
  LSTM: recurrent(lstm, 4, ["Sigmoid", "Tanh", "Tanh"]),
  GRU: recurrent(gru, 3, ["Sigmoid", "Tanh"]),
};
