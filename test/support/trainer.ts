import type { Source } from "../../src/frontend/objective.js";
import type { Graph } from "../../src/ir/graph.js";
import { compose, partsOf, type Optimizer } from "../../src/optim/compose.js";
import { forwardGraph, gradientGraph, perturbGraph, refreshGraph } from "../../src/pack/phases.js";
import type { Role } from "../../src/pack/measured.js";
import { parameterInfos, type Recipe } from "../../src/pack/ports.js";
import { stepGraph } from "../../src/pack/step.js";
import { variantsOf } from "../../src/pack/variants.js";
import { must } from "../../src/util/assert.js";
import { sizeOf } from "../../src/util/shape.js";
import { array, scalar, type Array64 } from "../reference/array.js";
import { outputsOf } from "../reference/evaluate.js";
import type { Vectors } from "../reference/optimizers.js";

export type Feeds = Record<string, Array64>;

/** The graphs of an optimizer over a source, evaluated in float64 on the schedule, and the state that goes round. */
export class Trainer {
  readonly recipe: Recipe;
  /** The trainable parameters. */
  readonly names: string[];
  readonly feeds: Feeds = {};
  private readonly graphs = new Map<string, Graph>();
  private readonly gradients: Graph;

  constructor(
    readonly source: Source,
    readonly optimizer: Optimizer,
    private readonly hyper: Readonly<Record<string, number>> = {},
    /** Hyper-parameters that differ between groups. */
    private readonly grouped: Readonly<Record<string, Readonly<Record<string, number>>>> = {},
  ) {
    this.recipe = { source, optimizer, groupedHyper: new Set(Object.keys(grouped)) };
    this.names = source.parameters.filter((p) => p.trainable).map((p) => p.name);
    for (const p of source.parameters) {
      const tensor = must(source.graph.initializers.get(p.value), p.name);
      this.feeds[p.name] = array("float32", tensor.dims, tensor.numbers());
    }
    for (const { name, value } of source.buffers) {
      const tensor = must(source.graph.initializers.get(value), name);
      this.feeds[name] = array("float32", tensor.dims, tensor.numbers());
    }
    for (const p of parameterInfos(source).values()) {
      for (const t of optimizer.state.tensors) {
        const shape = t.shape ? t.shape(p) : p.shape;
        if (!shape) continue;
        const n = shape.at(-1) ?? 1;
        const data = Float64Array.from({ length: sizeOf(shape) }, (_, i) =>
          !t.identity || (i % (n * n)) % (n + 1) === 0 ? t.fill : 0,
        );
        this.feeds[`${t.kind}/${p.name}`] = array("float32", shape, data);
      }
    }
    const set = (name: string, x: number): void => void (this.feeds[name] = scalar(x, "float32"));
    set("state/step", 0);
    for (const s of optimizer.state.scalars) set(`state/${s.name}`, s.fill);
    for (const h of optimizer.hyper) set(`hyper/${h.name}`, hyper[h.name] ?? h.default);
    for (const [name, values] of Object.entries(grouped)) {
      for (const [group, x] of Object.entries(values)) set(`hyper/${name}/${group}`, x);
    }
    this.gradients = gradientGraph({ ...this.recipe, optimizer: compose("none", "sgd") });
  }

  /** Step t: what needs no batch first, then the fused graph. Returns the outputs of the latter; a skip undoes the former. */
  run(t: number, batch: Feeds): Feeds {
    const before = { ...this.feeds };
    for (const { part, options } of partsOf(this.optimizer)) {
      for (const refresh of part.refreshes?.(options) ?? []) {
        const since = t - refresh.offset(options);
        if (since < 0 || since % refresh.every(options) !== 0) continue;
        const graph = this.graph(refresh.name, () => refreshGraph(this.recipe, part, options, refresh));
        this.keep(outputsOf(graph, this.feeds));
      }
    }
    const variant = must(
      variantsOf(this.optimizer).find(({ every }) => t % every === 0),
      `a variant for step ${t}`,
    );
    const graph = this.graph(variant.name, () => stepGraph(this.recipe, variant));
    const out = this.keep(outputsOf(graph, { ...this.feeds, ...batch }));
    if (out["skipped"]?.data[0] === 1) Object.assign(this.feeds, before);
    return out;
  }

