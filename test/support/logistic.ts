import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeManifest, type ManifestInput } from "../../src/format/manifest.js";
import { writeSafetensors } from "../../src/format/safetensors.js";
import { Rng } from "../../src/util/rng.js";
import { HandMade } from "./onnx.js";

/**
 * A training package made by hand: logistic regression on 5 features, with dropout on them, a frozen scale, a running mean as
 * a buffer, and CurvSAM over SGD with momentum 0.9. Its graphs follow the package format, phases and fused, so that the
 * runtime can be tested without the graph builder.
 */
export const features = 5;
const keep = 0.9;
const shapes = { w: [features, 1], b: [1] } as const;
type Param = keyof typeof shapes;
const params = Object.keys(shapes) as Param[];
type Values = Record<Param, string>;

const batchOf = (m: HandMade) => ({
  x: m.input("x", "float32", ["batch", features]),
  labels: m.input("labels", "float32", ["batch"]),
});
const read = (m: HandMade, prefix = ""): Values => ({
  w: m.input(`${prefix}w`, "float32", shapes.w),
  b: m.input(`${prefix}b`, "float32", shapes.b),
});
const hyper = (m: HandMade, name: string) => m.input(`hyper/${name}`, "float32", []);
const each = (f: (p: Param) => string): Values => ({ w: f("w"), b: f("b") });

/** Scores [batch, 1], the loss, and what the derivatives share. */
function evaluate(m: HandMade, p: Values, training: boolean) {
  const { x, labels } = batchOf(m);
  const scaled = m.op("Mul", [x, m.input("scale", "float32", [features])]);
  const mask = () => m.op("Cast", [m.input("random/dropout/0", "bool", ["batch", features])], { to: 1 });
  const seen = training ? m.op("Div", [m.op("Mul", [scaled, mask()]), m.scalar(keep)]) : scaled;
  const score = m.op("Add", [m.op("MatMul", [seen, p.w]), p.b]);
  const y = m.op("Unsqueeze", [labels, m.ints([1])]);
  const losses = m.op("Sub", [m.op("Softplus", [score]), m.op("Mul", [y, score])]);
  const sum = m.op("ReduceSum", [losses], { keepdims: 0 });
  const weight = m.op("Cast", [m.op("Size", [labels])], { to: 1 });
  return { seen, score, y, sum, weight, loss: m.op("Div", [sum, weight]) };
}

function gradient(m: HandMade, p: Values) {
  const at = evaluate(m, p, true);
  const probability = m.op("Sigmoid", [at.score]);
  const transposed = m.op("Transpose", [at.seen], { perm: [1, 0] });
  const pull = (residual: string): Values => {
    const r = m.op("Div", [residual, at.weight]);
    return { w: m.op("MatMul", [transposed, r]), b: m.op("ReduceSum", [r, m.ints([0])], { keepdims: 0 }) };
  };
  const grad = pull(m.op("Sub", [probability, at.y]));
  const hvp = (z: Values) => {
    const tangent = m.op("Add", [m.op("MatMul", [at.seen, z.w]), z.b]);
    const slope = m.op("Mul", [probability, m.op("Sub", [m.scalar(1), probability])]);
    return pull(m.op("Mul", [slope, tangent]));
  };
  return { ...at, grad, hvp };
}

/** A mean that counts how often the graph saw a batch: running statistics, as batch norm has them. */
function runningMean(m: HandMade): string {
  const before = m.op("Mul", [m.input("x_mean", "float32", [features]), m.scalar(0.9)]);
  const now = m.op("ReduceMean", [batchOf(m).x, m.ints([0])], { keepdims: 0 });
  return m.op("Add", [before, m.op("Mul", [now, m.scalar(0.1)])]);
}

function curvature(m: HandMade, z: Values, hvp: Values): Values {
  const beta = hyper(m, "beta");
  return each((p) => {
    const estimate = m.op("Abs", [m.op("Mul", [z[p], hvp[p]])]);
    const old = m.op("Mul", [beta, m.input(`curvature/${p}`, "float32", shapes[p])]);
    return m.op("Add", [old, m.op("Mul", [m.op("Sub", [m.scalar(1), beta]), estimate])]);
  });
}

