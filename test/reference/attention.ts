/** Attention and rotary embeddings, as of ONNX's opsets 23 and 24. */
import { normalizeAxis, sizeOf } from "../../src/util/shape.js";
import { array, broadcastTo, numbersOf, transpose, withDims, type Array64 } from "./array.js";
import type { Op } from "./call.js";

/** [batch, length, heads·size] as [batch, heads, length, size]. */
export function heads(x: Array64, count: number): Array64 {
  const [batch, length, hidden] = x.dims as [number, number, number];
  return transpose(withDims(x, [batch, length, count, hidden / count]), [0, 2, 1, 3]);
}

/** [batch, heads, length, size] as [batch, length, heads·size]. */
export function joined(x: Array64): Array64 {
  const [batch, count, length, size] = x.dims as [number, number, number, number];
  return withDims(transpose(x, [0, 2, 1, 3]), [batch, length, count * size]);
}

/** `after` behind `before` along the axis of positions. */
export function follow(before: Array64 | null, after: Array64): Array64 {
  if (!before) return after;
  const [batch, count, length, size] = after.dims as [number, number, number, number];
  const past = before.dims[2]!;
  const data: number[] = [];
  for (let i = 0; i < batch * count; i++) {
    data.push(...before.data.subarray(i * past * size, (i + 1) * past * size));
    data.push(...after.data.subarray(i * length * size, (i + 1) * length * size));
  }
  return array(after.dtype, [batch, count, past + length, size], data);
}

export interface Scores {
  q: Array64;
  k: Array64;
  v: Array64;
  scale: number;
  softcap?: number;
  /** Added to the score of query i and key j, of batch element b and head h. */
  bias: (b: number, h: number, i: number, j: number) => number;
}

/** softmax(scale·QKᵀ + bias) V for [batch, heads, length, size]; also the scores at each stage. */
export function attend({ q, k, v, scale, softcap = 0, bias }: Scores): { y: Array64; stages: Array64[] } {
  const [batch, count, length, size] = q.dims as [number, number, number, number];
  const [groups, keys] = k.dims.slice(1) as [number, number];
  const width = v.dims[3]!;
  const y = new Float64Array(batch * count * length * width);
  const stages = [0, 1, 2, 3].map(() => new Float64Array(batch * count * length * keys));
  for (let b = 0; b < batch; b++)
    for (let h = 0; h < count; h++) {
      const own = b * groups + Math.floor((h * groups) / count);
      for (let i = 0; i < length; i++) {
        const row = (b * count + h) * length + i;
        const biases = Array.from({ length: keys }, (_, j) => bias(b, h, i, j));
        const scores = biases.map((shift, j) => {
          let dot = 0;
          for (let d = 0; d < size; d++) dot += q.data[row * size + d]! * k.data[(own * keys + j) * size + d]!;
          const raw = dot * scale;
          const capped = softcap > 0 ? softcap * Math.tanh(raw / softcap) : raw;
          stages[0]![row * keys + j] = raw;
          stages[1]![row * keys + j] = capped;
          stages[2]![row * keys + j] = capped + shift;
          return capped + shift;
        });
        const top = Math.max(...scores);
        const masked = biases.every((shift) => shift === -Infinity);
        const weights = scores.map((s) => (masked ? 0 : Math.exp(s - top)));
        const total = weights.reduce((s, w) => s + w, 0) || 1;
        weights.forEach((w, j) => {
          stages[3]![row * keys + j] = w / total;
          for (let d = 0; d < width; d++) y[row * width + d]! += (w / total) * v.data[(own * keys + j) * width + d]!;
        });
      }
    }
  return {
    y: array(q.dtype, [batch, count, length, width], y),
    stages: stages.map((s) => array(q.dtype, [batch, count, length, keys], s)),
  };
}

