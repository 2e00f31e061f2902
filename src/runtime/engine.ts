import { createHash } from "node:crypto";
import type { Tensor } from "onnxruntime-node";
import { phasesOf, readManifest, refreshesAt, scheduledGraph, type Manifest } from "../format/manifest.js";
import { identityOf, identityProblem } from "../format/identity.js";
import { check, must } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import type { Feeds } from "./batch.js";
import { CycleGraph, cyclePeriod } from "./cycle.js";
import { feedsOf, prepareBatch, type Hyper, type PreparedBatch, type Sources } from "./feeder.js";
import { PackageGraphs, type PackageGraph } from "./graphs.js";
import { resolveOptions, type Driver, type EngineOptions, type SessionOptions } from "./options.js";
import { requireFastHalf } from "./precision.js";
import { Phases } from "./phases.js";
import { RandomInputs, type Moment } from "./random.js";
import { checkRoomForSteps, checkRoomToOpen } from "./room.js";
import { requireProvider } from "./session.js";
import { Store } from "./store.js";
import { scalarOf, unwrap, type HostTensor } from "./tensors.js";

/** Where training stands; with the state and the seed, all that the next step depends on. */
export interface Counters {
  /** Steps taken: t of the schedule. */
  step: number;
  /** Steps skipped since the start, for a loss or gradient that was not finite. */
  skipped: number;
  /** Of these, since the last step taken. */
  skippedInRow: number;
}

export interface StepResult extends Counters {
  /** Whether this step was skipped; the counters have it in already. */
  wasSkipped: boolean;
  /** The schedule's name for the variant of the step. */
  variant: string;
  /** Scalars: loss, perturbed_loss, grad_norm, perturbation_norm, and the optimizer's own. */
  diagnostics: Record<string, number>;
}

/** What became of several steps that were to be one run. */
export interface StepsResult {
  /** Every step; none where the run was taken back. */
  results: StepResult[];
  /** The first step, counted from 0, whose loss or gradient was not finite: parameters and state are as before the run. */
  failed: number | null;
}

/** How many steps one run may take. */
export interface StepsRoom {
  /** Runs take whole multiples of so many, from a step on that is one. */
  period: number;
  /** Steps that memory suffices for; less than a period: none. */
  steps: number;
  /** Bytes that a run of no steps takes beyond what is held, those for each step, and those that are free. */
  once: number;
  perStep: number;
  available: number;
}

export interface EvaluationResult {
  outputs: Record<string, HostTensor>;
  /** Sum of the losses of the batch, and the weight that makes it a mean. */
  lossSum: number;
  lossWeight: number;
}

/** Whether a step with these diagnostics counts. */
function isSound(diagnostics: Readonly<Record<string, number>>): boolean {
  const finite = ["loss", "perturbed_loss"].every((name) => Number.isFinite(diagnostics[name] ?? 0));
  return finite && (diagnostics["skipped"] ?? 0) === 0;
}

/** Runs the graphs of one package in this thread, and owns every buffer: what the worker holds. */
export class Engine {
  private counters: Counters = { step: 0, skipped: 0, skippedInRow: 0 };
  private readonly store: Store;
  private readonly random: RandomInputs;
  private readonly phases: Phases;
  private cycle: CycleGraph | null = null;
  /** Whether there is room for a step. */
  private hasRoom = false;

  private constructor(
    readonly manifest: Manifest,
    private readonly graphs: PackageGraphs,
    private readonly folder: string,
    private readonly options: { seed: number; driver: Driver; checksMemory: boolean; session: SessionOptions },
  ) {
    this.store = new Store(folder, manifest);
    this.random = new RandomInputs(manifest, options.seed);
    this.phases = new Phases(manifest, graphs, this.store);
  }

  static async open(folder: string, options: EngineOptions = {}): Promise<Engine> {
    const { seed, driver, ignoreMemory, ...session } = resolveOptions(options);
    const manifest = readManifest(folder);
    await requireProvider(session);
    if (!ignoreMemory) checkRoomToOpen(folder, manifest);
    // What runs take elsewhere than on the CPU is not this machine's memory.
    const checksMemory = !ignoreMemory && session.provider.name === "cpu";
    const graphs = new PackageGraphs(folder, manifest, session);
    return new Engine(manifest, graphs, folder, { seed, driver, checksMemory, session });
  }

