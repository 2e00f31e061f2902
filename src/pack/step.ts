import { evaluate, type Params, type Source } from "../frontend/objective.js";
import type { Graph, Value } from "../ir/graph.js";
import { newBuilder } from "../ops/builder.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { allFinite, at, globalNorm, isFinite, mapParams } from "../optim/arithmetic.js";
import { clipped } from "../optim/clip.js";
import { emptyState, type Combined, type Curvature, type Diagnostics, type State } from "../optim/part.js";
import { must } from "../util/assert.js";
import { emitMeasure, measuredHere, type Role } from "./measured.js";
import { Ports, type Recipe } from "./ports.js";
import type { Variant } from "./variants.js";

/**
 * One step of the optimizer on one batch, as one graph: both passes, what is measured beside them, and the descent.
 * Outputs: next/* for every tensor that the step changes, and its diagnostics. A loss or gradient that is not finite, in
 * either pass, leaves everything as it was and sets `skipped`; in mixed precision a measurement that is not finite does too.
 */
export function stepGraph(recipe: Recipe, variant: Variant): Graph {
  const b = newBuilder(variant.name);
  const ports = new Ports(b, recipe);
  const { source, optimizer } = recipe;
  const { ascent, ascentOptions, base, baseOptions, curvature } = optimizer;
  const all = ports.parameters("all");
  const w = ports.parameters("trainable");
  const batch = ports.batch({ labels: true, training: true });
  const diagnostics = new Map<string, Value>();

  const first = b.scope("pass1", () => evaluate(b, source, all, batch, true));
  const g = b.scope("pass1", () => first.grads());
  diagnostics.set("loss", first.loss);
  let ok = b.scope("pass1", () => e.and(b, isFinite(b, first.loss), allFinite(b, g)));

  const refresh = (
    role: Role,
    of: Curvature,
    state: State,
    at: { point: Params; evaluation: typeof first; gradient: Params },
    second: { w: Params; perturbed: Params; gradient: Params } | null,
  ): State =>
    b.scope(role === "base" ? "preconditioner" : "curvature", () => {
      const values = emitMeasure(ports, role, of, at.point, at.evaluation, batch);
      if (skipsOverflow(source)) for (const params of values.values()) ok = e.and(b, ok, allFinite(b, params));
      const measured = measuredHere(ports, role, values, at.evaluation, at.gradient, second);
      const options = role === "base" ? baseOptions : ascentOptions;
      const { next, diagnostics: own } = of.refresh(ports.context(), options, measured, state);
      addAll(diagnostics, own);
      return next;
    });

  const before = ports.state(ascent.state(ascentOptions));
  let renewed = emptyState;
  const atW = { point: w, evaluation: first, gradient: g };
  if (variant.ascentRefresh && !curvature.ascent?.after) {
    renewed = refresh("ascent", must(curvature.ascent, "curvature"), before, atW, null);
  }
  let descentPoint: typeof atW = atW;
  if (variant.second) {
    const point = b.scope("perturb", () =>
      must(ascent.perturb?.(ports.ascentContext(), ascentOptions, w, g, updated(before, renewed)), "a perturbation"),
    );
    const second = b.scope("pass2", () => evaluate(b, source, new Map([...all, ...point.perturbed]), batch, true));
    const gradient = b.scope("pass2", () => second.grads());
    ok = b.scope("pass2", () => e.and(b, ok, e.and(b, isFinite(b, second.loss), allFinite(b, gradient))));
    diagnostics.set("perturbed_loss", second.loss);
    diagnostics.set("perturbation_norm", point.norm);
    addAll(diagnostics, point.diagnostics);
    descentPoint = { point: point.perturbed, evaluation: second, gradient };
    if (variant.ascentRefresh && curvature.ascent?.after) {
      const both = { w, perturbed: point.perturbed, gradient };
      renewed = refresh("ascent", curvature.ascent, before, atW, both);
    }
  }
  addAll(
    diagnostics,
    b.scope("pass1", () => gradientNorms(ports, g)),
  );
  const baseBefore = ports.state(base.state(baseOptions));
  const baseRenewed = variant.baseRefresh
    ? refresh("base", must(curvature.base, "curvature of the base"), baseBefore, descentPoint, null)
    : emptyState;
  b.scope("descend", () => {
    const second = variant.second ? descentPoint.gradient : null;
    const descent = emitDescent(ports, variant, w, g, second, updated(baseBefore, baseRenewed));
    addAll(diagnostics, descent.diagnostics);
    for (const [name, v] of diagnostics) b.output(v, name);
    const was = updated(updated(before, baseBefore), ports.state(optimizer.combine.state(optimizer.combineOptions)));
    outputState(b, keepUnless(b, ok, was, updated(updated(renewed, baseRenewed), descent.state)));
    for (const [name, v] of first.buffers) b.output(e.where(b, ok, v, at(batch.buffers, name)), `next/${name}`);
    outputStep(b, ports, w, descent.next, ok);
  });
  return b.graph;
}

