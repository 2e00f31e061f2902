import { join } from "node:path";
import type { Tensor } from "onnxruntime-node";
import { scheduledGraph, type Manifest } from "../format/manifest.js";
import { describeInput } from "../format/ports.js";
import type { StackedPort } from "../passes/cycle.js";
import { must } from "../util/assert.js";
import { byteLength, type DType } from "../util/dtype.js";
import { leastCommonMultiple } from "../util/multiple.js";
import { sizeOf, sizeOfDim, type Dim } from "../util/shape.js";
import { inputValue, type Sources } from "./feeder.js";
import { runSession } from "./graphs.js";
import { bytesOfTensors } from "./memory.js";
import type { SessionOptions } from "./options.js";
import type { Session } from "./providers/provider.js";
import { openLowered, openPart } from "./session.js";
import type { Store } from "./store.js";
import { allocate, bytesOf, unwrap, wrap, type HostData } from "./tensors.js";

/** Longest period of a schedule that is made one graph. */
const longest = 100;

interface Piece {
  graph: string;
  count: number;
}

/** The steps of one period of the schedule, runs of the same graph as one; null where they cannot be one graph. */
function piecesOf({ schedule, refreshes }: Manifest): Piece[] | null {
  const period = schedule.reduce((p, { every }) => leastCommonMultiple(p, every), 1);
  if (refreshes.length > 0 || period > longest) return null;
  const start = period * Math.ceil(Math.max(0, ...schedule.map(({ offset }) => offset)) / period);
  const pieces: Piece[] = [];
  for (let t = start; t < start + period; t++) {
    const graph = scheduledGraph(schedule, t);
    const last = pieces.at(-1);
    if (last?.graph === graph) last.count++;
    else pieces.push({ graph, count: 1 });
  }
  return pieces;
}

const stepsOf = (pieces: readonly Piece[]): number => pieces.reduce((sum, { count }) => sum + count, 0);

/**
 * Steps of one period of the schedule, of which runs of several steps are made; null where each must be a run of its own:
 * another graph has to run between some, or the period is too long.
 */
export function cyclePeriod(manifest: Manifest): number | null {
  const pieces = piecesOf(manifest);
  return pieces && stepsOf(pieces);
}

/** The diagnostics of one step of a run, and the graph of the schedule that it was. */
export interface ScannedStep {
  variant: string;
  diagnostics: Record<string, number>;
}

/**
 * Bytes above which an arena pays within a Loop: the C library gives larger blocks back to the system at once, whose pages are
 * cleared anew at every step (glibc's largest M_MMAP_THRESHOLD); smaller ones it reuses, and an arena would only hold more.
 */
const mappedBytes = 32 * 2 ** 20;

/** Whole periods of the schedule as one run: state goes from step to step within the runtime. */
export class CycleGraph {
  /** Steps of a period. */
  readonly period: number;
  /** Parameters and state that it gives new values. */
  readonly updates: readonly string[];
  /** Buffers of the stacked inputs, kept from run to run. */
  private readonly rooms = new Map<string, HostData>();

  private constructor(
    private readonly path: string,
    private readonly session: Session,
    private readonly pieces: readonly Piece[],
    private readonly ports: readonly StackedPort[],
    private readonly manifest: Manifest,
    /** Simulated peak bytes of a step. */
    private readonly peak: number,
  ) {
    this.period = stepsOf(pieces);
    this.updates = session.outputNames.filter((name) => name.startsWith("next/")).map((name) => name.slice(5));
  }

  /**
   * Opens the cycle of the package in `folder`, of graphs that are lowered where `options` say where to; `sizes` of the dynamic
   * dimensions are what memory is planned for.
   */
  static async open(
    folder: string,
    manifest: Manifest,
    options: SessionOptions,
    sizes: ReadonlyMap<string, number>,
  ): Promise<CycleGraph> {
    const pieces = must(piecesOf(manifest), "a cycle of the schedule");
    // Loaded only here: reading ONNX files is no part of training.
    const { composeCycle, lowerCycleForCpu } = await import("../lower/cycle.js");
    const held = new Set([...Object.keys(manifest.parameters), ...Object.keys(manifest.state)]);
    const sources = pieces.map(({ graph, count }) => ({
      source: join(folder, must(manifest.graphs[graph], graph)),
      count,
    }));
    if (options.lowered === undefined) {
      const { model, ports, peak } = composeCycle(sources, (name) => held.has(name), sizes);
      return new CycleGraph(folder, await openPart(model, folder, options), pieces, ports, manifest, peak);
    }
    const lowered = await lowerCycleForCpu(sources, (name) => held.has(name), options.lowered, sizes);
    const largest = Math.max(...Object.keys(manifest.parameters).map((name) => bytesOfTensors(manifest, [name])));
    const session = await openLowered(lowered.file, options, !manifest.recompute && largest > mappedBytes);
    return new CycleGraph(lowered.file, session, pieces, lowered.ports, manifest, lowered.peak);
  }

  /** The piece of each step of a period. */
  private pieceOf(step: number): number {
    let left = step % this.period;
    return this.pieces.findIndex(({ count }) => (left -= count) < 0);
  }

