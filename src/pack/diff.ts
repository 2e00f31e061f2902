import { existsSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import { manifestFile, readManifest, type Manifest } from "../format/manifest.js";
import type { Graph, Model, Node, Value } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { constantsToInitializers } from "../passes/constants.js";
import { Ids, tensorKey } from "../passes/keys.js";
import { loadModel } from "../serde/index.js";
import { UserError, must } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import { typeText } from "./inspect.js";
import { matchNodes, phaseOf } from "./match.js";

/** Nodes of one part of a graph. */
export interface PhaseDiff {
  /** `pass1`, `pass1/backward`, `curvature/tangent`, …; `model` for nodes outside of every phase. */
  phase: string;
  nodes: number;
  /** Of these, nodes of the original, as they were or changed. */
  original: number;
  added: number;
  /** The added nodes by operator, most frequent first. */
  ops: Record<string, number>;
}

export interface NodeDiff {
  op: string;
  name: string;
}

export interface ChangedNode extends NodeDiff {
  /** What the copy that is nearest has otherwise: `attribute axis`, `input 1`. */
  differs: readonly string[];
}

/** Inputs, outputs or initializers of both sides, by their names in the original where they have one. */
export interface NamesDiff {
  kept: string[];
  changed: { name: string; was: string; is: string }[];
  gone: string[];
  added: string[];
}

export interface GraphDiff {
  /** The name of the graph in its package; of a single file, the file's. */
  graph: string;
  file: string;
  /** Size of the file; external data beside. */
  bytes: number;
  external: number;
  phases: PhaseDiff[];
  /** The nodes of the original, each once, and the number of nodes that are new. */
  nodes: { total: number; kept: number; changed: ChangedNode[]; gone: NodeDiff[]; added: number };
  inputs: NamesDiff;
  outputs: NamesDiff;
  initializers: NamesDiff & {
    /** Inputs that were initializers of the original, by their new names. */
    fed: string[];
    /** What the initializers of both sides take. */
    was: number;
    is: number;
  };
}

export interface DiffReport {
  file: string;
  bytes: number;
  external: number;
  nodes: number;
  graphs: GraphDiff[];
}

/**
 * What the ONNX model `after` has that `before` has not, and the reverse. `after` may be a training package: then each of its
 * graphs is compared, or only `graph`. Bodies of If, Loop and Scan belong to their nodes; Constant nodes count as initializers.
 * Throws a UserError for what cannot be read.
 */
export function diffModels(before: string, after: string, graph?: string): DiffReport {
  const original = read(before);
  const folder = existsSync(after) && statSync(after).isDirectory();
  if (!folder && graph !== undefined) {
    throw new UserError(`${after}: no training package, so there is no graph "${graph}" to choose`);
  }
  const graphs = folder ? packageDiffs(original, after, graph) : [compare(original, read(after), basename(after))];
  const { file, bytes, external, model } = original;
  return { file, bytes, external, nodes: model.graph.nodes.length, graphs };
}

/** A model as it lies on disk, Constant nodes made initializers. */
interface Side {
  file: string;
  model: Model;
  bytes: number;
  external: number;
}

function read(file: string): Side {
  const model = loadModel(file);
  constantsToInitializers(model.graph);
  const external = [...model.graph.initializers.values()].reduce(
    (sum, t) => sum + ("external" in t.storage ? t.byteLength : 0),
    0,
  );
  return { file, model, bytes: statSync(file).size, external };
}

function packageDiffs(original: Side, folder: string, chosen: string | undefined): GraphDiff[] {
  if (!existsSync(join(folder, manifestFile))) throw new UserError(`${folder}: no training package, and no ONNX file`);
  const manifest = readManifest(folder);
  const names = Object.keys(manifest.graphs);
  if (chosen !== undefined && !names.includes(chosen)) {
    throw new UserError(
      `${folder}: no graph is called "${chosen}"; there are ${names.join(", ")}${didYouMean(chosen, names)}`,
    );
  }
  const sources = sourcesOf(manifest);
  return names
    .filter((name) => chosen === undefined || name === chosen)
    .map((name) => compare(original, read(join(folder, must(manifest.graphs[name], name))), name, sources));
}

/** The names in the source model of what the package calls otherwise. */
function sourcesOf({ inputs, parameters }: Manifest): Map<string, string> {
  const sources = new Map(Object.entries(parameters).map(([name, { initializer }]) => [name, initializer]));
  for (const [name, { source }] of Object.entries(inputs)) if (source !== undefined) sources.set(name, source);
  return sources;
}

function compare(
  original: Side,
  other: Side,
  name: string,
  sources: ReadonlyMap<string, string> = new Map(),
): GraphDiff {
  const [before, after] = [original.model.graph, other.model.graph];
  const { file, bytes, external } = other;
  const sourceOf = (v: Value): string => sources.get(v.name) ?? v.name;
  const weights = new Set(Array.from(before.initializers.keys(), (v) => v.name));
  const fed = after.inputs.filter((v) => !after.initializers.has(v) && weights.has(sourceOf(v)));
  const own = ({ inputs, initializers }: Graph): Value[] =>
    inputs.filter((v) => !initializers.has(v) && !fed.includes(v));
  return {
    ...{ graph: name, file, bytes, external },
    ...nodesDiff(before, after, sources),
    inputs: names(
      own(before).map(typed),
      own(after).map((v) => [sourceOf(v), typeText(v.type)]),
    ),
    outputs: names(before.outputs.map(typed), after.outputs.map(typed)),
    initializers: {
      ...initializersDiff(before, after, new Set(fed.map(sourceOf))),
      fed: fed.map((v) => v.name),
    },
  };
}

function initializersDiff(
  before: Graph,
  after: Graph,
  fed: ReadonlySet<string>,
): Omit<GraphDiff["initializers"], "fed"> {
  const ids = new Ids();
  const was = new Map(Array.from(before.initializers, ([v, t]) => [v.name, t] as const).filter(([n]) => !fed.has(n)));
  // Small constants are given new names in emitted graphs.
  const byValue = new Map(Array.from(was, ([name, t]) => [tensorKey(t, ids), name]));
  const is = new Map(
    Array.from(after.initializers, ([v, t]) => [
      was.has(v.name) ? v.name : (byValue.get(tensorKey(t, ids)) ?? v.name),
      t,
    ]),
  );
  const typesOf = (tensors: ReadonlyMap<string, Tensor>): [string, string][] =>
    Array.from(tensors, ([name, t]) => [name, tensorText(t)]);
  return {
    ...names(typesOf(was), typesOf(is), (name) => sameValues(must(was.get(name), name), must(is.get(name), name))),
    was: total(before),
    is: total(after),
  };
}

function nodesDiff(
  before: Graph,
  after: Graph,
  sources: ReadonlyMap<string, string>,
): Pick<GraphDiff, "phases" | "nodes"> {
  const kept = new Set<Node>();
  const copies = matchNodes(before, after, sources, (node) => kept.add(node));
  const phases = new Map<string, Omit<PhaseDiff, "ops"> & { ops: Map<string, number> }>();
  const changed = new Map<Node, readonly string[]>();
  for (const node of after.nodes) {
    const phase = partOf(node, after);
    const row = phases.get(phase) ?? { phase, nodes: 0, original: 0, added: 0, ops: new Map<string, number>() };
    phases.set(phase, row);
    row.nodes++;
    const copy = copies.get(node);
    if (!copy) {
      row.added++;
      row.ops.set(opText(node), (row.ops.get(opText(node)) ?? 0) + 1);
      continue;
    }
    row.original++;
    if (kept.has(copy.of)) continue;
    const known = changed.get(copy.of);
    if (!known || known.length > copy.differs.length) changed.set(copy.of, copy.differs);
  }
  const gone = before.nodes.filter((node) => !kept.has(node) && !changed.has(node));
  return {
    phases: Array.from(phases.values(), ({ ops, ...row }) => ({
      ...row,
      ops: Object.fromEntries([...ops].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1))),
    })),
    nodes: {
      total: after.nodes.length,
      kept: kept.size,
      changed: Array.from(changed, ([node, differs]) => ({ op: opText(node), name: node.name, differs })),
      gone: gone.map((node) => ({ op: opText(node), name: node.name })),
      added: after.nodes.length - copies.size,
    },
  };
}

