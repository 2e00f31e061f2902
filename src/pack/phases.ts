import { evaluate, forward, lossOf, lossTarget, type Params } from "../frontend/objective.js";
import type { Graph } from "../ir/graph.js";
import { newBuilder } from "../ops/builder.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { allFinite } from "../optim/arithmetic.js";
import { must } from "../util/assert.js";
import type { ZodObject } from "zod";
import type { Part, Refresh } from "../optim/part.js";
import { emitMeasure, measuredBefore, measuredName, type Role } from "./measured.js";
import { Ports, type Recipe } from "./ports.js";
import { emitDescent, gradientNorms, keepUnless, outputState, outputStep, skipsOverflow, updated } from "./step.js";
import { basePrefix, type Variant } from "./variants.js";

const outputParams = (b: RuleBuilder, prefix: string, params: Params): void => {
  for (const [name, v] of params) b.output(v, `${prefix}/${name}`);
};

/** inputs → outputs, in evaluation mode: what is served. */
export function forwardGraph(recipe: Recipe): Graph {
  const { b, ports } = start("forward", recipe);
  const { source } = recipe;
  const batch = ports.batch({ labels: false, training: false });
  const map = forward(b, source, ports.parameters("all"), batch, false, [...source.outputs.values()]);
  for (const [name, v] of source.outputs) b.output(must(map.get(v), name), name);
  return b.graph;
}

/** inputs, labels → outputs, loss_sum, loss_weight, in evaluation mode. */
export function evaluateGraph(recipe: Recipe): Graph {
  const { b, ports } = start("evaluate", recipe);
  const { source } = recipe;
  const batch = ports.batch({ labels: true, training: false });
  const wanted = [...source.outputs.values(), lossTarget(source.loss)];
  const map = forward(b, source, ports.parameters("all"), batch, false, wanted);
  const loss = lossOf(b, source, map, batch);
  for (const [name, v] of source.outputs) b.output(must(map.get(v), name), name);
  b.output(loss.sum, "loss_sum");
  b.output(loss.weight, "loss_weight");
  return b.graph;
}

/** parameters, batch → loss, loss_weight, grad/*, next/* of the buffers; and what the ascent or the base has measured at this point. */
export function gradientGraph(recipe: Recipe, measure?: Role): Graph {
  const curvature = measure && must(recipe.optimizer.curvature[measure], "curvature");
  const graph = curvature?.measure?.graph ?? "";
  const { b, ports } = start(measure ? `${measure === "base" ? basePrefix : ""}${graph}` : "gradient", recipe);
  const params = ports.parameters("all");
  const batch = ports.batch({ labels: true, training: true });
  const at = b.scope("pass1", () => evaluate(b, recipe.source, params, batch, true));
  const grads = b.scope("pass1", () => at.grads());
  const measured =
    curvature &&
    b.scope("curvature", () => emitMeasure(ports, measure, curvature, ports.parameters("trainable"), at, batch));
  b.output(at.loss, "loss");
  b.output(at.weight, "loss_weight");
  outputParams(b, "grad", grads);
  outputParams(b, "next", at.buffers);
  for (const [kind, params] of measured ?? []) {
    for (const [name, v] of params) b.output(v, measuredName(measure ?? "ascent", kind, name));
  }
  return b.graph;
}

/** What was measured, the curvature state → its next values; in mixed precision also whether it overflowed, as `skipped`. */
export function curvatureGraph(recipe: Recipe, role: Role): Graph {
  const { b, ports } = start(role === "base" ? "preconditioner" : "curvature", recipe);
  const { ascent, ascentOptions, base, baseOptions, curvature } = recipe.optimizer;
  const of = must(curvature[role], "a curvature refresh");
  const options = role === "base" ? baseOptions : ascentOptions;
  const state = ports.state(role === "base" ? base.state(baseOptions) : ascent.state(ascentOptions));
  const measured = measuredBefore(ports, role, of);
  const { next, diagnostics } = b.scope(b.graph.name, () => of.refresh(ports.context(), options, measured, state));
  if (skipsOverflow(recipe.source) && of.measure) {
    const { gives } = of.measure;
    b.scope(b.graph.name, () => {
      const ok = gives.map(({ kind }) => allFinite(b, measured.value(kind))).reduce((x, y) => e.and(b, x, y));
      b.output(e.cast(b, e.not(b, ok), "float32"), "skipped");
    });
  }
  outputState(b, next);
  for (const [name, v] of diagnostics) b.output(v, name);
  return b.graph;
}

/** parameters, grad/*, state → perturbed/*, perturbation_norm. */
export function perturbGraph(recipe: Recipe): Graph {
  const { b, ports } = start("perturb", recipe);
  const { ascent, ascentOptions } = recipe.optimizer;
  const w = ports.parameters("trainable");
  const g = ports.like("grad");
  const state = ports.state(ascent.state(ascentOptions));
  const result = b.scope("perturb", () =>
    must(ascent.perturb?.(ports.ascentContext(), ascentOptions, w, g, state), "a perturbation"),
  );
  for (const [name, v] of b.scope("perturb", () => gradientNorms(ports, g))) b.output(v, name);
  b.output(result.norm, "perturbation_norm");
  for (const [name, v] of result.diagnostics ?? []) b.output(v, name);
  outputParams(b, "perturbed", result.perturbed);
  return b.graph;
}

/** parameters, grad/*, perturbed_grad/*, state → next/*, skipped. Without a second pass there is no perturbed_grad. */
export function descendGraph(recipe: Recipe, variant: Pick<Variant, "look" | "second">): Graph {
  const { b, ports } = start(variant.look ? "look_descend" : "descend", recipe);
  const { base, baseOptions, combine, combineOptions } = recipe.optimizer;
  const w = ports.parameters("trainable");
  const g = ports.like("grad");
  const second = variant.second ? ports.like("perturbed_grad") : null;
  b.scope("descend", () => {
    let ok = allFinite(b, g);
    if (second) ok = e.and(b, ok, allFinite(b, second));
    const baseState = ports.state(base.state(baseOptions));
    const descent = emitDescent(ports, variant, w, g, second, baseState);
    const norms = second ? [] : gradientNorms(ports, g);
    for (const [name, v] of [...norms, ...descent.diagnostics]) b.output(v, name);
    const was = updated(baseState, ports.state(combine.state(combineOptions)));
    outputState(b, keepUnless(b, ok, was, descent.state));
    outputStep(b, ports, w, descent.next, ok);
  });
  return b.graph;
}

/** The graph of a refresh that needs no batch: state → next/state. */
export function refreshGraph(recipe: Recipe, part: Part<ZodObject>, options: object, refresh: Refresh): Graph {
  const { b, ports } = start(refresh.name, recipe);
  const settled = options as Record<string, unknown>;
  const next = b.scope(refresh.name, () => refresh.emit(ports.context(), settled, ports.state(part.state(settled))));
  outputState(b, next);
  return b.graph;
}

function start(name: string, recipe: Recipe): { b: RuleBuilder; ports: Ports } {
  const b = newBuilder(name);
  return { b, ports: new Ports(b, recipe) };
}
