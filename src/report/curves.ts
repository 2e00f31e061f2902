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

type Kind = "steps" | "evaluations" | "sharpness";

/** Weight of the past in the running mean over steps' losses. */
const smooth = 0.9;
/** Fewer points are shown as they are, and so are tracks whose way is at most so many times their range. */
const few = 30;
const noise = 4;

const titles: Readonly<Record<string, string>> = {
  loss: "Loss",
  perturbed_loss: "Loss at w + ε",
  grad_norm: "Gradient norm",
  perturbation_norm: "‖ε‖₂",
  curvature_floor_share: "Share of d at the floor",
  mean_inverse_scale: "Mean of 1/d (d̄)",
  "hyper/lr": "Learning rate",
  "hyper/rho": "Radius ρ",
  f1: "F1",
  auc: "AUC",
  largest_eigenvalue: "Largest eigenvalue",
  smallest_eigenvalue: "Smallest eigenvalue",
  trace: "Trace of the Hessian",
};
/** What a reader looks for is drawn even where it stays as it was. */
const alwaysDrawn = new Set(["hyper/lr", "hyper/rho"]);
/** Drawn as the errors or the circumstances of something else. */
const undrawn = new Set(["loss", "gradient_norm", "trace_standard_error"]);

/** What a reader calls the number that the log calls `name`. */
export const titleOf = (name: string): string =>
  titles[name] ??
  name
    .replace(
      /^(ellipsoid_)?rise\/(.+)$/,
      (_, where, rho) => `Rise of the loss${where ? " in the ellipsoid" : ""} at ρ = ${rho}`,
    )
    .replace(/^hyper\//, "")
    .replaceAll("_", " ")
    .replace(/^./, (c) => c.toUpperCase());

/** Whether a track ever leaves its first value. */
export const moves = ([first, ...rest]: Track): boolean => rest.some(([, value]) => value !== first?.[1]);

/** Whether a track has many points and goes up and down: its way is many times its range. */
function isNoisy(track: Track): boolean {
  if (track.length <= few) return false;
  let [before, way, smallest, largest] = [NaN, 0, Infinity, -Infinity];
  for (const [, value] of track) {
    if (!Number.isFinite(value)) continue;
    way += Number.isNaN(before) ? 0 : Math.abs(value - before);
    [before, smallest, largest] = [value, Math.min(smallest, value), Math.max(largest, value)];
  }
  return way > noise * (largest - smallest);
}

/**
 * The curves of one run, or of several over each other: losses of steps and evaluations, metrics, learning rate and radius, other
 * hyper-parameters that move, whatever else the optimizer measures, and sharpness. What no run has has no panel.
 */
export function curvesOf(runs: readonly NamedRun[]): Curves[] {
  const several = runs.length > 1;
  const series = (kind: Kind, name: string, label?: string): Series[] =>
    runs.flatMap(({ name: run, log }) => {
      const points = log[kind].get(name);
      if (!points) return [];
      const text = several ? (label === undefined ? run : `${run}, ${label}`) : (label ?? titleOf(name));
      return [{ name: text, points, ...(kind === "steps" && isNoisy(points) && { smooth }) }];
    });
  const panel = (title: string, lines: readonly Series[]): Panel[] =>
    // One point is no curve: the table has it.
    lines.every(({ points }) => points.length < 2) ? [] : [{ x: { title: "Step" }, y: { title }, series: lines }];
  const names = (kind: Kind): string[] => [...new Set(runs.flatMap(({ log }) => [...log[kind].keys()]))];

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
  const drawn = names("steps").filter(
    (name) => !shown.has(name) && (alwaysDrawn.has(name) || runs.some(({ log }) => moves(log.steps.get(name) ?? []))),
  );
  const others = (wanted: (name: string) => boolean): Panel[] =>
    drawn.filter(wanted).flatMap((name) => panel(titleOf(name), series("steps", name)));
  return [
    { title: "Loss", panels: losses },
    { title: "Metrics", panels: metrics },
    { title: "Hyper-parameters", panels: others((name) => name.startsWith("hyper/")) },
    { title: "Optimizer", panels: others((name) => !name.startsWith("hyper/")) },
    { title: "Sharpness", panels: sharpness() },
  ].filter(({ panels }) => panels.length > 0);

  function sharpness(): Panel[] {
    const radii = names("sharpness").flatMap((name) => /^rise\/(.+)$/.exec(name)?.[1] ?? []);
    return [
      ...names("sharpness")
        .filter((name) => !name.includes("/") && !undrawn.has(name))
        .flatMap((name) => panel(titleOf(name), series("sharpness", name))),
      ...radii.flatMap((radius) =>
        panel(`Rise of the loss at ρ = ${radius}`, [
          ...series("sharpness", `rise/${radius}`, "along the gradient"),
          ...series("sharpness", `ellipsoid_rise/${radius}`, "in the ellipsoid"),
        ]),
      ),
    ];
  }
}
