import { markdownTable } from "../../src/report/table.js";
import type { Taken } from "./taken.js";

/** What the figures on paper assume. */
const model = { parameters: 6.7e9, largestTensor: 32_000 * 4096 };
const gpu = { memory: 80e9, flops: 400e12, link: 50e9, bus: 25e9 };
const gpus = 1000;
const tokens = 4096;

const gb = (bytes: number): number => Math.round(bytes / 1e8) / 10;
const s = (seconds: number): string => seconds.toPrecision(2);

/** Bytes of float32 for each parameter, held between runs; `grads`: gradients and other vectors that are summed over GPUs in a step. */
const optimizers = [
  { title: "SGD", fused: 8, phases: 12, flops: 6, grads: 1 },
  { title: "AdamW", fused: 24, phases: 28, flops: 6, grads: 1 },
  { title: "SAM over AdamW", fused: 24, phases: 32, flops: 12, grads: 2 },
  { title: "CurvSAM over AdamW, at a refresh", fused: 36, phases: 44, flops: 24, grads: 3 },
];

/** What limits a model of seven billion parameters, and a job of a thousand GPUs, worked out and not measured. */
export function onPaper(
  largest: readonly { title: string; last: (Taken & { parameters: number }) | undefined }[],
): string {
  const { parameters } = model;
  const bytes = 4 * parameters;
  const reduce = (2 * bytes * (gpus - 1)) / gpus / gpu.link;
  const compute = (flops: number): number => (flops * parameters * tokens) / gpu.flops;
  const measured = largest.flatMap(({ title, last }) =>
    last ? [`${title} ${Math.round((last.ms / 1000) * (parameters / last.parameters))} s`] : [],
  );
  return `## On paper: a model of 7 billion parameters

Worked out, not measured: ${(parameters / 1e9).toFixed(1)} billion parameters in float32 (${gb(bytes)} GB), ${tokens.toLocaleString("en")} tokens for a processor at a time, a GPU of ${gb(gpu.memory)} GB that
does ${gpu.flops / 1e12} TFLOP/s in practice, a bus of ${gpu.bus / 1e9} GB/s to the host, a network of ${gpu.link / 1e9} GB/s for each GPU. A gradient takes 6 operations for a parameter and token,
SAM 12, a CurvSAM step that refreshes its curvature 24.

${markdownTable(
  ["optimizer", "held by fused steps, GB", "held by phases, GB", "arithmetic of a step, s", "GPUs to hold it"],
  optimizers.map(({ title, fused, phases, flops }) => [
    ...[title, gb(fused * parameters), gb(phases * parameters), s(compute(flops))],
    Math.ceil((fused * parameters) / gpu.memory),
  ]),
)}
What limits it, in this order:

- **Memory.** Parameters and state are there twice, the old value and the new, so that a step that is not taken leaves no trace:
  AdamW holds 24 bytes for a parameter where 12 would do in place. No GPU of ${gb(gpu.memory)} GB holds it, and the graphs do not
  express a tensor that is spread over several. On a host, AdamW takes ${gb(28 * parameters)} GB phase by phase before any activation.
- **The way to the GPU.** The Node binding hands tensors over from the host. Weights in and out cross the bus in ${s((2 * bytes) / gpu.bus)} s at every
  step, where the arithmetic of a gradient takes ${s(compute(6))} s. Only steps inside a \`Loop\` leave them on the device.
- **Files are no limit.** Weights are inputs, not constants: the graphs of a package hold none of them, and the largest tensor
  (${gb(4 * model.largestTensor)} GB) fits into one buffer of Node.
${measured.length > 0 ? `- **A CPU.** In proportion to the largest encoder above, a step of 512 tokens would take: ${measured.join(", ")}.\n` : ""}
## On paper: a job of ${gpus.toLocaleString("en")} GPUs

Phases are what a job in data parallel needs: every GPU runs \`gradient\` or \`hvp\` on its own micro-batch, what they give is averaged, and
\`curvature\`, \`perturb\` and \`descend\` are the same everywhere. A ring takes ${s(reduce)} s to sum one vector of ${gb(bytes)} GB.

${markdownTable(
  ["optimizer", "vectors summed", "network, s", "arithmetic, s", "tokens for a GPU at which they are equal"],
  optimizers.map(({ title, flops, grads }) => [
    ...[title, grads, s(grads * reduce), s(compute(flops))],
    Math.round((tokens * grads * reduce) / compute(flops)),
  ]),
)}
- **The network** is the limit of small batches, not curvature: a refresh adds one vector to SAM's two, and comes at every F-th step;
  at F = 10 the network carries ${(2 + 0.1).toFixed(1)} vectors a step. Summed in 16 bits, all of these times are halved.
- **The first gradient need not be summed** where each GPU climbs from its own micro-batch (m-sharpness, Foret et al. 2021): SAM is
  then left with one vector. The radius is over the norm of that gradient, so \`perturb\` runs unchanged.
- **State can be spread**: curvature and moments are element by element, and \`descend\` in parts gives each GPU its own tensors.
  Spread over all, ${gb(28 * parameters)} GB of AdamW are ${((28 * parameters) / gpus / 1e6).toFixed(0)} MB a GPU; the parameters still have to be gathered, once for each pass.
- **What is missing here**: the exchange itself, and tensors spread over GPUs. A package says nothing of either.
`;
}
