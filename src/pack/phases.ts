import { evaluate, forward, lossOf, type Params } from "../frontend/objective.js";
import type { Graph } from "../ir/graph.js";
import { newBuilder } from "../ops/builder.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { allFinite, globalNorm } from "../optim/arithmetic.js";
import { must } from "../util/assert.js";
import { emitStep, outputState } from "./step.js";
import { Ports, type Recipe } from "./ports.js";

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
  const map = forward(b, source, ports.parameters("all"), batch, false, [...source.outputs.values()]);
  const loss = lossOf(b, source, map, batch);
  for (const [name, v] of source.outputs) b.output(must(map.get(v), name), name);
  b.output(loss.sum, "loss_sum");
  b.output(loss.weight, "loss_weight");
  return b.graph;
}

/** parameters, batch → loss, loss_weight, grad/*, next/* of the buffers; with `hvp` also z/* → hvp/*. */
export function gradientGraph(recipe: Recipe, hvp: boolean): Graph {
  const { b, ports } = start(hvp ? "hvp" : "gradient", recipe);
  const params = ports.parameters("all");
  const batch = ports.batch({ labels: true, training: true });
  const at = b.scope("pass1", () => evaluate(b, recipe.source, params, batch, true));
  const grads = b.scope("pass1", () => at.grads());
  const products = hvp ? b.scope("curvature", () => at.hvp(ports.like("z"))) : null;
  b.output(at.loss, "loss");
  b.output(at.weight, "loss_weight");
  outputParams(b, "grad", grads);
  outputParams(b, "next", at.buffers);
  if (products) outputParams(b, "hvp", products);
  return b.graph;
}

/** z/*, hvp/*, curvature state → its next values. */
export function curvatureGraph(recipe: Recipe): Graph {
  const { b, ports } = start("curvature", recipe);
  const { ascent, ascentOptions } = recipe.optimizer;
  const curvature = must(ascent.curvature, "a curvature refresh");
  const state = ports.state(ascent.state(ascentOptions));
  const { next, diagnostics } = b.scope("curvature", () =>
    curvature.refresh(ports.context(), ascentOptions, ports.like("z"), ports.like("hvp"), state),
  );
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
    must(ascent.perturb?.(ports.context(), ascentOptions, w, g, state), "a perturbation"),
  );
  b.output(
    b.scope("perturb", () => globalNorm(b, g)),
    "grad_norm",
  );
  b.output(result.norm, "perturbation_norm");
  outputParams(b, "perturbed", result.perturbed);
  return b.graph;
}

/** parameters, grad/*, perturbed_grad/*, state → next/*, skipped. Without a second pass there is no perturbed_grad. */
export function descendGraph(recipe: Recipe): Graph {
  const { b, ports } = start("descend", recipe);
  const { ascent, base, baseOptions } = recipe.optimizer;
  const w = ports.parameters("trainable");
  const g = ports.like("grad");
  const second = ascent.perturb ? ports.like("perturbed_grad") : null;
  b.scope("descend", () => {
    let ok = allFinite(b, g);
    if (second) ok = e.and(b, ok, allFinite(b, second));
    emitStep(b, ports, base, baseOptions, w, second ?? g, ok);
  });
  return b.graph;
}

function start(name: string, recipe: Recipe): { b: RuleBuilder; ports: Ports } {
  const b = newBuilder(name);
  return { b, ports: new Ports(b, recipe) };
}
