import type { Curvature } from "../optim/part.js";
import type { Measured, Params, Point, Rows, ScoreNoise } from "../curvature/measure.js";
import { evaluate, type BatchValues } from "../frontend/objective.js";
import { firstRows } from "../frontend/rows.js";
import type { Value } from "../ir/graph.js";
import { must } from "../util/assert.js";
import { basePrefix } from "./variants.js";
import type { Ports } from "./ports.js";

/** Whose curvature is measured: names of the base's carry a prefix. */
export type Role = "ascent" | "base";

const prefixOf = (role: Role): string => (role === "base" ? basePrefix : "");

/** Emits what `curvature` has measured at the point, by kind. */
export function emitMeasure(
  ports: Ports,
  role: Role,
  curvature: Curvature,
  w: Params,
  at: Point,
  batch: BatchValues,
): ReadonlyMap<string, Params> {
  const { b, recipe } = ports;
  const { source } = recipe;
  if (!curvature.measure) return new Map();
  const prefix = prefixOf(role);
  const noise = (kind: ScoreNoise): Value => ports.scoreNoise(kind, prefix);
  const evaluateAt = (on: BatchValues, moved: Params): Point =>
    evaluate(b, source, new Map([...ports.parameters("all"), ...moved]), on, true);
  const whole: Rows = { at, elsewhere: (moved) => evaluateAt(batch, moved), noise };
  const rows = (share: number): Rows => {
    if (share === 1) return whole;
    const first = firstRows(b, source, batch, share);
    return {
      at: evaluateAt(first.batch, w),
      elsewhere: (moved) => evaluateAt(first.batch, moved),
      noise: (kind) => first.cut(noise(kind), `the noise of the ${kind}`),
    };
  };
  return curvature.measure.emit({
    ...whole,
    b,
    parameters: ports.infos,
    w,
    rows,
    probe: (kind) => ports.like(prefix + kind),
  });
}

/** What a refresh reads in a fused graph. */
export function measuredHere(
  ports: Ports,
  role: Role,
  values: ReadonlyMap<string, Params>,
  at: Point,
  gradient: Params,
  second: ReturnType<Measured["second"]> | null,
): Measured {
  return {
    probe: (kind) => ports.like(prefixOf(role) + kind),
    value: (kind) => must(values.get(kind), `the measured "${kind}"`),
    gradient: () => gradient,
    weight: () => at.weight,
    second: () => must(second, "a second gradient"),
  };
}

/** What a refresh reads in a phase of its own: inputs of its graph. */
export function measuredBefore(ports: Ports, role: Role, curvature: Curvature): Measured {
  const prefix = prefixOf(role);
  const perturbed = role === "base" && ports.recipe.optimizer.ascent.perturb !== undefined;
  return {
    probe: (kind) => ports.like(prefix + kind),
    value: (kind) => {
      const { shape } = must(
        curvature.measure?.gives.find((g) => g.kind === kind),
        `the measured "${kind}"`,
      );
      return ports.like(prefix + kind, shape);
    },
    gradient: () => ports.like(perturbed ? "perturbed_grad" : "grad"),
    weight: () => ports.scalar("loss_weight"),
    second: () => ({
      w: ports.parameters("trainable"),
      perturbed: ports.like("perturbed"),
      gradient: ports.like("perturbed_grad"),
    }),
  };
}

/** Outputs of a measurement: `<kind>/<param>`. */
export const measuredName = (role: Role, kind: string, parameter: string): string =>
  `${prefixOf(role)}${kind}/${parameter}`;
