import type { Panel, Series } from "./chart.js";
import type { RunLog, Track } from "./run_log.js";

/** A run under the name that its curves carry. */
export interface NamedRun {
  name: string;
  log: RunLog;
}

/** A picture's worth of curves: panels that belong under one title. */
export interface Curves {
  title: string;
  panels: Panel[];
}

/** Weight of the past in the running mean over steps' losses. */
const smooth = 0.9;
/** Fewer points are shown as they are. */
const few = 30;

const titles: Readonly<Record<string, string>> = {
  loss: "Loss",
  perturbed_loss: "Loss at w + ε",
  grad_norm: "Gradient norm",
  perturbation_norm: "‖ε‖₂",
  "hyper/lr": "Learning rate",
  "hyper/rho": "Radius ρ",
  f1: "F1",
  auc: "AUC",
};

const titleOf = (name: string): string =>
  titles[name] ??
  name
    .replace(/^hyper\//, "")
    .replaceAll("_", " ")
    .replace(/^./, (c) => c.toUpperCase());

/**
 * The curves of one run, or of several over each other: losses of steps and evaluations, metrics, hyper-parameters that move,
 * and whatever else the optimizer measures. What no run has, or what never changes, has no panel.
 */
export function curvesOf(runs: readonly NamedRun[]): Curves[] {
  const several = runs.length > 1;
  const series = (kind: "steps" | "evaluations", name: string, label?: string): Series[] =>
    runs.flatMap(({ name: run, log }) => {
      const points = log[kind].get(name);
      if (!points) return [];
      const text = several ? (label === undefined ? run : `${run}, ${label}`) : (label ?? titleOf(name));
      const noisy = kind === "steps" && points.length > few && !name.startsWith("hyper/");
      return [{ name: text, points, ...(noisy && { smooth }) }];
    });
  const panel = (title: string, lines: readonly Series[]): Panel[] =>
    // One point is no curve: the table has it.
    lines.every(({ points }) => points.length < 2) ? [] : [{ x: { title: "Step" }, y: { title }, series: lines }];
  const names = (kind: "steps" | "evaluations"): string[] => [
    ...new Set(runs.flatMap(({ log }) => [...log[kind].keys()])),
  ];

  const losses = [
    ...panel("Loss in training", [
      ...series("steps", "loss", several ? undefined : "at w"),
      ...(several ? [] : series("steps", "perturbed_loss", "at w + ε")),
    ]),
    ...panel("Loss in evaluation", series("evaluations", "loss")),
  ];
  const metrics = names("evaluations")
    .filter((name) => name !== "loss" && name !== "examples")
    .flatMap((name) => panel(titleOf(name), series("evaluations", name)));
  const shown = new Set(["loss", "perturbed_loss"]);
  const moves = ([, ...rest]: Track, first: number): boolean => rest.some(([, value]) => value !== first);
  const moving = names("steps").filter(
    (name) =>
      !shown.has(name) &&
      runs.some(({ log }) => {
        const track = log.steps.get(name);
        return track !== undefined && track[0] !== undefined && moves(track, track[0][1]);
      }),
  );
  const others = (wanted: (name: string) => boolean): Panel[] =>
    moving.filter(wanted).flatMap((name) => panel(titleOf(name), series("steps", name)));
  return [
    { title: "Loss", panels: losses },
    { title: "Metrics", panels: metrics },
    { title: "Hyper-parameters", panels: others((name) => name.startsWith("hyper/")) },
    { title: "Optimizer", panels: others((name) => !name.startsWith("hyper/")) },
  ].filter(({ panels }) => panels.length > 0);
}