function perturb(m: HandMade, p: Values, grad: Values, h: Values) {
  const d = each((name) => m.op("Max", [m.op("Sqrt", [h[name]]), hyper(m, "delta")]));
  const scaled = each((name) => m.op("Div", [grad[name], d[name]]));
  const parts = params.map((name) => m.op("ReduceSum", [m.op("Mul", [grad[name], scaled[name]])], { keepdims: 0 }));
  const norm = m.op("Sqrt", [m.op("Sum", parts)]);
  const step = m.op("Div", [hyper(m, "rho"), norm]);
  const epsilon = each((name) => m.op("Mul", [step, scaled[name]]));
  const squares = params.map((name) => m.op("ReduceSumSquare", [epsilon[name]], { keepdims: 0 }));
  return {
    perturbed: each((name) => m.op("Add", [p[name], epsilon[name]])),
    norm: m.op("Sqrt", [m.op("Sum", squares)]),
  };
}

function descend(m: HandMade, p: Values, grad: Values, perturbedGrad: Values) {
  const sums = [...Object.values(grad), ...Object.values(perturbedGrad)].map((g) =>
    m.op("ReduceSum", [m.op("Mul", [g, m.scalar(0)])], { keepdims: 0 }),
  );
  // 0 · g is 0 for finite g and NaN else.
  const bad = m.op("IsNaN", [m.op("Sum", sums)]);
  const keepOld = (old: string, next: string) => m.op("Where", [bad, old, next]);
  for (const name of params) {
    const before = m.input(`momentum/${name}`, "float32", shapes[name]);
    const momentum = m.op("Add", [m.op("Mul", [m.scalar(0.9), before]), perturbedGrad[name]]);
    const next = m.op("Sub", [p[name], m.op("Mul", [hyper(m, "lr"), momentum])]);
    m.output(keepOld(p[name], next), `next/${name}`, "float32", shapes[name]);
    m.output(keepOld(before, momentum), `next/momentum/${name}`, "float32", shapes[name]);
  }
  const t = m.input("state/step", "float32", []);
  m.output(keepOld(t, m.op("Add", [t, m.scalar(1)])), "next/state/step", "float32", []);
  m.output(m.op("Cast", [bad], { to: 1 }), "skipped", "float32", []);
}

const outputs = (m: HandMade, values: Values, prefix: string) =>
  params.forEach((p) => m.output(values[p], `${prefix}${p}`, "float32", shapes[p]));

const graphs: Record<string, (m: HandMade) => void> = {
  forward(m) {
    const x = m.op("Mul", [m.input("x", "float32", ["batch", features]), m.input("scale", "float32", [features])]);
    const p = read(m);
    m.output(m.op("Add", [m.op("MatMul", [x, p.w]), p.b]), "score", "float32", ["batch", 1]);
  },
  evaluate(m) {
    const at = evaluate(m, read(m), false);
    m.output(at.score, "score", "float32", ["batch", 1]);
    m.output(at.sum, "loss_sum", "float32", []);
    m.output(at.weight, "loss_weight", "float32", []);
  },
  gradient(m) {
    const at = gradient(m, read(m));
    m.output(at.loss, "loss", "float32", []);
    m.output(at.weight, "loss_weight", "float32", []);
    outputs(m, at.grad, "grad/");
    m.output(runningMean(m), "next/x_mean", "float32", [features]);
  },
  hvp(m) {
    const at = gradient(m, read(m));
    m.output(at.loss, "loss", "float32", []);
    m.output(at.weight, "loss_weight", "float32", []);
    outputs(m, at.grad, "grad/");
    outputs(m, at.hvp(read(m, "z/")), "hvp/");
    m.output(runningMean(m), "next/x_mean", "float32", [features]);
  },
  curvature(m) {
    outputs(m, curvature(m, read(m, "z/"), read(m, "hvp/")), "next/curvature/");
  },
  perturb(m) {
    const { perturbed, norm } = perturb(m, read(m), read(m, "grad/"), read(m, "curvature/"));
    outputs(m, perturbed, "perturbed/");
    m.output(norm, "perturbation_norm", "float32", []);
  },
  descend(m) {
    descend(m, read(m), read(m, "grad/"), read(m, "perturbed_grad/"));
  },
  step: (m) => fused(m, false),
  curvature_step: (m) => fused(m, true),
};

function fused(m: HandMade, refresh: boolean): void {
  const p = read(m);
  const at = gradient(m, p);
  let h = read(m, "curvature/");
  if (refresh) {
    const z = read(m, "z/");
    h = curvature(m, z, at.hvp(z));
    outputs(m, h, "next/curvature/");
  }
  const { perturbed, norm } = perturb(m, p, at.grad, h);
  const second = gradient(m, perturbed);
  m.output(at.loss, "loss", "float32", []);
  m.output(second.loss, "perturbed_loss", "float32", []);
  m.output(norm, "perturbation_norm", "float32", []);
  m.output(runningMean(m), "next/x_mean", "float32", [features]);
  descend(m, p, at.grad, second.grad);
}

