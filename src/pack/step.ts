import { evaluate, type Params } from "../frontend/objective.js";
import type { Graph, Value } from "../ir/graph.js";
import { newBuilder } from "../ops/builder.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { allFinite, at, globalNorm, isFinite, mapParams } from "../optim/arithmetic.js";
import type { Base, Diagnostics, State } from "../optim/part.js";
import { must } from "../util/assert.js";
import { Ports, type Recipe } from "./ports.js";

/**
 * One step of the optimizer on one batch, as one graph: both passes, and with `refresh` the curvature between them.
 * Outputs: next/* for every tensor that the step changes, and its diagnostics. A loss or gradient that is not finite, in
 * either pass, leaves everything as it was and sets `skipped`.
 */
export function stepGraph(recipe: Recipe, refresh: boolean): Graph {
  const b = newBuilder(refresh ? "curvature_step" : "step");
  const ports = new Ports(b, recipe);
  const { source, optimizer } = recipe;
  const { ascent, ascentOptions, base, baseOptions } = optimizer;
  const all = ports.parameters("all");
  const w = new Map([...ports.parameters("trainable")]);
  const batch = ports.batch({ labels: true, training: true });
  const context = ports.context();

  const first = b.scope("pass1", () => evaluate(b, source, all, batch, true));
  const g = b.scope("pass1", () => first.grads());
  const diagnostics = new Map<string, Value>([["loss", first.loss]]);
  let ok = b.scope("pass1", () => e.and(b, isFinite(b, first.loss), allFinite(b, g)));
  let descent: Params = g;
  let nextAscent: State | null = null;
  const ascentState = ports.state(ascent.state(ascentOptions));
  if (ascent.perturb) {
    let state = ascentState;
    if (refresh) {
      const curvature = must(ascent.curvature, "a curvature refresh");
      const probe = ports.like("z");
      const refreshed = b.scope("curvature", () =>
        curvature.refresh(context, ascentOptions, probe, first.hvp(probe), state),
      );
      nextAscent = refreshed.next;
      state = {
        tensors: new Map([...state.tensors, ...refreshed.next.tensors]),
        scalars: new Map([...state.scalars, ...refreshed.next.scalars]),
      };
      addAll(diagnostics, refreshed.diagnostics);
    }
    const point = b.scope("perturb", () =>
      must(ascent.perturb?.(context, ascentOptions, w, g, state), "a perturbation"),
    );
    const second = b.scope("pass2", () => evaluate(b, source, new Map([...all, ...point.perturbed]), batch, true));
    descent = b.scope("pass2", () => second.grads());
    ok = b.scope("pass2", () => e.and(b, ok, e.and(b, isFinite(b, second.loss), allFinite(b, descent))));
    diagnostics.set("perturbed_loss", second.loss);
    diagnostics.set("perturbation_norm", point.norm);
  }
  diagnostics.set(
    "grad_norm",
    b.scope("pass1", () => globalNorm(b, g)),
  );
  b.scope("descend", () => {
    for (const [name, v] of diagnostics) b.output(v, name);
    if (nextAscent) outputState(b, keepUnless(b, ok, ascentState, nextAscent));
    for (const [name, v] of first.buffers) b.output(e.where(b, ok, v, at(batch.buffers, name)), `next/${name}`);
    emitStep(b, ports, base, baseOptions, w, descent, ok);
  });
  return b.graph;
}

/** Emits the descent and its outputs: next/* of the weights, of the base's state and of the step count; skipped. */
export function emitStep(
  b: RuleBuilder,
  ports: Ports,
  base: Base,
  options: Record<string, unknown>,
  w: Params,
  descent: Params,
  ok: Value,
): void {
  const state = ports.state(base.state(options));
  const context = ports.context();
  const { next, state: nextState } = base.descend(context, options, w, descent, state);
  const one = e.scalarLike(b, 1, context.step);
  const taken = e.cast(b, ok, "float32");
  b.output(e.sub(b, one, taken), "skipped");
  b.output(e.add(b, context.step, taken), "next/state/step");
  outputState(b, keepUnless(b, ok, state, nextState));
  const kept = mapParams(next, (x, name) => e.where(b, ok, x, at(w, name)));
  for (const [name, v] of [...kept].reverse()) b.output(v, `next/${name}`);
}

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

function addAll(to: Map<string, Value>, from: Diagnostics): void {
  for (const [name, v] of from) to.set(name, v);
}