  /**
   * One training step over one or more micro-batches. `hyper` overrides the manifest's defaults for this step. A step whose
   * loss or gradient is not finite leaves parameters and state as they were; it is counted, and t does not advance. Several
   * micro-batches take the phases whatever `driver` says.
   */
  async step(micro: readonly Feeds[], hyper: Hyper = {}, driver: Driver = this.options.driver): Promise<StepResult> {
    check(micro.length > 0, "a step needs at least one batch");
    requireFastHalf(this.manifest, this.options.session.provider.name);
    this.checkHyper(hyper);
    const batches = micro.map((batch) => prepareBatch(this.manifest, batch));
    const variant = scheduledGraph(this.manifest.schedule, this.counters.step);
    const fused = batches.length === 1 && driver === "fused";
    await this.checkMemory(batches, variant, fused);
    const renewed = new Set<string>();
    const sources = this.sources(null, hyper, renewed);
    for (const graph of refreshesAt(this.manifest, this.counters.step)) {
      await this.refresh(await this.graphs.get(graph), sources, renewed);
    }
    const { updates, diagnostics } = fused
      ? await this.fusedStep(
          await this.graphs.get(variant, batches[0]?.sizes),
          { ...sources, batch: must(batches[0], "the batch") },
          renewed,
        )
      : await this.phases.step(batches, variant, sources, renewed);
    const wasSkipped = !isSound(diagnostics);
    diagnostics.skipped = Number(wasSkipped);
    if (wasSkipped) {
      this.counters.skipped++;
      this.counters.skippedInRow++;
    } else {
      this.store.flip(updates);
      this.counters.step++;
      this.counters.skippedInRow = 0;
    }
    return { ...this.counters, wasSkipped, variant, diagnostics };
  }

  /**
   * How many steps on batches like this one can be one run (`steps`); null where the package or the provider takes them one by
   * one: it needs lowered graphs or a provider that keeps state within a Loop, and a schedule of fused graphs alone.
   */
  async roomForSteps(batch: Feeds): Promise<StepsRoom | null> {
    const { driver, session } = this.options;
    const canLoop = session.lowered !== undefined || session.provider.loops === true;
    if (driver !== "fused" || !canLoop || cyclePeriod(this.manifest) === null) return null;
    const prepared = prepareBatch(this.manifest, batch);
    this.cycle ??= await CycleGraph.open(this.folder, this.manifest, session, prepared.sizes);
    const { once, perStep } = this.cycle.memory(this.sources(prepared, {}));
    const available = process.availableMemory();
    const { period } = this.cycle;
    const steps = Math.max(0, Math.floor((available - once) / Math.max(1, perStep)));
    return { period, steps, once, perStep, available };
  }

  /**
   * Steps of one batch each as one run, whole periods of the schedule (`roomForSteps`, which must come first); `hyper` has the
   * overrides of each. Equal to as many calls of `step`, bit for bit; where the loss or a gradient of one is not finite, all are
   * taken back.
   */
  async steps(batches: readonly Feeds[], hyper: readonly Hyper[]): Promise<StepsResult> {
    const cycle = must(this.cycle, "room for several steps");
    const { step } = this.counters;
    const count = batches.length;
    check(
      count > 0 && count % cycle.period === 0 && step % cycle.period === 0,
      `${count} steps from step ${step} on: runs take multiples of ${cycle.period}, from such a step on`,
    );
    for (const each of hyper) this.checkHyper(each);
    const sources = batches.map((batch, i) => {
      const all = this.sources(prepareBatch(this.manifest, batch), hyper[i] ?? {});
      return { ...all, moment: { ...all.moment, step: step + i, attempt: i === 0 ? all.moment.attempt : 0 } };
    });
    const taken = await cycle.run(sources, this.store);
    const wrong = taken.findIndex(({ diagnostics }) => !isSound(diagnostics));
    if (wrong >= 0 || taken.length < count) return { results: [], failed: Math.max(0, wrong) };
    this.store.flip(cycle.updates);
    const results = taken.map(({ variant, diagnostics }): StepResult => {
      this.counters = { ...this.counters, step: this.counters.step + 1, skippedInRow: 0 };
      return { ...this.counters, wasSkipped: false, variant, diagnostics: { ...diagnostics, skipped: 0 } };
    });
    return { results, failed: null };
  }

  /** The loss and the outputs of a batch, in evaluation mode. */
  async evaluate(batch: Feeds): Promise<EvaluationResult> {
    const { loss_sum: sum, loss_weight: weight, ...outputs } = await this.inference("evaluate", batch);
    return { outputs, lossSum: scalarOf(must(sum, "loss_sum")), lossWeight: scalarOf(must(weight, "loss_weight")) };
  }

  /** The outputs of a batch, in evaluation mode; it needs no labels. */
  forward(batch: Feeds): Promise<Record<string, HostTensor>> {
    return this.inference("forward", batch);
  }

  /** Copies of parameters or state. */
  read(names: readonly string[]): Record<string, HostTensor> {
    return Object.fromEntries(names.map((name) => [name, this.store.read(name)]));
  }

  write(values: Readonly<Record<string, HostTensor>>): void {
    for (const [name, value] of Object.entries(values)) this.store.write(name, value);
  }

  getCounters(): Counters {
    return { ...this.counters };
  }

  /**
   * Writes parameters, state and counters to a safetensors file: with the data's position, all that a resume needs. Returns
   * the SHA-256 of what the file should hold, taken from memory.
   */
  saveState(path: string): string {
    const { step, skipped, skippedInRow } = this.counters;
    const metadata = {
      step: String(step),
      skipped: String(skipped),
      skipped_in_row: String(skippedInRow),
      seed: String(this.options.seed),
      ...identityOf(this.manifest),
    };
    const hash = createHash("sha256");
    this.store.save(path, metadata, { hash });
    return hash.digest("hex");
  }