const attention: Op = (c) => {
  const three = c.at(0).dims.length === 3;
  const [queryHeads, keyHeads] = [c.node.int("q_num_heads", 1), c.node.int("kv_num_heads", 1)];
  const split = (x: Array64, count: number): Array64 => (three ? heads(x, count) : x);
  const q = split(c.at(0), queryHeads);
  const [pastKey, pastValue, lengths] = [c.maybe(4), c.maybe(5), c.maybe(6)];
  const k = follow(pastKey, split(c.at(1), keyHeads));
  const v = follow(pastValue, split(c.at(2), keyHeads));
  const [batch, count, length, size] = q.dims as [number, number, number, number];
  const keys = k.dims[2]!;
  const mask = c.maybe(3);
  const own = mask?.dims.at(-1) ?? keys;
  const whole = mask && broadcastTo(mask, [batch, count, length, own]);
  const causal = c.node.int("is_causal", 0) === 1;
  const bias = (b: number, h: number, i: number, j: number): number => {
    const offset = lengths ? lengths.data[b]! - length : (pastKey?.dims[2] ?? 0);
    if ((causal && j > i + offset) || (lengths && j >= lengths.data[b]!)) return -Infinity;
    if (!whole) return 0;
    const m = j < own ? whole.data[((b * count + h) * length + i) * own + j]! : null;
    if (m === null) return -Infinity;
    return whole.dtype === "bool" ? (m === 0 ? -Infinity : 0) : m;
  };
  const scale = c.node.float("scale") ?? 1 / Math.sqrt(size);
  const { y, stages } = attend({ q, k, v, scale, softcap: c.node.float("softcap", 0), bias });
  return [three ? joined(y) : y, k, v, stages[c.node.int("qk_matmul_output_mode", 0)]!];
};

export interface Rotation {
  interleaved: boolean;
  /** How many elements of a head are turned. */
  rotated: number;
  /** Cosine and sine of pair p at position i of batch element b. */
  at: (b: number, i: number, p: number) => readonly [number, number];
}

/** [batch, heads, length, size], its pairs of elements turned. */
export function rotate(x: Array64, { interleaved, rotated, at }: Rotation): Array64 {
  const [, count, length, size] = x.dims as [number, number, number, number];
  const half = rotated / 2;
  const y = x.data.slice();
  for (let row = 0; row < x.data.length / size; row++) {
    const [b, i] = [Math.floor(row / (count * length)), row % length];
    for (let p = 0; p < half; p++) {
      const [first, second] = interleaved ? [2 * p, 2 * p + 1] : [p, p + half];
      const [cos, sin] = at(b, i, p);
      const [u, v] = [x.data[row * size + first]!, x.data[row * size + second]!];
      y[row * size + first] = cos * u - sin * v;
      y[row * size + second] = sin * u + cos * v;
    }
  }
  return array(x.dtype, x.dims, y);
}

const rotaryEmbedding: Op = (c) => {
  const [x, cos, sin, positions] = [c.at(0), c.at(1), c.at(2), c.maybe(3)];
  const three = x.dims.length === 3;
  const split = three ? heads(x, c.node.int("num_heads", 1)) : x;
  const [length, size] = split.dims.slice(2) as [number, number];
  const rotated = c.node.int("rotary_embedding_dim", 0) || size;
  const y = rotate(split, {
    interleaved: c.node.int("interleaved", 0) === 1,
    rotated,
    at: (b, i, p) => {
      const row = positions ? positions.data[b * length + i]! : b * length + i;
      return [cos.data[(row * rotated) / 2 + p]!, sin.data[(row * rotated) / 2 + p]!];
    },
  });
  return three ? joined(y) : y;
};

const tensorScatter: Op = (c) => {
  const [past, update, starts] = [c.at(0), c.at(1), c.maybe(2)];
  const axis = normalizeAxis(c.node.int("axis", -2), past.dims.length);
  const [size, count] = [past.dims[axis]!, update.dims[axis]!];
  const inner = sizeOf(past.dims.slice(axis + 1));
  const y = past.data.slice();
  const perBatch = sizeOf(past.dims.slice(1, axis));
  for (let outer = 0; outer < past.dims[0]! * perBatch; outer++)
    for (let i = 0; i < count; i++) {
      const start = starts ? numbersOf(starts)[Math.floor(outer / perBatch)]! : 0;
      const at = c.node.string("mode", "linear") === "circular" ? (start + i) % size : start + i;
      for (let j = 0; j < inner; j++)
        y[(outer * size + at) * inner + j] = update.data[(outer * count + i) * inner + j]!;
    }
  return array(past.dtype, past.dims, y);
};

