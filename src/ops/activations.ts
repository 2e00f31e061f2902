import type { Node } from "../ir/graph.js";
import { check, must } from "../util/assert.js";
import * as e from "./emit.js";
import type { RuleBuilder } from "./rule.js";

/** An activation of a recurrent layer. */
export type Activation = (b: RuleBuilder, x: e.V) => e.V;

interface Kind {
  /** Defaults of its parameters; undefined: it takes none; null: it takes one that has no default (or runtimes disagree). */
  alpha?: number | null;
  beta?: number | null;
  of: (b: RuleBuilder, x: e.V, alpha: number, beta: number) => e.V;
}

const kinds: Readonly<Record<string, Kind>> = {
  affine: { alpha: null, beta: null, of: (b, x, alpha, beta) => e.shift(b, e.scale(b, x, alpha), beta) },
  elu: { alpha: 1, of: (b, x, alpha) => b.op("Elu", [x], { alpha: e.float(alpha) }) },
  hardsigmoid: {
    alpha: 0.2,
    beta: 0.5,
    of: (b, x, alpha, beta) => b.op("HardSigmoid", [x], { alpha: e.float(alpha), beta: e.float(beta) }),
  },
  leakyrelu: { alpha: 0.01, of: (b, x, alpha) => b.op("LeakyRelu", [x], { alpha: e.float(alpha) }) },
  relu: { of: (b, x) => b.op("Relu", [x]) },
  scaledtanh: {
    alpha: null,
    beta: null,
    of: (b, x, alpha, beta) => e.scale(b, e.tanh(b, e.scale(b, x, beta)), alpha),
  },
  sigmoid: { of: (b, x) => e.sigmoid(b, x) },
  softplus: { of: (b, x) => b.op("Softplus", [x]) },
  softsign: { of: (b, x) => b.op("Softsign", [x]) },
  tanh: { of: (b, x) => e.tanh(b, x) },
  thresholdedrelu: { alpha: null, of: (b, x, alpha) => b.op("ThresholdedRelu", [x], { alpha: e.float(alpha) }) },
};

/**
 * The activations of a recurrent layer, direction by direction; the values of `activation_alpha` and `activation_beta` go
 * to those that take one, in order. Their arguments are clipped to `clip` where the layer says so.
 */
export function activationsOf(node: Node, defaults: readonly string[], directions: number): Activation[][] {
  const given = node.attributes["activations"];
  const names = given?.type === "strings" ? given.value.map(text) : [];
  const all = names.length > 0 ? names : Array.from({ length: directions }, () => defaults).flat();
  check(
    all.length === directions * defaults.length,
    () => `${node.label}: ${all.length} activations, expected ${directions * defaults.length}`,
  );
  const [alphas, betas] = ["activation_alpha", "activation_beta"].map((name) => {
    const a = node.attributes[name];
    return a?.type === "floats" ? [...a.value] : [];
  });
  const next = (
    name: string,
    what: string,
    values: number[] | undefined,
    fallback: number | null | undefined,
  ): number => {
    if (fallback === undefined) return 0;
    const value = values?.shift() ?? fallback;
    check(value !== null, () => `${node.label}: the activation ${name} has no activation_${what}; give it one`);
    return value;
  };
  const clip = node.float("clip");
  const made = all.map((name): Activation => {
    const kind = kinds[name.toLowerCase()];
    check(kind, () => `${node.label}: activation "${name}" is not known; there are ${Object.keys(kinds).join(", ")}`);
    const alpha = next(name, "alpha", alphas, kind.alpha);
    const beta = next(name, "beta", betas, kind.beta);
    return (b, x) => kind.of(b, clip === undefined ? x : clipped(b, x, clip), alpha, beta);
  });
  return Array.from({ length: directions }, (_, d) => made.slice(d * defaults.length, (d + 1) * defaults.length));
}

const text = (s: string | Uint8Array): string => (typeof s === "string" ? s : new TextDecoder().decode(s));

const clipped = (b: RuleBuilder, x: e.V, clip: number): e.V =>
  b.op("Clip", [x, e.scalarLike(b, -clip, x), e.scalarLike(b, clip, x)]);

/** Activation `i`, which must be there. */
export const activation = (list: readonly Activation[], i: number): Activation => must(list[i], `activation ${i}`);
