import type { Tensor } from "onnxruntime-node";
import { phasesOf, type Manifest } from "../format/manifest.js";
import { check, must } from "../util/assert.js";
import { sizeOf } from "../util/shape.js";
import { Accumulator } from "./accumulator.js";
import { feedsOf, type PreparedBatch, type Sources } from "./feeder.js";
import type { PackageGraph, PackageGraphs } from "./graphs.js";
import { borrowedBuffer } from "./memory.js";
import type { Store } from "./store.js";
import { allocate, bytesOf, scalarOf, unwrap, wrap, type HostData } from "./tensors.js";

export interface PhasesResult {
  /** Parameters and state whose new value waits in the store's twin. */
  updates: Iterable<string>;
  diagnostics: Record<string, number>;
}

/**
 * Takes a step phase by phase: gradient (with the HVP where the curvature is refreshed) over all micro-batches, curvature,
 * perturbation, gradient at the perturbed parameters over all micro-batches, descent. New values wait in the store's
 * twins until the engine takes the step or drops it; a phase reads the new state of the phases before it, as the fused graph does.
 */
export class Phases {
  /** What one phase hands to another (`grad/w`, `loss`, …), in buffers that are kept from step to step. */
  private readonly handed = new Map<string, Tensor>();
  private readonly accumulator = new Accumulator();

  constructor(
    private readonly manifest: Manifest,
    private readonly graphs: PackageGraphs,
    private readonly store: Store,
  ) {}

  /** `pending` names what was renewed before the step; it grows by what the step renews. */
  async step(
    batches: readonly PreparedBatch[],
    variant: string,
    sources: Sources,
    pending: Set<string>,
  ): Promise<PhasesResult> {
    const phases = phasesOf(this.manifest, variant);
    const last = phases.at(-1)?.graph ?? "descend";
    const descend = await this.graphs.inParts(last);
    const run = new PhasedStep(this.manifest, this.store, this.handed, this.accumulator, sources, descend, pending);
    for (const { graph, batch, perturbed } of phases) {
      if (batch) {
        await run.gradient(await this.graphs.get(graph, batches[0]?.sizes), batches, perturbed ? "perturbed_" : "");
      } else {
        for (const part of graph === last ? descend : [await this.graphs.get(graph)]) await run.phase(part);
      }
    }
    return { updates: run.pending, diagnostics: run.diagnostics };
  }
}

class PhasedStep {
  readonly diagnostics: Record<string, number> = {};

  constructor(
    private readonly manifest: Manifest,
    private readonly store: Store,
    private readonly handed: Map<string, Tensor>,
    private readonly accumulator: Accumulator,
    private readonly sources: Sources,
    /** The descent, which comes last. */
    private readonly descend: readonly PackageGraph[],
    readonly pending: Set<string>,
  ) {}

  /** Runs a phase that takes no batch: everything that it hands on is of a parameter's shape or a scalar. */
  async phase(graph: PackageGraph): Promise<void> {
    const fetches: Record<string, Tensor | null> = {};
    const updates = new Set(graph.updates);
    for (const name of graph.outputs) {
      if (!name.startsWith("next/")) fetches[name] = this.buffer(name);
    }
    for (const name of updates) {
      // A value that an earlier phase renewed is read from its twin, which this phase therefore must not write into.
      check(!this.pending.has(name), `${graph.path}: a phase before it gives "${name}" its new value already`);
      fetches[`next/${name}`] = this.store.twin(name);
    }
    const results = await graph.run(feedsOf(graph, { ...this.sources, held: (name) => this.held(name) }), fetches);
    for (const name of updates) this.pending.add(name);
    this.collect(results, "");
  }