  private readers({ readers }: StackedPort, steps: readonly Sources[]): Sources[] {
    return steps.filter((_, i) => readers.has(this.pieceOf(i)));
  }

  /** Bytes that a run takes beyond what is held always: once, and for each step. */
  memory(sources: Sources): { once: number; perStep: number } {
    const perPeriod = this.ports.reduce((sum, port) => {
      const reads = this.readers(port, Array<Sources>(this.period).fill(sources)).length;
      const { dtype, dims } = this.described(port, sources);
      return sum + reads * byteLength(dtype, sizeOf(dims));
    }, 0);
    // Old and new values are in the runtime's own memory while the Loop runs.
    return { once: this.peak + 2 * bytesOfTensors(this.manifest, this.updates), perStep: perPeriod / this.period };
  }

  /**
   * Takes the steps, whole periods of them; the new values are in the store's twins then. The runtime has memory of its own for
   * new values while the Loop runs: twins would stand idle beside it, and are there from its end on.
   */
  async run(steps: readonly Sources[], store: Store): Promise<ScannedStep[]> {
    const feeds: Record<string, Tensor> = {};
    for (const name of this.session.inputNames) if (store.has(name)) feeds[name] = store.current(name);
    feeds["cycle/count"] = wrap("int64", BigInt64Array.of(BigInt(steps.length / this.period)), []);
    for (const port of this.ports) Object.assign(feeds, this.stack(port, this.readers(port, steps)));
    store.dropTwins(this.updates);
    const fetches = Object.fromEntries(this.session.outputNames.map((name) => [name, null]));
    const results = await runSession(this.session, this.path, feeds, fetches);
    for (const name of this.updates) store.takeTwin(name, must(results[`next/${name}`], name));
    return this.unstack(results, steps.length);
  }

  async release(): Promise<void> {
    await this.session.release();
  }

  /** Type and dimensions of what a step reads through `port`. */
  private described({ of }: StackedPort, sources: Sources): { dtype: DType; dims: readonly number[] } {
    const { dtype, shape } = must(describeInput(this.manifest, of), of);
    const given = sources.batch?.tensors.get(of);
    if (given) return { dtype, dims: given.dims };
    const size = (d: Dim): number =>
      must(
        sizeOfDim(d, (symbol) => sources.batch?.sizes.get(symbol)),
        `${of}: ${d}`,
      );
    return { dtype, dims: shape.map(size) };
  }

  /** The values of an input for the steps that read it, one after another. */
  private stack(port: StackedPort, steps: readonly Sources[]): Record<string, Tensor> {
    const { role } = must(describeInput(this.manifest, port.of), port.of);
    const all = steps.map((sources) => this.described(port, sources));
    const { dtype, dims } = must(all[0], port.of);
    const total = all.reduce((sum, each) => sum + sizeOf(each.dims), 0);
    const known = this.rooms.get(port.name);
    const room =
      known && known.length >= total ? known : allocate(dtype, total, `"${port.of}" of ${steps.length} steps`);
    this.rooms.set(port.name, room);
    const data = room.subarray(0, total);
    let at = 0;
    for (const [i, sources] of steps.entries()) {
      const own = data.subarray(at, (at += sizeOf(must(all[i], port.of).dims)));
      if (role === "random") sources.random.fill(own, port.of, sources.moment);
      else bytesOf(own).set(bytesOf(unwrap(inputValue(port.of, role, this.path, sources)).data));
    }
    if (port.dimsName === null) return { [port.name]: wrap(dtype, data, [steps.length, ...dims]) };
    const shapes = BigInt64Array.from(all.flatMap((each) => each.dims.map((d) => BigInt(d))));
    return {
      [port.name]: wrap(dtype, data, [total]),
      [port.dimsName]: wrap("int64", shapes, [steps.length, dims.length]),
    };
  }

  /** The diagnostics of each step that was taken: fewer than `count` where the run ended early. */
  private unstack(results: Readonly<Record<string, Tensor>>, count: number): ScannedStep[] {
    const scanned = Object.entries(results).flatMap(([name, tensor]) => {
      const [, piece, own] = /^cycle\/(\d+)\/(.*)$/.exec(name) ?? [];
      return own === undefined ? [] : [{ piece: Number(piece), name: own, tensor }];
    });
    const steps: ScannedStep[] = [];
    for (let cycle = 0; cycle < count / this.period; cycle++) {
      for (const [k, { graph, count: inPiece }] of this.pieces.entries()) {
        for (let i = 0; i < inPiece; i++) {
          const diagnostics: Record<string, number> = {};
          for (const { piece, name, tensor } of scanned) {
            const cycles = tensor.dims[0] ?? 0;
            if (piece !== k || cycle >= cycles || tensor.size !== cycles * inPiece) continue;
            diagnostics[name] = Number(unwrap(tensor).data[cycle * inPiece + i]);
          }
          if (Object.keys(diagnostics).length > 0) steps.push({ variant: graph, diagnostics });
        }
      }
    }
    return steps;
  }
}
