import type { Port, ManifestInput } from "../format/manifest.js";
import { labelsType, type Source } from "../frontend/objective.js";
import type { Value } from "../ir/graph.js";
import { must } from "../util/assert.js";
import { isStatic } from "../util/shape.js";
import { version } from "../util/version.js";
import type { Origin } from "./load.js";
import type { Recipe } from "./ports.js";

/** Values of hyper-parameters: for all, or for one group. */
export interface HyperValues {
  all: Readonly<Record<string, number>>;
  groups: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

const port = (v: Value): Port => ({ dtype: v.dtype, shape: [...v.dims] });

function staticShape(v: Value): number[] {
  const dims = v.dims;
  if (!isStatic(dims)) throw new Error(`internal error: "${v.name}" has a dynamic shape`);
  return [...dims];
}

/** The manifest of the package that `recipe` and `graphs` (name → file) make. */
export function describePackage(
  recipe: Recipe,
  origin: Origin,
  values: HyperValues,
  graphs: Readonly<Record<string, string>>,
): ManifestInput {
  const { source, optimizer } = recipe;
  const { ascent, base } = optimizer;
  const labels = labelsType(source.loss);
  const trainable = source.parameters.filter((p) => p.trainable);
  const state: ManifestInput["state"] = { "state/step": { dtype: "float32", shape: [], init: { fill: 0 } } };
  for (const s of optimizer.state.scalars)
    state[`state/${s.name}`] = { dtype: "float32", shape: [], init: { fill: s.fill } };
  for (const t of optimizer.state.tensors) {
    for (const p of trainable) {
      state[`${t.kind}/${p.name}`] = { dtype: p.value.dtype, shape: staticShape(p.value), init: { fill: t.fill } };
    }
  }
  for (const { name, value } of source.buffers)
    state[name] = { dtype: value.dtype, shape: staticShape(value), init: { tensor: name } };
  const random: ManifestInput["random"] = {};
  for (const d of source.dropouts) {
    random[d.name] = { dtype: "bool", shape: [...d.shape], distribution: "bernoulli", p: d.keep, per: "micro-batch" };
  }
  const curvature = ascent.curvature;
  if (curvature) {
    const distribution = curvature.probe(optimizer.ascentOptions);
    for (const p of trainable) {
      random[`z/${p.name}`] = { dtype: p.value.dtype, shape: staticShape(p.value), distribution, per: "refresh" };
    }
  }
  return {
    format: "curvsam-training-package",
    version: 1,
    tool: `curvsam ${version}`,
    source: origin,
    opset: 21,
    irVersion: 10,
    loss: describeLoss(source),
    optimizer: {
      ascent: ascent.name,
      combine: "plain",
      base: base.name,
      estimator: curvature?.estimator ?? null,
      frequency: optimizer.frequency,
      options: { ...optimizer.ascentOptions, ...optimizer.baseOptions },
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
          shape: staticShape(p.value),
          group: p.group,
          trainable: p.trainable,
        },
      ]),
    ),
    state,
    hyper: describeHyper(recipe, values),
    random,
    schedule: [
      ...(curvature ? [{ graph: "curvature_step", every: optimizer.frequency, offset: 0 }] : []),
      { graph: "step", every: 1, offset: 0 },
    ],
    graphs: { ...graphs },
  };
}

function describeLoss(source: Source): ManifestInput["loss"] {
  if (source.loss.kind === "output") return { kind: "output", output: source.loss.value.name };
  const { options, logits } = source.loss;
  return {
    ...options,
    logits: logits.name,
    ...(options.kind === "cross-entropy" ? { classes: must(logits.dims.at(-1), "classes") } : {}),
  };
}

function describeHyper(recipe: Recipe, values: HyperValues): ManifestInput["hyper"] {
  const hyper: ManifestInput["hyper"] = {};
  const groups = [...new Set(recipe.source.parameters.map((p) => p.group))];
  for (const h of recipe.optimizer.hyper) {
    const common = values.all[h.name] ?? h.default;
    if (!recipe.groupedHyper.has(h.name)) {
      hyper[`hyper/${h.name}`] = { default: common, description: h.description };
      continue;
    }
    for (const group of groups) {
      const value = values.groups[group]?.[h.name] ?? common;
      hyper[`hyper/${h.name}/${group}`] = { default: value, description: `${h.description} (group ${group})` };
    }
  }
  return hyper;
}
