/** Values for the inputs of a rule's sample, drawn from a generator that the operator and the sample seed. */
import type { OpRule, Sample, SampleInput } from "../../src/ops/rule.js";
import { isFloat, type DType } from "../../src/util/dtype.js";
import { sizeOf } from "../../src/util/shape.js";
import { array, type Array64 } from "../reference/array.js";

/** Uniform numbers in [0, 1). */
export type Uniform = () => number;

/** mulberry32, seeded by a text. */
export function uniform(text: string): Uniform {
  let state = 0x9e3779b9;
  for (const c of text) state = Math.imul(state ^ c.charCodeAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** `op, sample "name"`: how messages name a sample. */
export function labelOf(rule: OpRule, sample: Sample): string {
  return `${rule.op}, sample "${sample.name ?? `#${rule.samples.indexOf(sample)}`}"`;
}

/** Numbers in (−1, 1), none close to zero. */
export const direction = (random: Uniform, x: Array64): Array64 =>
  array(
    x.dtype,
    x.dims,
    x.data.map(() => (random() < 0.5 ? -1 : 1) * (0.25 + 0.75 * random())),
  );

/** Values for the inputs of a sample; those without a dtype are of `float`. */
export function drawInputs(inputs: readonly (SampleInput | null)[], float: DType, random: Uniform): (Array64 | null)[] {
  return inputs.map((input, i) => input && draw(input, i, input.dtype ?? float, random));
}

function draw(input: SampleInput, position: number, dtype: DType, random: Uniform): Array64 {
  if (input.values) return array(dtype, input.shape, input.values);
  const [low, high] = input.range ?? [dtype === "bool" ? 0 : -1, 1];
  const values: number[] = [];
  const fits = (x: number): boolean =>
    !input.avoid?.points.some((p) => Math.abs(x - p) < (input.avoid?.distance ?? 0)) &&
    !(input.distinct !== undefined && values.some((v) => Math.abs(x - v) < (input.distinct ?? 0)));
  const once = (): number => {
    const x = low + (high - low) * random();
    return isFloat(dtype) ? x : Math.floor(low + (high - low + 1) * random());
  };
  for (let tries = 0; values.length < sizeOf(input.shape); tries++) {
    if (tries > 10_000) throw new Error(`input ${position}: no values in [${low}, ${high}] satisfy the sample`);
    const x = once();
    if (fits(x)) values.push(x);
  }
  return array(dtype, input.shape, values);
}