  /** Goes back to what `saveState` wrote; the seed must be the same. */
  loadState(path: string): Counters {
    const count = (metadata: ReadonlyMap<string, string>, name: string): number => {
      const value = Number(metadata.get(name) ?? NaN);
      check(
        Number.isSafeInteger(value),
        `${path}: its metadata has no whole number "${name}"; it is not a saved state`,
      );
      return value;
    };
    const metadata = this.store.load(path, (found) => {
      const seed = count(found, "seed");
      check(
        seed === this.options.seed,
        `${path}: it was written with seed ${seed}, this run has ${this.options.seed}; use the same`,
      );
      const problem = identityProblem(found, this.manifest);
      check(problem === null, `${path}: ${problem ?? ""}; load it into the package that it was saved from`);
    });
    this.counters = {
      step: count(metadata, "step"),
      skipped: count(metadata, "skipped"),
      skippedInRow: count(metadata, "skipped_in_row"),
    };
    return this.getCounters();
  }

  /** Writes parameters and buffers in the layout of the package's `weights.safetensors`. */
  saveWeights(path: string): void {
    this.store.save(path, {}, { names: this.store.weightNames() });
  }

  async close(): Promise<void> {
    await this.cycle?.release();
    await this.graphs.release();
  }

  /** Refuses the first step where memory will not suffice. */
  private async checkMemory(batches: readonly PreparedBatch[], variant: string, fused: boolean): Promise<void> {
    const { checksMemory, session } = this.options;
    const { sizes } = must(batches[0], "the batch");
    if (this.hasRoom || !checksMemory) return;
    // What is wrong with a graph is the runtime's to say.
    await this.graphs.get(fused ? variant : must(phasesOf(this.manifest, variant)[0], "a phase").graph, sizes);
    const kind = { fused, micro: batches.length, lowered: session.lowered };
    await checkRoomForSteps(this.folder, this.manifest, sizes, kind);
    this.hasRoom = true;
  }

  private checkHyper(hyper: Hyper): void {
    const known = Object.keys(this.manifest.hyper);
    for (const name of Object.keys(hyper)) {
      check(
        known.includes(name),
        () => `hyper-parameter "${name}" is not one of ${known.join(", ")}${didYouMean(name, known)}`,
      );
    }
  }

  /** State in `renewed` is read where its new value waits. */
  private sources(batch: PreparedBatch | null, hyper: Hyper, renewed: ReadonlySet<string> = new Set()): Sources {
    const { step, skippedInRow } = this.counters;
    const moment: Moment = { step, attempt: skippedInRow, micro: 0 };
    const held = (name: string) => (renewed.has(name) ? this.store.twin(name) : this.store.current(name));
    return { batch, moment, hyper, random: this.random, manifest: this.manifest, held };
  }

  /** Renews state without a batch; like everything else, it counts only once the step is taken. */
  private async refresh(graph: PackageGraph, sources: Sources, renewed: Set<string>): Promise<void> {
    const fetches = graph.updates.map((name) => [`next/${name}`, this.twinOf(graph, name, renewed)] as const);
    await graph.run(feedsOf(graph, sources), Object.fromEntries(fetches));
    for (const name of graph.updates) renewed.add(name);
  }

  private twinOf(graph: PackageGraph, name: string, renewed: ReadonlySet<string>): Tensor {
    check(!renewed.has(name), `${graph.path}: another graph of this step gives "${name}" its new value already`);
    return this.store.twin(name);
  }

  private async fusedStep(graph: PackageGraph, sources: Sources, renewed: ReadonlySet<string>) {
    const fetches: Record<string, Tensor | null> = Object.fromEntries([...graph.outputs].map((name) => [name, null]));
    for (const name of graph.updates) fetches[`next/${name}`] = this.twinOf(graph, name, renewed);
    for (const name of graph.overwrites) fetches[`over/${name}`] = this.store.current(name);
    const results = await graph.run(feedsOf(graph, sources), fetches);
    const diagnostics: Record<string, number> = {};
    for (const [name, tensor] of Object.entries(results)) {
      if (tensor.size === 1) diagnostics[name] = scalarOf(unwrap(tensor));
    }
    return { updates: [...renewed, ...graph.updates], diagnostics };
  }

  private async inference(key: string, batch: Feeds): Promise<Record<string, HostTensor>> {
    const prepared = prepareBatch(this.manifest, batch);
    const graph = await this.graphs.get(key, prepared.sizes);
    const feeds = feedsOf(graph, this.sources(prepared, {}));
    const results = await graph.run(feeds, Object.fromEntries([...graph.outputs].map((name) => [name, null])));
    return Object.fromEntries(Object.entries(results).map(([name, tensor]) => [name, unwrap(tensor)]));
  }
}
