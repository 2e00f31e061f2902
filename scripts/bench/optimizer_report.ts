import { markdownTable, type TableCell } from "../../src/report/table.js";
import { contestants } from "./optimizer_contestants.js";

export interface Cost {
  name: string;
  /** Milliseconds of its steps, by what they run beside the usual graph. */
  times: Readonly<Record<string, readonly number[]>>;
  /** Of SAM's steps that were taken in turn with them. */
  sam: readonly number[];
  /** Mean over its own schedule, of medians. */
  milliseconds: number;
  /** That over the median of SAM's. */
  ratio: number;
  /** The optimizer's own arithmetic in the kernels' time of a step. */
  share: number;
  stateBytes: number;
}

export interface Costs {
  machine: string;
  costs: readonly Cost[];
}

const percent = (x: number): string => `${(100 * x).toFixed(1)} %`;

export function costsPage({ machine, costs }: Costs): string {
  const rows = costs.map((cost): TableCell[] => {
    const { name, times, milliseconds, ratio, share, stateBytes } = cost;
    const bound = contestants.find((c) => c.name === name)?.bound;
    const met = bound && cost[bound.of] <= bound.most;
    const target = !bound ? "" : bound.of === "share" ? `share ≤ ${percent(bound.most)}` : `ratio ≤ ${bound.most}`;
    const verdict = met === undefined ? "" : met ? "met" : "**missed**";
    return [
      `${name}${"run" in times ? "" : " ¹"}`,
      milliseconds.toFixed(0),
      ratio.toFixed(3),
      percent(share),
      stateBytes.toFixed(1),
      target,
      verdict,
    ];
  });
  return [
    "# What optimizers cost",
    "<!-- Written by `node build/scripts/bench/optimizer_costs.js`; not by hand. -->",
    "On the 6-layer encoder of the [benchmark](BENCHMARKS.md) (12.2 million parameters, batch 16 x 64), over AdamW unless said. Each " +
      "takes its steps in turn with SAM over AdamW in another process, as `curvsam train` takes them: several in one run of the " +
      "runtime, whole periods of the schedule. The ratio is that of the medians of the mean step of a run. The share is that of the optimizer's own arithmetic in the time of all " +
      "kernels, under the runtime's profile: perturbation, descent, averages, and for curvature that is measured the measuring too. " +
      "State: bytes for each trainable parameter, beside the parameter itself.",
    `${machine}.`,
    markdownTable(["optimizer", "ms a step", "/ SAM", "own share", "state, bytes", "target", ""], rows).trimEnd(),
    "¹ Timed step by step, in the schedule's shares of the medians of each kind of step: where other graphs run between steps, or the " +
      "period is long (SASSHA; Shampoo's statistics and roots every 100 steps, blocks of at most 192; K-FAC's factors every 10, inverses " +
      "every 100), which were measured under a shorter schedule.",
    "",
  ].join("\n\n");
}