  /** ∇L on the batch at weights w. */
  gradient(w: Vectors, batch: Feeds): Float64Array[] {
    const out = outputsOf(this.gradients, { ...this.feeds, ...batch, ...this.named("", w) });
    return this.names.map((n) => must(out[`grad/${n}`], n).data);
  }

  /** The buffers after a forward pass in training mode at weights w. */
  buffers(w: Vectors, batch: Feeds): Float64Array[] {
    const out = outputsOf(this.gradients, { ...this.feeds, ...batch, ...this.named("", w) });
    return this.source.buffers.map(({ name }) => must(out[`next/${name}`] ?? this.feeds[name], name).data);
  }

  /** ∇²L z on the batch at weights w. */
  hvp(w: Vectors, z: Vectors, batch: Feeds): Float64Array[] {
    const out = this.measure(compose("curvsam", "sgd"), "ascent", w, { ...batch, ...this.named("z/", z) });
    return this.names.map((n) => must(out[`hvp/${n}`], n).data);
  }

  /** What an optimizer has measured on the batch at weights w. */
  measure(optimizer: Optimizer, role: Role, w: Vectors, batch: Feeds): Feeds {
    const { estimator } = must(optimizer.curvature[role], role);
    const graph = this.graph(`measure ${estimator}`, () => gradientGraph({ ...this.recipe, optimizer }, role));
    return outputsOf(graph, { ...this.feeds, ...batch, ...this.named("", w) });
  }

  /** The same optimizer in the state that it is in, at weights w. */
  at(w: Vectors): Trainer {
    const other = new Trainer(this.source, this.optimizer, this.hyper, this.grouped);
    Object.assign(other.feeds, this.feeds, this.named("", w));
    return other;
  }

  /** ε of the ascent at weights w, in the state that the optimizer is in. */
  perturbation(w: Vectors, batch: Feeds): Float64Array[] {
    return this.perturbationOf(w, this.gradient(w, batch));
  }

  /** The same from a gradient. */
  perturbationOf(w: Vectors, g: Vectors): Float64Array[] {
    const graph = this.graph("perturb", () => perturbGraph(this.recipe));
    const out = outputsOf(graph, { ...this.feeds, ...this.named("", w), ...this.named("grad/", g) });
    return this.names.map((n, k) => must(out[`perturbed/${n}`], n).data.map((x, i) => x - (w[k]?.[i] ?? NaN)));
  }

  /** The model's first output at weights w. */
  outputs(w: Vectors, batch: Feeds): Array64 {
    const graph = this.graph("forward", () => forwardGraph(this.recipe));
    const out = outputsOf(graph, { ...this.feeds, ...batch, ...this.named("", w) });
    return must(Object.values(out)[0], "an output");
  }

  /** One tensor a parameter, as feeds `<prefix><param>`. */
  named(prefix: string, values: Vectors): Feeds {
    return Object.fromEntries(
      this.names.map((n, k) => [prefix + n, array("float32", must(this.feeds[n], n).dims, must(values[k], n))]),
    );
  }

  weights(): Float64Array[] {
    return this.names.map((n) => must(this.feeds[n], n).data);
  }

  shapes(): (readonly number[])[] {
    return this.names.map((n) => must(this.feeds[n], n).dims);
  }

  private graph(name: string, emit: () => Graph): Graph {
    const graph = this.graphs.get(name) ?? emit();
    this.graphs.set(name, graph);
    return graph;
  }

  private keep(out: Feeds): Feeds {
    for (const [name, x] of Object.entries(out)) if (name.startsWith("next/")) this.feeds[name.slice(5)] = x;
    return out;
  }
}
