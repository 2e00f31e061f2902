import type { Port, ManifestInput } from "../format/manifest.js";
import type { Measure } from "../curvature/measure.js";
import { comparesClasses } from "../frontend/losses.js";
import { knownLoss, labelsType, lossTarget, scoreNoise, type Source } from "../frontend/objective.js";
import type { Value } from "../ir/graph.js";
import { partsOf } from "../optim/compose.js";
import { hyperNames } from "../optim/schema.js";
import type { JsonValue } from "../util/json.js";
import { must } from "../util/assert.js";
import { version } from "../util/version.js";
import type { Origin } from "./load.js";
import { parameterInfos, staticShape, type Recipe } from "./ports.js";
import { basePrefix, phasesOf, variantsOf } from "./variants.js";

/** Values of hyper-parameters: for all, or for one group. */
export interface HyperValues {
  all: Readonly<Record<string, number>>;
  groups: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const port = (v: Value): Port => ({ dtype: v.dtype, shape: [...v.dims] });

/** The manifest of the package that `recipe` and `graphs` (name → file) make. */
export function describePackage(
  recipe: Recipe,
  origin: Origin,
  values: HyperValues,
  graphs: Readonly<Record<string, string>>,
): ManifestInput {
  const { source, optimizer } = recipe;
  const { ascent, combine, base } = optimizer;
  const labels = labelsType(source.loss);
  const infos = [...parameterInfos(source).values()];
  const state: ManifestInput["state"] = { "state/step": { dtype: "float32", shape: [], init: { fill: 0 } } };
  for (const s of optimizer.state.scalars)
    state[`state/${s.name}`] = { dtype: "float32", shape: [], init: { fill: s.fill } };
  for (const t of optimizer.state.tensors) {
    for (const p of infos) {
      const shape = (t.shape ?? ((like) => like.shape))(p);
      const init = t.identity ? { identity: t.fill } : { fill: t.fill };
      if (shape) state[`${t.kind}/${p.name}`] = { dtype: t.dtype ?? "float32", shape: [...shape], init };
    }
  }
  for (const { name, value } of source.buffers)
    state[name] = { dtype: value.dtype, shape: [...staticShape(value)], init: { tensor: name } };
  const variants = variantsOf(optimizer);
  const phases = Object.fromEntries(variants.map((v) => [v.name, phasesOf(optimizer, v)]));
  return {
    format: "curvsam-training-package",
    version: 1,
    tool: `curvsam ${version}`,
    source: origin,
    opset: 21,
    irVersion: 10,
    ...(source.precision === "mixed" && { precision: source.precision }),
    loss: describeLoss(source),
    optimizer: {
      ascent: ascent.name,
      combine: combine.name,
      base: base.name,
      estimator: (optimizer.curvature.ascent ?? optimizer.curvature.base)?.estimator ?? null,
      frequency: optimizer.frequency,
      options: Object.assign({}, ...partsOf(optimizer).map(structure)) as Record<string, JsonValue>,
      parts: Object.fromEntries(partsOf(optimizer).map((p) => [p.part.name, structure(p)])),
    },
    inputs: Object.fromEntries(
      [...source.inputs].map(([name, v]) => [name, name === v.name ? port(v) : { ...port(v), source: v.name }]),
    ),
    targets: labels ? { labels: { dtype: labels.dtype, shape: [...labels.shape] } } : {},
    outputs: Object.fromEntries([...source.outputs].map(([name, v]) => [name, port(v)])),
    parameters: Object.fromEntries(
      source.parameters.map((p) => [
        p.name,
        {
          initializer: p.initializer,
          transposed: p.transposed,
          dtype: p.value.dtype,
          shape: [...staticShape(p.value)],
          group: p.group,
          trainable: p.trainable,
        },
      ]),
    ),
    state,
    hyper: describeHyper(recipe, values),
    random: describeRandom(recipe),
    handed: describeHanded(recipe),
    schedule: variants.map(({ name, every }) => ({ graph: name, every, offset: 0 })),
    phases,
    refreshes: partsOf(optimizer).flatMap(({ part, options }) =>
      (part.refreshes?.(options) ?? [])
        .filter((r) => r.name in graphs)
        .map((r) => ({
          graph: r.name,
          every: r.every(options),
          offset: r.offset(options),
        })),
    ),
    graphs: { ...graphs },
  };
}

/** The options that shape the graphs; hyper-parameters have their own place. */
function structure({ part, options }: ReturnType<typeof partsOf>[number]): Record<string, JsonValue> {
  const numbers = hyperNames(part.options);
  return Object.fromEntries(Object.entries(options).filter(([name]) => !numbers.includes(name))) as Record<
    string,
    JsonValue
  >;
}

/** Dropout masks, the probes of what is measured, and the noise of drawn labels. */
function describeRandom({ source, optimizer }: Recipe): ManifestInput["random"] {
  const random: ManifestInput["random"] = {};
  for (const d of source.dropouts) {
    random[d.name] = { dtype: "bool", shape: [...d.shape], distribution: "bernoulli", p: d.keep, per: "micro-batch" };
  }
  for (const { prefix, measure } of measures(optimizer)) {
    for (const { kind, distribution } of measure.probes) {
      for (const p of parameterInfos(source).values()) {
        const shape = [...p.shape];
        random[`${prefix}${kind}/${p.name}`] = { dtype: "float32", shape, distribution, per: "refresh" };
      }
    }
    const noise = measure.noise && scoreNoise(source.loss, measure.noise);
    if (noise) {
      const { shape, distribution } = noise;
      random[`random/${prefix}${measure.noise}`] = {
        dtype: "float32",
        shape: [...shape],
        distribution,
        per: "micro-batch",
      };
    }
  }
  return random;
}

/** What phases hand to one another beside what has a parameter's shape and a name of the format. */
function describeHanded({ source, optimizer }: Recipe): ManifestInput["handed"] {
  const handed: NonNullable<ManifestInput["handed"]> = {};
  for (const { prefix, measure } of measures(optimizer)) {
    for (const { kind, shape: of } of measure.gives) {
      if (prefix + kind === "hvp") continue;
      for (const p of parameterInfos(source).values()) {
        const shape = of ? of(p) : p.shape;
        if (shape) handed[`${prefix}${kind}/${p.name}`] = { dtype: "float32", shape: [...shape] };
      }
    }
  }
  return handed;
}

const measures = ({ curvature }: Recipe["optimizer"]): { prefix: string; measure: Measure }[] => [
  ...(curvature.ascent?.measure ? [{ prefix: "", measure: curvature.ascent.measure }] : []),
  ...(curvature.base?.measure ? [{ prefix: basePrefix, measure: curvature.base.measure }] : []),
];

function describeLoss(source: Source): ManifestInput["loss"] {
  const known = knownLoss(source.loss);
  if (!known) return { kind: "output", output: lossTarget(source.loss).name };
  const { options, logits } = known;
  return {
    ...options,
    logits: [...source.outputs].find(([, v]) => v === logits)?.[0] ?? logits.name,
    ...(comparesClasses(options) ? { classes: must(logits.dims.at(-1), "classes") } : {}),
  };
}

function describeHyper(recipe: Recipe, values: HyperValues): ManifestInput["hyper"] {
  const hyper: ManifestInput["hyper"] = {};
  const groups = [...new Set(recipe.source.parameters.map((p) => p.group))];
  for (const { name, default: fallback, description, range, follows } of recipe.optimizer.hyper) {
    const common = values.all[name] ?? fallback;
    const entry = { description, ...(range && { range }) };
    const leader = follows === undefined || values.all[name] !== undefined ? undefined : follows;
    if (!recipe.groupedHyper.has(name)) {
      hyper[`hyper/${name}`] = { default: common, ...entry, ...(leader && { follows: `hyper/${leader}` }) };
      continue;
    }
    for (const group of groups) {
      const own = values.groups[group] ?? {};
      hyper[`hyper/${name}/${group}`] = {
        default: own[name] ?? (leader === undefined ? undefined : own[leader]) ?? common,
        ...entry,
        description: `${description} (group ${group})`,
        ...(leader && own[name] === undefined && { follows: `hyper/${leader}/${group}` }),
      };
    }
  }
  return hyper;
}
