import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { check } from "../../util/assert.js";
import { onFile } from "../../util/files.js";
import { at } from "../cells.js";
import {
  checkEdges,
  exampleCount,
  splitNames,
  startsOf,
  withInverseEdges,
  type GraphSet,
  type SplitName,
} from "./graphs.js";
import { readNumbers, type NumberTable } from "./numbers.js";

/** Whether `folder` holds a data set of the Open Graph Benchmark in its CSV form. */
export const isOgb = (folder: string): boolean => existsSync(join(folder, "raw"));

export interface OgbOptions {
  /** The kind of split, where there are several: a folder of `split/`. */
  split?: string | undefined;
  /** Take edges as they are, without their opposites. */
  directed?: boolean | undefined;
}

/**
 * Reads `folder/raw/*.csv.gz` and `folder/split/<kind>/{train,valid,test}.csv.gz`, as the Open Graph Benchmark (Hu et al. 2020)
 * distributes them: graphs with a label each, or with one for every node. Throws `UserError` for files that are missing or do not fit.
 */
export async function readOgb(folder: string, options: OgbOptions = {}): Promise<GraphSet> {
  const raw = (name: string): string => join(folder, "raw", `${name}.csv.gz`);
  const of = existsSync(raw("node-label")) ? "node" : "graph";
  const [nodeCounts, edgeCounts, edges, nodeFeatures, labels] = await Promise.all([
    readNumbers(raw("num-node-list"), 1),
    readNumbers(raw("num-edge-list"), 1),
    readNumbers(raw("edge"), 2),
    readNumbers(raw("node-feat")),
    readNumbers(raw(`${of}-label`)),
  ]);
  const edgeFeatures = existsSync(raw("edge-feat")) ? await readNumbers(raw("edge-feat")) : null;
  const nodeStarts = startsOf(nodeCounts.values);
  const edgeStarts = startsOf(edgeCounts.values);
  const [nodes, edgeTotal] = [nodeStarts.at(-1) ?? 0, edgeStarts.at(-1) ?? 0];
  checkRows(edgeCounts, nodeCounts.rows, `${nodeCounts.path} has graphs`);
  checkRows(nodeFeatures, nodes, `${nodeCounts.path} counts nodes`);
  checkRows(edges, edgeTotal, `${edgeCounts.path} counts edges`);
  if (edgeFeatures) checkRows(edgeFeatures, edgeTotal, `${edgeCounts.path} counts edges`);
  checkRows(labels, of === "graph" ? nodeCounts.rows : nodes, `there are ${of}s`);
  const set: GraphSet = {
    ...{ path: folder, nodeStarts, edgeStarts, edges: Int32Array.from(edges.values) },
    ...{ nodeFeatures, edgeFeatures, labels: { of, width: labels.width, values: labels.values } },
    splits: { train: new Int32Array(), valid: new Int32Array(), test: new Int32Array() },
  };
  checkEdges(set, (i) => at(edges.path, i + 1));
  await readSplits(set, splitFolder(folder, options.split));
  return options.directed ? set : withInverseEdges(set);
}

function checkRows({ path, rows }: NumberTable, expected: number, why: string): void {
  check(rows === expected, `${path}: ${rows} rows, expected ${expected}, as ${why}`);
}

function splitFolder(folder: string, kind: string | undefined): string {
  const all = join(folder, "split");
  const kinds = onFile(all, "read", () => readdirSync(all));
  const [only = ""] = kinds;
  check(
    kind === undefined ? kinds.length === 1 : kinds.includes(kind),
    `${all}: ${kind === undefined ? `${kinds.length} kinds of split` : `no split "${kind}"`}; choose one of ${kinds.join(", ")} with --split`,
  );
  return join(all, kind ?? only);
}

async function readSplits(set: GraphSet, folder: string): Promise<void> {
  const count = exampleCount(set);
  const read = async (name: SplitName): Promise<Int32Array> => {
    const { path, values } = await readNumbers(join(folder, `${name}.csv.gz`), 1);
    const wrong = values.findIndex((i) => !(i >= 0 && i < count));
    check(wrong < 0, () => `${at(path, wrong + 1)}: ${set.labels.of} ${values[wrong]}, there are ${count}, from 0 on`);
    return Int32Array.from(values);
  };
  for (const name of splitNames) set.splits[name] = await read(name);
}
