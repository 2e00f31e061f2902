import { join } from "node:path";
import type { Tensor } from "onnxruntime-node";
import type { Manifest } from "../format/manifest.js";
import { checkGraphInputs, describeInput, type InputRole } from "../format/ports.js";
import { check, must } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import type { Sizes } from "./batch.js";
import { discard } from "./discard.js";
import { openBytes, partBytes } from "./memory.js";
import type { SessionOptions } from "./options.js";
import type { Session } from "./providers/provider.js";
import { openPart, openSession, runError } from "./session.js";
import { unwrap } from "./tensors.js";

/** An opened graph of a package. */
export class PackageGraph {
  readonly inputs: readonly { name: string; role: InputRole }[];
  /** Names of the inputs. */
  readonly reads: ReadonlySet<string>;
  readonly outputs: ReadonlySet<string>;
  /** Parameters, state and buffers that it gives new values. */
  readonly updates: readonly string[];
  /** Of these, those whose new value may be written over the old: it stays where the step says `skipped`. */
  readonly overwrites: readonly string[];

  constructor(
    readonly path: string,
    private readonly session: Session,
    manifest: Manifest,
  ) {
    const inputs = session.inputMetadata.map((m) => {
      check(m.isTensor, `${path}: input "${m.name}" is not a tensor; the file is not of this package`);
      return { name: m.name, dtype: m.type, shape: m.shape };
    });
    checkGraphInputs(manifest, path, inputs);
    this.inputs = inputs.map(({ name }) => ({ name, role: must(describeInput(manifest, name), name).role }));
    this.reads = new Set(session.inputNames);
    this.outputs = new Set(session.outputNames);
    const named = (prefix: string): string[] =>
      session.outputNames.filter((name) => name.startsWith(prefix)).map((name) => name.slice(prefix.length));
    this.updates = named("next/");
    this.overwrites = named("over/");
    for (const name of [...this.updates, ...this.overwrites]) {
      const role = describeInput(manifest, name)?.role;
      check(
        role === "parameter" || role === "state",
        `${path}: output for "${name}": manifest.json has no parameter or state "${name}"; the file is not of this package`,
      );
    }
  }

  run(
    feeds: Readonly<Record<string, Tensor>>,
    fetches: Readonly<Record<string, Tensor | null>>,
  ): Promise<Record<string, Tensor>> {
    return runSession(this.session, this.path, feeds, fetches);
  }

  async release(): Promise<void> {
    await this.session.release();
  }
}

/**
 * Runs the graph that was opened from `path`. Outputs that have a tensor in `fetches` are written there, those with null come
 * back in new memory; others are not computed. The returned tensors are copies where a buffer was given, so only the null ones
 * are returned.
 */
export async function runSession(
  session: Session,
  path: string,
  feeds: Readonly<Record<string, Tensor>>,
  fetches: Readonly<Record<string, Tensor | null>>,
): Promise<Record<string, Tensor>> {
  try {
    const results = Object.entries(await session.run(feeds, fetches));
    discard(results.flatMap(([name, result]) => copyOf(result, fetches[name])));
    return Object.fromEntries(results.filter(([name]) => fetches[name] === null));
  } catch (error) {
    throw runError(path, error);
  }
}

/** The buffer in which the binding returns a copy of an output that it wrote into `target` already. */
function copyOf(result: Tensor, target: Tensor | null | undefined): ArrayBuffer[] {
  if (!target) return [];
  const { buffer } = unwrap(result).data;
  return buffer instanceof ArrayBuffer && buffer !== unwrap(target).data.buffer ? [buffer] : [];
}

/** The graphs of a package, each opened when it is first needed. */
export class PackageGraphs {
  private readonly opened = new Map<string, PackageGraph>();
  private readonly parts = new Map<string, readonly PackageGraph[]>();

  constructor(
    private readonly folder: string,
    private readonly manifest: Manifest,
    private readonly options: SessionOptions,
  ) {}

  has(key: string): boolean {
    return Object.hasOwn(this.manifest.graphs, key);
  }

  /** The graph `key`; `sizes` of the dynamic dimensions are what memory is planned for where it is opened now. */
  async get(key: string, sizes: Sizes = new Map()): Promise<PackageGraph> {
    const known = this.opened.get(key);
    if (known) return known;
    const path = this.pathOf(key);
    const graph = new PackageGraph(path, await openSession(path, this.options, sizes), this.manifest);
    this.opened.set(key, graph);
    return graph;
  }

  /**
   * The graph `key` of a phase that gives every tensor its new value, in parts to be run in their order where it gives many bytes:
   * each run's outputs are copied by the binding, all of them at a time.
   */
  async inParts(key: string): Promise<readonly PackageGraph[]> {
    const known = this.parts.get(key);
    if (known) return known;
    const isLarge = openBytes(this.manifest) > partBytes;
    const parts = isLarge && this.options.provider.name === "cpu" ? await this.openParts(this.pathOf(key)) : null;
    if (!parts) return [await this.get(key)];
    this.parts.set(key, parts);
    return parts;
  }

  private async openParts(path: string): Promise<readonly PackageGraph[] | null> {
    // Loaded only here: reading ONNX files is no part of training.
    const [{ loadModel, serializeModel }, { splitUpdates }] = await Promise.all([
      import("../serde/index.js"),
      import("../lower/parts.js"),
    ]);
    const split = splitUpdates(() => loadModel(path), partBytes);
    if (!split) return null;
    const shared = split.shared.map((v) => [v.name, { dtype: v.dtype, shape: v.dims.map(Number) }] as const);
    const manifest = { ...this.manifest, handed: { ...this.manifest.handed, ...Object.fromEntries(shared) } };
    const opened: PackageGraph[] = [];
    for (const part of split.parts) {
      const session = await openPart(serializeModel(part), path, this.options);
      opened.push(new PackageGraph(path, session, manifest));
    }
    return opened;
  }

  private pathOf(key: string): string {
    const { graphs } = this.manifest;
    const file = Object.hasOwn(graphs, key) ? graphs[key] : undefined;
    check(file !== undefined, () => {
      return `${this.folder}: the package has no graph "${key}"${didYouMean(key, Object.keys(graphs))}`;
    });
    return join(this.folder, file);
  }

  async release(): Promise<void> {
    const graphs = [...this.opened.values(), ...[...this.parts.values()].flat()];
    this.opened.clear();
    this.parts.clear();
    for (const graph of graphs) await graph.release();
  }
}
