import { float, int, type Node } from "../ir/graph.js";
import { alongChannels, channelAffineJvp, channelSums, spatial } from "./convolution.js";
import * as e from "./emit.js";
import type { OpRule, Values } from "./rule.js";
import { standardize, standardizeJvp, type Standardized } from "./standardize.js";

/** Whether a node is a batch norm by the statistics of its batch. */
export const trainsBatchNorm = (node: Node): boolean =>
  node.op === "BatchNormalization" && node.domain === "" && node.int("training_mode", 0) !== 0;

/** The axes over which the statistics of the batch go: all but the channels. */
export const batchAxes = (x: e.V): number[] => [0, ...spatial(x).map((_, i) => i + 2)];

/** x̂ by the statistics of the batch, or by those given. */
function parts(b: e.B, node: Node): Standardized {
  const x = node.input(0);
  const epsilon = node.float("epsilon", 1e-5);
  if (trainsBatchNorm(node)) return standardize(b, x, batchAxes(x), epsilon);
  const mean = alongChannels(b, node.input(3), x);
  const inverse = e.reciprocal(b, e.sqrt(b, e.shift(b, alongChannels(b, node.input(4), x), epsilon)));
  return standardize(b, x, [], epsilon, { mean, inverse });
}

/** Sum of what is there. */
const sum = (b: e.B, terms: Values): e.V | null => {
  const there = terms.filter((t) => t !== null);
  return there.length > 0 ? there.reduce((s, t) => e.add(b, s, t)) : null;
};

/** dx = s·r·(dy − Σ dy/n − x̂·Σ(dy·x̂)/n): the sums are the cotangents of bias and scale, so that they are computed once. */
function throughBatch(b: e.B, node: Node, p: Standardized, dy: e.V): e.V {
  const x = node.input(0);
  const count = e.countOf(b, x, batchAxes(x));
  const mean = (v: e.V): e.V => alongChannels(b, e.div(b, channelSums(b, v), count), x);
  const along = e.mul(b, p.normalized, mean(e.mul(b, dy, p.normalized)));
  const gain = e.mul(b, alongChannels(b, node.input(1), x), p.inverse);
  return e.mul(b, gain, e.sub(b, e.sub(b, dy, mean(dy)), along));
}

/** Running statistics are m·old + (1 − m)·(mean, variance) of the batch: what their cotangents add to those of x. */
function statisticsCotangent(
  b: e.B,
  node: Node,
  p: Standardized,
  dmean: e.V | null,
  dvariance: e.V | null,
): e.V | null {
  const x = node.input(0);
  const share = 1 - node.float("momentum", 0.9);
  const each = (d: e.V, factor: number): e.V =>
    alongChannels(b, e.scale(b, e.div(b, d, e.countOf(b, x, batchAxes(x))), factor), x);
  return sum(b, [
    dmean ? e.expandLike(b, each(dmean, share), x) : null,
    dvariance ? e.mul(b, p.centered, each(dvariance, 2 * share)) : null,
  ]);
}

/**
 * y = s·(x − μ)/√(σ² + ε) + b for each channel: in training mode with μ and σ² of the batch (σ² over n, not n − 1), which
 * also move the running statistics; else with those given.
 */
export const rule: OpRule<"BatchNormalization"> = {
  op: "BatchNormalization",
  since: 15,
  vjp: ({ b }, node, [dy = null, dmean = null, dvariance = null], need) => {
    const p = parts(b, node);
    const x = node.input(0);
    const training = trainsBatchNorm(node);
    const a = dy && !training ? e.mul(b, dy, alongChannels(b, node.input(1), x)) : null;
    const momentum = node.float("momentum", 0.9);
    let dx: e.V | null = null;
    if (need[0]) {
      if (training)
        dx = sum(b, [dy && throughBatch(b, node, p, dy), statisticsCotangent(b, node, p, dmean, dvariance)]);
      else dx = a && e.mul(b, a, p.inverse);
    }
    const scale = dy && need[1] ? channelSums(b, e.mul(b, dy, p.normalized)) : null;
    const bias = dy && need[2] ? channelSums(b, dy) : null;
    if (training)
      return [dx, scale, bias, dmean && e.scale(b, dmean, momentum), dvariance && e.scale(b, dvariance, momentum)];
    const mean = a && need[3] ? e.neg(b, channelSums(b, e.mul(b, a, p.inverse))) : null;
    const cube = e.mul(b, e.square(b, p.inverse), p.normalized);
    const variance = a && need[4] ? e.scale(b, channelSums(b, e.mul(b, a, cube)), -0.5) : null;
    return [dx, scale, bias, mean, variance];
  },
  jvp: ({ b }, node, [dx = null, ds = null, db = null, dmean = null, dvariance = null]) => {
    const p = parts(b, node);
    const y = node.output();
    const momentum = node.float("momentum", 0.9);
    const channel = (v: e.V): e.V => alongChannels(b, v, y);
    let normalized: e.V | null = null;
    const running: (e.V | null)[] = [
      dmean && e.scale(b, dmean, momentum),
      dvariance && e.scale(b, dvariance, momentum),
    ];
    if (trainsBatchNorm(node)) {
      if (dx) {
        normalized = standardizeJvp(b, p, dx).normalized;
        const change = e.scale(b, e.mul(b, p.centered, dx), 2);
        const batch = [dx, change].map((v) =>
          e.scale(b, e.div(b, channelSums(b, v), e.countOf(b, dx, batchAxes(dx))), 1 - momentum),
        );
        batch.forEach((d, i) => (running[i] = sum(b, [running[i] ?? null, d])));
      }
    } else {
      const slope = e.scale(b, e.mul(b, e.square(b, p.inverse), p.normalized), -0.5);
      normalized = sum(b, [
        dx && e.mul(b, dx, p.inverse),
        dmean && e.neg(b, e.mul(b, channel(dmean), p.inverse)),
        dvariance && e.mul(b, channel(dvariance), slope),
      ]);
    }
    const affine = { scale: node.input(1), normalized: p.normalized };
    return [channelAffineJvp(b, y, affine, [normalized, ds, db]), ...running];
  },
  samples: [
    {
      name: "training",
      inputs: [{ shape: [3, 2, 2, 2] }, ...statistics(2)],
      attributes: { training_mode: int(1), momentum: float(0.75) },
      outputs: 3,
    },
    {
      name: "training of a matrix",
      inputs: [{ shape: [4, 3] }, ...statistics(3)],
      attributes: { training_mode: int(1), epsilon: float(0.01) },
      outputs: 3,
    },
    { name: "evaluation", inputs: [{ shape: [2, 2, 3] }, ...statistics(2)] },
    { name: "evaluation of a matrix", inputs: [{ shape: [2, 3] }, ...statistics(3)] },
  ],
};

function statistics(channels: number): OpRule["samples"][number]["inputs"] {
  const shape = [channels];
  return [{ shape }, { shape }, { shape }, { shape, range: [0.5, 2] }];
}