/** The recurrence as ONNX's text has it, one position and one head of queries after the other. */
export const linearAttention: Op = (c) => {
  const [q, k, v, past, decay, beta] = [c.at(0), c.at(1), c.at(2), c.maybe(3), c.maybe(4), c.maybe(5)];
  const [queries, count] = [c.node.int("q_num_heads", 1), c.node.int("kv_num_heads", 1)];
  const name = c.node.string("update_rule", "gated_delta");
  const [batch, length] = q.dims as [number, number];
  const [dk, dv] = [k.dims[2]! / count, v.dims[2]! / count];
  const scale = c.node.float("scale", 0) || 1 / Math.sqrt(dk);
  const state = past ? past.data.slice() : new Float64Array(batch * count * dk * dv);
  const y = new Float64Array(batch * length * queries * dv);
  const gates = decay ? decay.dims[2]! / count : 0;
  const rates = beta?.dims[2] ?? 0;
  for (let b = 0; b < batch; b++)
    for (let t = 0; t < length; t++) {
      const row = b * length + t;
      for (let h = 0; h < count; h++) {
        const at = (i: number, j: number): number => ((b * count + h) * dk + i) * dv + j;
        const key = (i: number): number => k.data[(row * count + h) * dk + i]!;
        if (name.startsWith("gated"))
          for (let i = 0; i < dk; i++)
            for (let j = 0; j < dv; j++)
              state[at(i, j)]! *= Math.exp(decay!.data[(row * count + h) * gates + (gates === 1 ? 0 : i)]!);
        for (let j = 0; j < dv; j++) {
          let update = v.data[(row * count + h) * dv + j]!;
          if (name.endsWith("delta")) {
            for (let i = 0; i < dk; i++) update -= state[at(i, j)]! * key(i);
            update *= beta!.data[row * rates + (rates === 1 ? 0 : h)]!;
          }
          for (let i = 0; i < dk; i++) state[at(i, j)]! += key(i) * update;
        }
      }
      for (let h = 0; h < queries; h++) {
        const own = b * count + Math.floor((h * count) / queries);
        for (let i = 0; i < dk; i++)
          for (let j = 0; j < dv; j++)
            y[(row * queries + h) * dv + j]! +=
              scale * q.data[(row * queries + h) * dk + i]! * state[(own * dk + i) * dv + j]!;
      }
    }
  return [
    array(q.dtype, [batch, length, queries * dv], y),
    array(past?.dtype ?? q.dtype, [batch, count, dk, dv], state),
  ];
};

/** Each output is a sum over the last elements of its channel, those before the first of which are the state or zeros. */
export const causalConvWithState: Op = (c) => {
  const [x, w, bias, past] = [c.at(0), c.at(1), c.maybe(2), c.maybe(3)];
  const [batch, channels, length] = x.dims as [number, number, number];
  const size = w.dims[2]!;
  const [y, present] = [new Float64Array(x.data.length), new Float64Array(batch * channels * (size - 1))];
  for (let row = 0; row < batch * channels; row++) {
    const channel = row % channels;
    const at = (t: number): number =>
      t >= 0 ? x.data[row * length + t]! : past ? past.data[(row + 1) * (size - 1) + t]! : 0;
    for (let t = 0; t < length; t++) {
      let sum = bias ? bias.data[channel]! : 0;
      for (let i = 0; i < size; i++) sum += w.data[channel * size + i]! * at(t - size + 1 + i);
      y[row * length + t] = c.node.string("activation", "none") === "none" ? sum : sum / (1 + Math.exp(-sum));
    }
    for (let i = 0; i < size - 1; i++) present[row * (size - 1) + i] = at(length - size + 1 + i);
  }
  return [array(x.dtype, x.dims, y), array(x.dtype, [batch, channels, size - 1], present)];
};

export const attentions: Readonly<Record<string, Op>> = {
  Attention: attention,
  CausalConvWithState: causalConvWithState,
  LinearAttention: linearAttention,
  RotaryEmbedding: rotaryEmbedding,
  TensorScatter: tensorScatter,
};
