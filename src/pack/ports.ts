import { labelsType, type BatchValues, type Params, type Source } from "../frontend/objective.js";
import { tensorType, type Value } from "../ir/graph.js";
import type { Optimizer } from "../optim/compose.js";
import type { State, StateLayout, StepContext } from "../optim/part.js";
import type { RuleBuilder } from "../ops/rule.js";

/** A model and the optimizer that its package holds. */
export interface Recipe {
  source: Source;
  optimizer: Optimizer;
  /** Hyper-parameters that have a value of their own in each group: `hyper/<name>/<group>`. */
  groupedHyper: ReadonlySet<string>;
}

/** The inputs of one emitted graph, by the names of the package format; each is declared when it is first asked for. */
export class Ports {
  private readonly declared = new Map<string, Value>();
  private readonly groups: ReadonlyMap<string, string>;
  constructor(
    readonly b: RuleBuilder,
    readonly recipe: Recipe,
  ) {
    this.groups = new Map(recipe.source.parameters.map((p) => [p.name, p.group]));
  }

  /** Every parameter, or only the trainable ones. */
  parameters(which: "all" | "trainable"): Params {
    const chosen = this.recipe.source.parameters.filter((p) => which === "all" || p.trainable);
    return new Map(chosen.map((p) => [p.name, this.input(p.name, p.value.type ?? undefined)]));
  }

  /** One tensor like every trainable parameter, called `<prefix>/<param>`. */
  like(prefix: string): Params {
    const chosen = this.recipe.source.parameters.filter((p) => p.trainable);
    return new Map(chosen.map((p) => [p.name, this.input(`${prefix}/${p.name}`, p.value.type ?? undefined)]));
  }

  batch(options: { labels: boolean; training: boolean }): BatchValues {
    const { source } = this.recipe;
    const inputs = new Map([...source.inputs].map(([name, v]) => [name, this.input(name, v.type ?? undefined)]));
    const type = options.labels ? labelsType(source.loss) : null;
    const labels = type && this.input("labels", tensorType(type.dtype, type.shape));
    const masks = options.training ? source.dropouts : [];
    const random = new Map(masks.map((m) => [m.name, this.input(m.name, tensorType("bool", m.shape))]));
    const reads = !options.training || source.movesBuffers;
    return { inputs, labels, random, buffers: reads ? this.buffers() : new Map() };
  }

  /** The running statistics of batch norms. */
  private buffers(): Params {
    const { buffers } = this.recipe.source;
    return new Map(buffers.map((f) => [f.name, this.input(f.name, f.value.type ?? undefined)]));
  }

  state(layout: StateLayout): State {
    return {
      tensors: new Map(layout.tensors.map((t) => [t.kind, this.like(t.kind)])),
      scalars: new Map(layout.scalars.map((s) => [s.name, this.scalar(`state/${s.name}`)])),
    };
  }

  step(): Value {
    return this.scalar("state/step");
  }

  /** What parts emit with; the step count becomes an input only where a part reads it. */
  context(): StepContext {
    const step = (): Value => this.step();
    return {
      b: this.b,
      hyper: (name, parameter) => {
        const group = parameter !== undefined && this.recipe.groupedHyper.has(name) ? this.groups.get(parameter) : null;
        return this.scalar(group ? `hyper/${name}/${group}` : `hyper/${name}`);
      },
      get step() {
        return step();
      },
    };
  }

  private scalar(name: string): Value {
    return this.input(name, tensorType("float32", []));
  }

  private input(name: string, type: Value["type"] = null): Value {
    let value = this.declared.get(name);
    if (!value) this.declared.set(name, (value = this.b.input(name, type ?? tensorType("float32", null))));
    return value;
  }
}
