import { formatNumber, markdownTable, type TableCell } from "../../src/report/table.js";
import type { OptimizerName } from "./models.js";
import type { SampleResult } from "./operator.js";
import { addPlacement, nodesOn, type Placement } from "./placement.js";
import type { TrainingResult } from "./training.js";

export interface OperatorResult {
  op: string;
  samples: SampleResult[];
}

/** Largest error of a sample against the CPU, relative to the largest number of an output and no less than 1. */
export const tolerance = 1e-4;

export const passes = ({ error }: SampleResult): boolean => error !== null && error <= tolerance;

/** What is known of the runtime and not ours to change, by operator. */
const limits: Readonly<Record<string, { accepts: (sample: SampleResult) => boolean; why: string }>> = {
  Asin: {
    accepts: ({ error }) => error !== null && error < 5e-4,
    why: "WGSL lets asin be off by 4,096 units in the last place; the driver makes use of that",
  },
};

/** The limit that a sample which does not pass falls under. */
export function limitOf(op: string, sample: SampleResult): string | undefined {
  const limit = limits[op];
  return limit?.accepts(sample) ? limit.why : undefined;
}

function total(placements: readonly Placement[]): Placement {
  const sum: Placement = {};
  for (const placement of placements) addPlacement(sum, placement);
  return sum;
}

const sorted = (names: Iterable<string>): string[] => [...names].sort();
const opsOn = (placement: Placement, side: "gpu" | "cpu"): string =>
  sorted(Object.keys(placement).filter((op) => (placement[op]?.[side] ?? 0) > 0)).join(", ");
function operatorRow({ op, samples }: OperatorResult): TableCell[] {
  const placement = total(samples.map((s) => s.placement));
  const errors = samples.flatMap(({ error }) => (error === null ? [] : [error]));
  const notes = samples.filter((s) => !passes(s)).map((s) => `${s.sample}: ${s.failure || limitOf(op, s) || "wrong"}`);
  return [
    op,
    `${samples.filter(passes).length}/${samples.length}`,
    nodesOn(placement, "gpu"),
    nodesOn(placement, "cpu"),
    opsOn(placement, "cpu"),
    errors.length > 0 ? formatNumber(Math.max(...errors), 2) : null,
    notes.join("; "),
  ];
}

function trainingRow([name, result]: readonly [OptimizerName, TrainingResult]): TableCell[] {
  const { gradientError, hvpError, lossError, cpu, gpu, placement } = result;
  return [
    name,
    gradientError,
    hvpError,
    cpu[0] ?? null,
    gpu[0] ?? null,
    cpu.at(-1) ?? null,
    gpu.at(-1) ?? null,
    lossError,
    nodesOn(placement, "gpu"),
    nodesOn(placement, "cpu"),
    opsOn(placement, "cpu"),
  ];
}

function kernelRows(placement: Placement): TableCell[][] {
  return sorted(Object.keys(placement)).map((op) => [op, placement[op]?.gpu ?? 0, placement[op]?.cpu ?? 0]);
}

/** docs/WEBGPU.md. */
export function report(
  operators: readonly OperatorResult[],
  trained: readonly (readonly [OptimizerName, TrainingResult])[],
  steps: number,
  runtime: string,
): string {
  const samples = operators.flatMap((o) => o.samples);
  const all = total([...samples.map((s) => s.placement), ...trained.map(([, { placement }]) => placement)]);
  return [
    "# WebGPU",
    "Written by `scripts/gpu/webgpu_check.ts`, which runs the same graphs on the WebGPU provider and on the CPU's, with " +
      `\`validationMode: full\`, in onnxruntime-node ${runtime} on Mesa's software Vulkan (lavapipe): it says that results ` +
      "are right, and nothing about speed. How to run it is in CONTRIBUTING.md. Where a node ran is what the runtime's profile says.",
    "## Training",
    `models/roberta-mini, AdamW and it under SAM and CurvSAM, ${steps} steps each from the same weights, batches and random ` +
      "numbers. Gradient and HVP: ‖g − g′‖/‖g‖ over all parameters at the first weights. Loss: the largest relative difference of all steps.",
    markdownTable(
      [
        "optimizer",
        "gradient",
        "HVP",
        "first loss, CPU",
        "WebGPU",
        "last loss, CPU",
        "WebGPU",
        "loss differs by",
        "nodes on WebGPU",
        "nodes on the CPU",
        "which",
      ],
      trained.map(trainingRow),
    ),
    "## Operators",
    "Each sample of a rule: the node, Jᵀc, Jv and H v in one graph, tidied as `patch` does. It passes where no output differs from the " +
      `CPU's by more than ${tolerance}, relative to its largest number and no less than 1. ` +
      `${samples.filter(passes).length} of ${samples.length} samples of ${operators.length} operators pass.`,
    markdownTable(
      ["operator", "passed", "nodes on WebGPU", "on the CPU", "operators on the CPU", "largest error", "what did not"],
      operators.filter(({ samples: list }) => list.length > 0).map(operatorRow),
    ),
    "## Kernels",
    "Every operator of these graphs as the runtime optimised them, and where its nodes ran. Nodes that compute shapes go to the CPU by " +
      "the runtime's own choice, whether there is a kernel or not.",
    markdownTable(["operator", "nodes on WebGPU", "on the CPU"], kernelRows(all)),
  ]
    .map((part) => `${part.trimEnd()}\n`)
    .join("\n");
}
