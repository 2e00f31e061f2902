import { join } from "node:path";
import { phasesOf, type Manifest } from "../format/manifest.js";
import { estimatedSizes, simulatePeak } from "../passes/memory.js";
import { loadModel } from "../serde/index.js";
import { must } from "../util/assert.js";
import { byteLength } from "../util/dtype.js";
import { sizeOf, sizeOfDim } from "../util/shape.js";
import type { Sizes } from "./batch.js";
import { borrowedBuffer, bytesOfTensor, partBytes } from "./memory.js";

/** Bytes that steps take beyond the parameters and the state of an open package. */
export interface StepMemory {
  /** What is kept from step to step: new values, random inputs, and what phases hand on. */
  buffers: number;
  /** What sessions take while they do not run. */
  sessions: number;
  /** The most that is taken while one runs, by what its nodes hand on and the copies of its outputs that the binding makes then. */
  run: number;
}

interface GraphMemory {
  reads: ReadonlySet<string>;
  outputs: readonly string[];
  /** Simulated peak bytes of its values; outputs have buffers already. */
  peak: number;
  copies: number;
  /** What its session takes while it does not run. */
  session: number;
}

/** Bytes that a session of onnxruntime-node 1.30 takes for each node: 41 MB for the 7,279 of an encoder's curvature step. */
const sessionBytesPerNode = 6000;

/** Outputs that are written over the value before (`lower/overwrite.ts`) have no buffers of their own. */
const overPrefix = "over/";

/** How steps are taken. */
export interface StepKind {
  /** One graph, or phase by phase. */
  fused: boolean;
  /** Micro-batches. */
  micro: number;
  /** Folder of lowered graphs (`EngineOptions.lowered`). */
  lowered: string | undefined;
}

/**
 * What the steps of the package in `folder` take at `sizes` of the dynamic dimensions: simulated, on the graphs in the order in which
 * the CPU provider runs them where they are lowered; where they are not, it runs them in an order of its own, which takes about
 * as much.
 */
export async function stepMemory(
  folder: string,
  manifest: Manifest,
  sizes: Sizes,
  { fused, micro, lowered }: StepKind,
): Promise<StepMemory> {
  const known = new Map<string, GraphMemory>();
  const memoryOf = async (key: string): Promise<GraphMemory> => {
    const memory = known.get(key) ?? (await graphMemory(join(folder, must(manifest.graphs[key], key)), sizes, lowered));
    known.set(key, memory);
    return memory;
  };
  const buffers = new Map<string, number>();
  const last = new Set<string>();
  const names = manifest.schedule.map(({ graph }) => graph);
  for (const variant of fused ? names : []) {
    for (const name of (await memoryOf(variant)).outputs) {
      if (!name.startsWith(overPrefix)) keep(manifest, buffers, name, name);
    }
  }
  for (const variant of fused ? [] : names) {
    const phases = phasesOf(manifest, variant);
    const { reads } = await memoryOf(phases.at(-1)?.graph ?? "descend");
    last.add(phases.at(-1)?.graph ?? "descend");
    for (const { graph, batch, perturbed } of phases) {
      for (const name of (await memoryOf(graph)).outputs) {
        const handed = perturbed && name.startsWith("grad/") ? `perturbed_${name}` : name;
        keep(manifest, buffers, bufferOf(handed, reads), name);
        // The second micro-batch writes beside the mean of those before it.
        if (batch && micro > 1 && !name.startsWith("next/")) keep(manifest, buffers, `micro/${name}`, name);
      }
    }
  }
  for (const [name, { dtype, shape }] of Object.entries(manifest.random)) {
    buffers.set(name, byteLength(dtype, sizeOf(shape.map((dim) => sizeOfDim(dim, (s) => sizes.get(s)) ?? 1))));
  }
  const graphs = [...known.values()];
  const sum = (bytes: Iterable<number>): number => [...bytes].reduce((a, b) => a + b, 0);
  return {
    buffers: sum(buffers.values()),
    sessions: sum(graphs.map(({ session }) => session)),
    run: Math.max(
      // The C library keeps most of what nodes gave back, beside the copies. A descent that gives much is run in parts.
      ...[...known].map(([key, { peak, copies }]) =>
        fused ? peak + copies : Math.max(peak, last.has(key) ? Math.min(copies, partBytes) : copies),
      ),
    ),
  };
}

/** Remembers that the output `name` has the buffer `buffer`; scalars have none. */
function keep(manifest: Manifest, buffers: Map<string, number>, buffer: string, name: string): void {
  const of = Object.hasOwn(manifest.handed, name) ? name : name.slice(name.indexOf("/") + 1);
  buffers.set(buffer, bytesOfTensor(manifest, of));
}

/** The buffer that phases hand `name` on in. */
function bufferOf(name: string, descendReads: ReadonlySet<string>): string {
  const [, kind = "", parameter = ""] = /^([^/]+)\/(.*)$/.exec(name) ?? [];
  const place = borrowedBuffer(kind, parameter, (read) => descendReads.has(read));
  return place === null ? name : `${place}/${parameter}`;
}

async function graphMemory(path: string, sizes: Sizes, lowered: string | undefined): Promise<GraphMemory> {
  let file = path;
  if (lowered !== undefined) {
    const { lowerForCpu } = await import("../lower/cpu.js");
    file = await lowerForCpu(path, lowered, sizes, { overwrites: true });
  }
  const { graph } = loadModel(file);
  const bytes = estimatedSizes(graph, sizes);
  const outputs = new Set(graph.outputs);
  return {
    reads: new Set(graph.inputs.map(({ name }) => name)),
    outputs: graph.outputs.map(({ name }) => name),
    peak: simulatePeak(graph, (v) => (outputs.has(v) ? 0 : bytes(v))),
    copies: graph.outputs.reduce((sum, v) => sum + bytes(v), 0),
    session:
      sessionBytesPerNode * graph.nodes.length +
      [...graph.initializers.values()].reduce((sum, { dtype, dims }) => sum + byteLength(dtype, sizeOf(dims)), 0),
  };
}
