import { findLayers } from "../curvature/layers.js";
import type { Params, ScoreNoise } from "../curvature/measure.js";
import { labelsType, scoreNoise, type BatchValues, type Source } from "../frontend/objective.js";
import { rolesOf } from "../curvature/roles.js";
import { tensorType, type Value } from "../ir/graph.js";
import type { RuleBuilder } from "../ops/rule.js";
import type { Optimizer } from "../optim/compose.js";
import type { ParameterInfo, State, StateLayout, StepContext } from "../optim/part.js";
import { must } from "../util/assert.js";
import type { DType } from "../util/dtype.js";
import { isStatic } from "../util/shape.js";

/** A model and the optimizer that its package holds. */
export interface Recipe {
  source: Source;
  optimizer: Optimizer;
  /** Hyper-parameters that have a value of their own in each group: `hyper/<name>/<group>`. */
  groupedHyper: ReadonlySet<string>;
}

/** The shape of a parameter or a buffer. */
export function staticShape({ dims, name }: Value): readonly number[] {
  if (!isStatic(dims)) throw new Error(`internal error: "${name}" has a dynamic shape`);
  return dims;
}

/** The trainable parameters, as parts see them. */
export function parameterInfos(source: Source): Map<string, ParameterInfo> {
  const [first] = source.inputs.values();
  const lead = (source.loss.kind === "computed" ? source.loss.logits : first)?.shape?.[0];
  const layers = lead === undefined ? [] : findLayers(source.graph, source.parameters, lead);
  const layerOf = new Map(layers.flatMap((l) => [l.weight, l.bias].map((name) => [name, l])));
  const trainable = source.parameters.filter((p) => p.trainable);
  const roles = rolesOf(
    source.graph,
    trainable.map((p) => p.value),
  );
  return new Map(
    trainable.map(({ name, value, group }) => {
      const [layer, role] = [layerOf.get(name) ?? null, roles.get(value) ?? null];
      return [name, { name, shape: staticShape(value), group, role, layer }];
    }),
  );
}

/** Shape of a kind of tensor for one parameter; null where the parameter has none. */
type ShapeOf = (p: ParameterInfo) => readonly number[] | null;

/** The inputs of one emitted graph, by the names of the package format; each is declared when it is first asked for. */
export class Ports {
  private readonly declared = new Map<string, Value>();
  /** The trainable parameters, as parts see them. */
  readonly infos: ReadonlyMap<string, ParameterInfo>;
  constructor(
    readonly b: RuleBuilder,
    readonly recipe: Recipe,
  ) {
    this.infos = parameterInfos(recipe.source);
  }

  /** Every parameter, or only the trainable ones. */
  parameters(which: "all" | "trainable"): Params {
    const chosen = this.recipe.source.parameters.filter((p) => which === "all" || p.trainable);
    return new Map(chosen.map((p) => [p.name, this.input(p.name, p.value.type ?? undefined)]));
  }

  /** One tensor for every trainable parameter, called `<kind>/<param>`: like it, or of another shape. */
  like(kind: string, shape: ShapeOf = (p) => p.shape, dtype: DType = "float32"): Params {
    const entries = [...this.infos.values()].flatMap((p) => {
      const dims = shape(p);
      return dims ? [[p.name, this.input(`${kind}/${p.name}`, tensorType(dtype, dims))] as const] : [];
    });
    return new Map(entries);
  }

  batch(options: { labels: boolean; training: boolean }): BatchValues {
    const { source } = this.recipe;
    const inputs = new Map([...source.inputs].map(([name, v]) => [name, this.input(name, v.type ?? undefined)]));
    const type = options.labels ? labelsType(source.loss) : null;
    const labels = type && this.input("labels", tensorType(type.dtype, type.shape));
    const masks = options.training ? source.dropouts : [];
    const random = new Map(masks.map((m) => [m.name, this.input(m.name, tensorType("bool", m.shape))]));
    const reads = !options.training || source.movesBuffers;
    const scale = options.training && this.recipe.optimizer.lossScale ? this.scalar("hyper/loss_scale") : null;
    const buffers = reads ? this.buffers() : new Map<string, Value>();
    return { inputs, labels, random, buffers, ...(scale && { lossScale: scale }) };
  }

  /** The running statistics of batch norms. */
  private buffers(): Params {
    const { buffers } = this.recipe.source;
    return new Map(buffers.map((f) => [f.name, this.input(f.name, f.value.type ?? undefined)]));
  }

  /** `random/<prefix><kind>`, as the loss wants it. */
  scoreNoise(kind: ScoreNoise, prefix: string): Value {
    const spec = must(scoreNoise(this.recipe.source.loss, kind), "a loss with a random score");
    return this.input(`random/${prefix}${kind}`, tensorType("float32", spec.shape));
  }

  state(layout: StateLayout): State {
    return {
      tensors: new Map(layout.tensors.map((t) => [t.kind, this.like(t.kind, t.shape, t.dtype)])),
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
      parameters: this.infos,
      hyper: (name, parameter) => {
        const grouped = parameter !== undefined && this.recipe.groupedHyper.has(name);
        const group = grouped ? this.infos.get(parameter)?.group : undefined;
        return this.scalar(group === undefined ? `hyper/${name}` : `hyper/${name}/${group}`);
      },
      get step() {
        return step();
      },
    };
  }

  /** What the ascent emits with: the combine rule may adjust its hyper-parameters. */
  ascentContext(): StepContext {
    const context = this.context();
    const { combine, combineOptions } = this.recipe.optimizer;
    const { hyper } = context;
    const adjusted: StepContext["hyper"] = (name, parameter) =>
      combine.adjust?.(this.context(), combineOptions, name, parameter) ?? hyper(name, parameter);
    // The getter of the step count must stay one: a spread would read it.
    return Object.defineProperty(context, "hyper", { value: adjusted });
  }

  /** A float32 scalar. */
  scalar(name: string): Value {
    return this.input(name, tensorType("float32", []));
  }

  private input(name: string, type: Value["type"] = null): Value {
    let value = this.declared.get(name);
    if (!value) this.declared.set(name, (value = this.b.input(name, type ?? tensorType("float32", null))));
    return value;
  }
}