/** A node's phase and whether it belongs to a derivative: `pass1/backward`. */
function partOf(node: Node, graph: Graph): string {
  const phase = phaseOf(node, graph);
  if (phase === undefined) return "model";
  const mode = /^[^/]+\/(backward|tangent)\//.exec(node.name)?.[1];
  return mode === undefined ? phase : `${phase}/${mode}`;
}

const opText = ({ domain, op }: Node): string => (domain ? `${domain}::${op}` : op);
const typed = (v: Value): [name: string, type: string] => [v.name, typeText(v.type)];
const tensorText = ({ dtype, dims }: Tensor): string => `${dtype}[${dims.join(", ")}]`;
const total = (graph: Graph): number => [...graph.initializers.values()].reduce((sum, t) => sum + t.byteLength, 0);

/** Whether two tensors of one type hold the same; each is read whole where it lies in a file. */
const sameValues = (a: Tensor, b: Tensor): boolean =>
  "strings" in a.storage || "strings" in b.storage
    ? JSON.stringify(a.storage) === JSON.stringify(b.storage)
    : Buffer.compare(a.bytes(), b.bytes()) === 0;

function names(
  before: readonly (readonly [name: string, type: string])[],
  after: readonly (readonly [name: string, type: string])[],
  same: (name: string) => boolean = () => true,
): NamesDiff {
  const [was, is] = [new Map(before), new Map(after)];
  const diff: NamesDiff = { kept: [], changed: [], gone: [], added: [...is.keys()].filter((name) => !was.has(name)) };
  for (const [name, type] of was) {
    const now = is.get(name);
    if (now === undefined) diff.gone.push(name);
    else if (now !== type) diff.changed.push({ name, was: type, is: now });
    else if (!same(name)) diff.changed.push({ name, was: type, is: "other values" });
    else diff.kept.push(name);
  }
  return diff;
}