/** Writes the package into a new temporary folder and returns that. `dropout: false` keeps every feature. */
export function logisticPackage(options: { dropout?: boolean; refreshEvery?: number } = {}): string {
  const { dropout = true, refreshEvery = 3 } = options;
  const folder = mkdtempSync(join(tmpdir(), "curvsam-package-"));
  for (const [name, build] of Object.entries(graphs)) {
    const m = new HandMade();
    build(m);
    writeFileSync(join(folder, `${name}.onnx`), m.bytes());
  }
  const f32 = "float32" as const;
  const parameter = (name: string, shape: readonly number[], trainable = true) => ({
    ...{ initializer: name, transposed: false, dtype: f32, shape: [...shape], group: "default", trainable },
  });
  const zero = (shape: readonly number[], value = 0) => ({ dtype: f32, shape: [...shape], init: { fill: value } });
  const probe = (shape: readonly number[]) => ({
    ...{ dtype: f32, shape: [...shape], distribution: "normal" as const, per: "refresh" as const },
  });
  const manifest: ManifestInput = {
    format: "curvsam-training-package",
    version: 1,
    tool: "hand",
    source: { file: "model.onnx", sha256: "", irVersion: 10, opset: 21 },
    opset: 21,
    irVersion: 10,
    loss: { kind: "bce-with-logits", logits: "score" },
    optimizer: { ascent: "curvsam", combine: "plain", base: "sgd", estimator: "hvp", frequency: refreshEvery },
    inputs: { x: { dtype: f32, shape: ["batch", features] } },
    targets: { labels: { dtype: f32, shape: ["batch"] } },
    outputs: { score: { dtype: f32, shape: ["batch", 1] } },
    parameters: {
      w: parameter("w", shapes.w),
      b: parameter("b", shapes.b),
      scale: parameter("scale", [features], false),
    },
    state: {
      "curvature/w": zero(shapes.w, 1),
      "curvature/b": zero(shapes.b, 1),
      "momentum/w": zero(shapes.w),
      "momentum/b": zero(shapes.b),
      "state/step": zero([]),
      x_mean: { dtype: f32, shape: [features], init: { tensor: "x_mean" } },
    },
    hyper: {
      "hyper/lr": { default: 0.1, description: "learning rate" },
      "hyper/rho": { default: 0.05, description: "radius" },
      "hyper/beta": { default: 0.9, description: "EMA coefficient" },
      "hyper/delta": { default: 0.01, description: "floor" },
    },
    random: {
      "z/w": probe(shapes.w),
      "z/b": probe(shapes.b),
      "random/dropout/0": {
        ...{ dtype: "bool", shape: ["batch", features], distribution: "bernoulli", p: dropout ? keep : 1 },
        per: "micro-batch",
      },
    },
    schedule: [
      { graph: "curvature_step", every: refreshEvery, offset: 0 },
      { graph: "step", every: 1, offset: 0 },
    ],
    graphs: Object.fromEntries(Object.keys(graphs).map((name) => [name, `${name}.onnx`])),
  };
  writeManifest(folder, manifest);
  const tensor = (name: string, shape: readonly number[], values: number[]) => ({
    ...{ name, dtype: f32, shape, bytes: new Uint8Array(Float32Array.from(values).buffer) },
  });
  writeSafetensors(join(folder, "weights.safetensors"), [
    tensor("w", shapes.w, [0.1, -0.2, 0.3, 0.05, -0.1]),
    tensor("b", shapes.b, [0.02]),
    tensor("scale", [features], [1, 0.5, 2, 1, 1]),
    tensor("x_mean", [features], [0, 0, 0, 0, 0]),
  ]);
  return folder;
}

export interface LogisticBatch {
  size: number;
  feeds: {
    x: { dtype: "float32"; dims: number[]; data: Float32Array };
    labels: { dtype: "float32"; dims: number[]; data: Float32Array };
  };
}

/** `size` examples of a noisy linear rule; equal keys give equal batches. */
export function logisticBatch(size: number, ...key: (number | string)[]): LogisticBatch {
  const rng = new Rng("logistic", ...key);
  const x = new Float32Array(size * features);
  rng.fillNormal(x);
  const labels = Float32Array.from({ length: size }, (_, i) => {
    const score = 2 * (x[i * features] ?? 0) - (x[i * features + 1] ?? 0) + 0.5;
    return Number(score + rng.uniform() - 0.5 > 0);
  });
  return {
    size,
    feeds: {
      x: { dtype: "float32", dims: [size, features], data: x },
      labels: { dtype: "float32", dims: [size], data: labels },
    },
  };
}
