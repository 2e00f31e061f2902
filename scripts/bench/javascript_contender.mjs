/**
 * Gradient descent on the perceptron of mlp.ts in a JavaScript library, a step on command, as contender.ts takes them.
 *
 *     node scripts/bench/javascript_contender.mjs LIBRARY FOLDER
 *
 * LIBRARY: `jax-js` or `tfjs`, each on its WebAssembly backend, from the node_modules of FOLDER, as their own examples train: a
 * jitted value-and-gradient; an optimizer's `minimize`. Or `curvsam`: the training package in FOLDER.
 */
import { createRequire } from "node:module";
import { join, resolve } from "node:path";
import { performance } from "node:perf_hooks";
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";
import { makeMlp } from "../../build/scripts/bench/mlp.js";
import { peakBytes } from "../../build/scripts/bench/peak.js";

const [library = "", folder = ""] = process.argv.slice(2);
const require = createRequire(pathToFileURL(join(resolve(folder), "index.js")));
const load = (name) => import(pathToFileURL(require.resolve(name)).href);
const { layers, batch, inputs, targets, learningRate } = makeMlp();
const say = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`);

async function jaxjs() {
  const { init, defaultDevice, numpy: np, nn, jit, valueAndGrad, blockUntilReady } = await load("@jax-js/jax");
  await init("wasm");
  defaultDevice("wasm");
  const array = (data, ...shape) => np.array(data).reshape(shape);
  const x = array(inputs, batch, layers[0].rows);
  const y = array(targets, batch, layers.at(-1).columns);
  let parameters = layers.map(({ weight, bias, rows, columns }) => ({
    weight: array(weight, rows, columns),
    bias: array(bias, columns),
  }));
  const loss = (p, xs, ys) => {
    const last = p.length - 1;
    const out = p.reduce((h, { weight, bias }, i) => {
      const z = np.matmul(h, weight).add(bias);
      return i < last ? nn.relu(z) : z;
    }, xs);
    return np.square(out.sub(ys)).mean();
  };
  const step = jit((p, xs, ys) => {
    const own = p.map(({ weight, bias }) => ({ weight: weight.ref, bias: bias.ref }));
    const [value, gradient] = valueAndGrad(loss)(own, xs, ys);
    const next = p.map(({ weight, bias }, i) => ({
      weight: weight.sub(gradient[i].weight.mul(learningRate)),
      bias: bias.sub(gradient[i].bias.mul(learningRate)),
    }));
    return [value, next];
  });
  return async () => {
    const [value, next] = step(parameters, x.ref, y.ref);
    parameters = await blockUntilReady(next);
    return value.item();
  };
}

async function tfjs() {
  const tf = require("@tensorflow/tfjs");
  const wasm = require("@tensorflow/tfjs-backend-wasm");
  wasm.setThreadsCount(2);
  await tf.setBackend("wasm");
  await tf.ready();
  const x = tf.tensor2d(inputs, [batch, layers[0].rows]);
  const y = tf.tensor2d(targets, [batch, layers.at(-1).columns]);
  const parameters = layers.map(({ weight, bias, rows, columns }) => ({
    weight: tf.variable(tf.tensor2d(weight, [rows, columns])),
    bias: tf.variable(tf.tensor1d(bias)),
  }));
  const optimizer = tf.train.sgd(learningRate);
  const loss = () => {
    const last = parameters.length - 1;
    const out = parameters.reduce((h, { weight, bias }, i) => {
      const z = tf.add(tf.matMul(h, weight), bias);
      return i < last ? tf.relu(z) : z;
    }, x);
    return tf.mean(tf.square(tf.sub(out, y)));
  };
  return async () => {
    const value = optimizer.minimize(loss, true);
    const [number] = await value.data();
    value.dispose();
    return number;
  };
}

async function curvsam() {
  const { PackageRuntime } = await import("../../build/src/index.js");
  const runtime = await PackageRuntime.open(folder, { threads: 2, lowered: join(folder, "lowered") });
  const [x, y] = [layers[0].rows, layers.at(-1).columns].map((columns) => ({
    dtype: "float32",
    dims: [batch, columns],
  }));
  const feeds = { x: { ...x, data: inputs }, labels: { ...y, data: targets } };
  return async () => (await runtime.step({ feeds })).diagnostics.loss;
}

const imported = process.memoryUsage.rss();
const step = await { "jax-js": jaxjs, tfjs, curvsam }[library]();
say({ ready: true, imported });
for await (const line of createInterface({ input: process.stdin })) {
  if (line !== "step") break;
  const start = performance.now();
  const loss = await step();
  say({ ms: performance.now() - start, loss });
}
say({ peak: peakBytes() });
process.exit(0);