  /**
   * The gradient (and HVP) over all micro-batches, weighted by their `loss_weight`, handed on as `<prefix>grad/<param>`.
   * With a prefix, it is taken at the perturbed parameters, and buffers stay as they are.
   */
  async gradient(graph: PackageGraph, batches: readonly PreparedBatch[], prefix: "" | "perturbed_"): Promise<void> {
    const sums = [...graph.outputs].flatMap((name) => {
      const into = name.startsWith("next/") ? null : this.buffer(name.startsWith("grad/") ? prefix + name : name);
      return into ? [{ name, into }] : [];
    });
    const { accumulator } = this;
    accumulator.begin();
    for (const [micro, batch] of batches.entries()) {
      const targets = sums.map(({ name, into }) => [name, accumulator.target(name, into)] as const);
      const fetches: Record<string, Tensor | null> = Object.fromEntries(targets);
      for (const name of graph.outputs) if (!(name in fetches)) fetches[name] = null;
      if (prefix) for (const name of graph.updates) Reflect.deleteProperty(fetches, `next/${name}`);
      const results = await graph.run(
        feedsOf(graph, {
          ...this.sources,
          batch,
          moment: { ...this.sources.moment, micro },
          held: (name) => this.held(name, prefix),
        }),
        fetches,
      );
      for (const name of prefix ? [] : graph.updates) {
        const next = must(results[`next/${name}`], name);
        bytesOf(this.store.twin(name).data as HostData).set(bytesOf(unwrap(next).data));
        this.pending.add(name);
        Reflect.deleteProperty(results, `next/${name}`);
      }
      const weight = results.loss_weight ? scalarOf(unwrap(results.loss_weight)) : batchWeight(batch);
      accumulator.add(weight, sums, results);
    }
    this.collect(accumulator.scalars(), prefix);
  }

  /** Scalars become diagnostics, and stay at hand for the phases that follow; the step is skipped where any phase says so. */
  private collect(results: Readonly<Record<string, Tensor>>, prefix: string): void {
    for (const [name, tensor] of Object.entries(results)) {
      this.handed.set(prefix + name, tensor);
      if (tensor.size !== 1) continue;
      const value = scalarOf(unwrap(tensor));
      this.diagnostics[prefix + name] = name === "skipped" ? Math.max(value, this.diagnostics[name] ?? 0) : value;
    }
  }

  /** What a phase reads as `name`: the newest value there is; the perturbed parameters in the second gradient. */
  private held(name: string, prefix = ""): Tensor {
    if (!this.store.has(name)) return must(this.handed.get(name), `"${name}", which no phase before gives,`);
    if (prefix && this.handed.has(`perturbed/${name}`)) return must(this.handed.get(`perturbed/${name}`), name);
    return this.pending.has(name) ? this.store.twin(name) : this.store.current(name);
  }

  /** The buffer for the value `<kind>/<param>` that phases hand on, or null for scalars. */
  private buffer(name: string): Tensor | null {
    const [, kind = "", parameter = ""] = /^([^/]+)\/(.*)$/.exec(name) ?? [];
    const own = Object.hasOwn(this.manifest.handed, name) ? this.manifest.handed[name] : undefined;
    const spec = own ?? (kind ? this.manifest.parameters[parameter] : undefined);
    if (!spec) return null;
    const tensor =
      this.borrowed(kind, parameter) ??
      this.handed.get(name) ??
      wrap(spec.dtype, allocate(spec.dtype, sizeOf(spec.shape), `"${name}"`), spec.shape);
    this.handed.set(name, tensor);
    return tensor;
  }

  /** The idle buffer that a value of this kind borrows, if it does. */
  private borrowed(kind: string, parameter: string): Tensor | undefined {
    const place = borrowedBuffer(kind, parameter, (name) => this.descend.some(({ reads }) => reads.has(name)));
    if (place === "next") return this.store.twin(parameter);
    return place === null ? undefined : this.handed.get(`${place}/${parameter}`);
  }
}

/** Examples in the batch: what a graph without `loss_weight` is weighted by. */
const batchWeight = (batch: PreparedBatch): number => [...batch.tensors.values()][0]?.dims[0] ?? 1;