/** Whether a step is skipped too where what was measured overflows: a smaller scale of the loss may help it. */
export const skipsOverflow = (source: Pick<Source, "precision">): boolean => source.precision === "mixed";

/** What the combine rule and the base make of the gradients: the next weights, and what changes of their state. */
export function emitDescent(
  ports: Ports,
  variant: Pick<Variant, "look">,
  w: Params,
  g: Params,
  second: Params | null,
  baseState: State,
): { next: Params; state: State; diagnostics: Diagnostics } {
  const { combine, combineOptions, base, baseOptions, clip } = ports.recipe.optimizer;
  const context = ports.context();
  const combined = ((): Combined => {
    if (!second && !variant.look) return { descent: g, state: emptyState };
    const state = ports.state(combine.state(combineOptions));
    if (second) return combine.combine(context, combineOptions, g, second, state);
    return must(combine.reuse?.(context, combineOptions, g, state), "a step without a second pass");
  })();
  const descent = clipped(context, clip, combined.descent);
  const moved = base.descend(context, baseOptions, w, descent, baseState);
  return {
    next: moved.next,
    state: updated(combined.state, moved.state),
    diagnostics: new Map([...(combined.diagnostics ?? []), ...(moved.diagnostics ?? [])]),
  };
}

/** `grad_norm`, and `grad_norm/<group>` where there are several. */
export function gradientNorms({ b, infos }: Ports, g: Params): Diagnostics {
  const norms = new Map([["grad_norm", globalNorm(b, g)]]);
  const groups = new Set([...infos.values()].map((p) => p.group));
  if (groups.size === 1) return norms;
  for (const group of groups) {
    const members = new Map([...g].filter(([name]) => infos.get(name)?.group === group));
    norms.set(`grad_norm/${group}`, globalNorm(b, members));
  }
  return norms;
}

/** The outputs of every descent: next/* of the weights and of the step count; skipped. */
export function outputStep(b: RuleBuilder, ports: Ports, w: Params, next: Params, ok: Value): void {
  const step = ports.step();
  const taken = e.cast(b, ok, "float32");
  b.output(e.sub(b, e.scalarLike(b, 1, step), taken), "skipped");
  b.output(e.add(b, step, taken), "next/state/step");
  const kept = mapParams(next, (x, name) => e.where(b, ok, x, at(w, name)));
  for (const [name, v] of [...kept].reverse()) b.output(v, `next/${name}`);
}

/** `next` where it has a value, else `old`. */
export const updated = (old: State, next: State): State => ({
  tensors: new Map([...old.tensors, ...next.tensors]),
  scalars: new Map([...old.scalars, ...next.scalars]),
});

/** `next` where the step is taken, else the old state. */
export function keepUnless(b: RuleBuilder, ok: Value, old: State, next: State): State {
  const before = (kind: string): Params => must(old.tensors.get(kind), kind);
  return {
    tensors: new Map(
      [...next.tensors].map(([kind, ps]) => [
        kind,
        mapParams(ps, (x, name) => e.where(b, ok, x, at(before(kind), name))),
      ]),
    ),
    scalars: new Map(
      [...next.scalars].map(([name, x]) => [name, e.where(b, ok, x, must(old.scalars.get(name), name))]),
    ),
  };
}

export function outputState(b: RuleBuilder, state: State): void {
  for (const [name, v] of state.scalars) b.output(v, `next/state/${name}`);
  for (const [kind, params] of state.tensors) for (const [name, v] of params) b.output(v, `next/${kind}/${name}`);
}

function addAll(to: Map<string, Value>, from: Diagnostics | undefined): void {
  for (const [name, v] of from ?? []) to.set(name, v);
}
