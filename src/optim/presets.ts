import { UserError } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";

/** Settings of CurvSAM under one name. */
export interface Preset {
  summary: string;
  options: Readonly<Record<string, unknown>>;
  hyper: Readonly<Record<string, number>>;
}

export const presets = {
  paper: { summary: "Algorithm 1 of the CurvSAM paper", options: {}, hyper: {} },
  /**
   * What the race of estimators chose (docs/PRESETS.md): of those that meet the bounds of time it alone knows the diagonal at
   * least as well as the exact product with Gaussian probes does, on every network. Its scale is that of the Gauss-Newton
   * diagonal, which fades near interpolation: so ρ is SAM's (‖ε‖₂ = ρ), and the floor follows √h.
   */
  fast: {
    summary: "curvature of the Gauss-Newton matrix on a quarter of the batch, and SAM's radius",
    options: {
      ...{ estimator: "gauss-newton", share: 0.25, initial: "zero", radius: "euclidean", floor: "relative" },
      keep_scale: true,
    },
    hyper: { delta: 0.05 },
  },
} satisfies Record<string, Preset>;

export type PresetName = keyof typeof presets;
export const presetNames = Object.keys(presets) as PresetName[];

/** Options and hyper-parameters of an ascent with a preset behind those that are given. */
export function withPreset(
  name: string,
  ascent: string,
  options: Readonly<Record<string, unknown>>,
  hyper: Readonly<Record<string, number>>,
): { options: Record<string, unknown>; hyper: Record<string, number> } {
  const known = presetNames.find((preset) => preset === name);
  if (!known) {
    throw new UserError(
      `no preset is called "${name}"; use one of ${presetNames.join(", ")}${didYouMean(name, presetNames)}`,
    );
  }
  if (ascent !== "curvsam") throw new UserError(`preset "${name}" is one of curvsam; ${ascent} has none`);
  const preset: Preset = presets[known];
  // A floor of another kind has a δ of its own.
  const own = "floor" in options && options["floor"] !== preset.options["floor"] ? {} : preset.hyper;
  return { options: { ...preset.options, ...options }, hyper: { ...own, ...hyper } };
}
