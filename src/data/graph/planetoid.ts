import { readFile } from "node:fs/promises";
import { z } from "zod";
import { check, UserError } from "../../util/assert.js";
import { unreadable } from "../cells.js";
import { checkEdges, withInverseEdges, type GraphSet } from "./graphs.js";

const ids = z.array(z.int().nonnegative());
const schema = z.object({
  numNodes: z.int().positive(),
  numFeatures: z.int().positive(),
  numClasses: z.int().positive(),
  /** For each node the features that it has. */
  features: z.array(ids),
  labels: ids,
  /** Each undirected edge once. */
  edges: z.array(z.tuple([z.int(), z.int()])),
  train: ids,
  val: ids,
  test: ids,
});

/**
 * Reads a citation graph of Planetoid (Yang et al. 2016) as one JSON object: `numNodes`, `numFeatures`, `numClasses`, `features`
 * (of each node, the numbers of the features that it has), `labels`, `edges` (pairs, each undirected edge once), and the nodes of
 * `train`, `val` and `test`. `normalise`: features of a node sum to 1, as is usual. Throws `UserError` for what does not fit.
 */
export async function readPlanetoid(path: string, { normalise = true } = {}): Promise<GraphSet> {
  const bytes = await readFile(path).catch((error: unknown) => unreadable(path, error));
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new UserError(`${path}: it is not JSON; the file is truncated or damaged`);
  }
  const result = schema.safeParse(json);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new UserError(`${path}: ${issue?.path.join(".") || "the whole"}: ${issue?.message ?? "not valid"}`);
  }
  const { numNodes, numFeatures, numClasses, features, labels, edges, train, val, test } = result.data;
  for (const [name, rows] of Object.entries({ features, labels })) {
    check(rows.length === numNodes, `${path}: ${rows.length} ${name} for ${numNodes} nodes`);
  }
  for (const [name, values, end] of [
    ...features.map((row, node) => [`features of node ${node}`, row, numFeatures] as const),
    ["labels", labels, numClasses] as const,
    ...Object.entries({ train, val, test }).map(([name, nodes]) => [name, nodes, numNodes] as const),
  ]) {
    const wrong = values.find((id) => id >= end);
    check(wrong === undefined, () => `${path}: ${name}: ${wrong}, expected a number below ${end}`);
  }
  const values = new Float32Array(numNodes * numFeatures);
  features.forEach((row, node) => {
    for (const feature of row) values[node * numFeatures + feature] = normalise ? 1 / row.length : 1;
  });
  const set: GraphSet = {
    path,
    nodeStarts: Int32Array.of(0, numNodes),
    edgeStarts: Int32Array.of(0, edges.length),
    edges: Int32Array.from(edges.flat()),
    nodeFeatures: { width: numFeatures, values },
    edgeFeatures: null,
    labels: { of: "node", width: 1, values: Float64Array.from(labels) },
    splits: { train: Int32Array.from(train), valid: Int32Array.from(val), test: Int32Array.from(test) },
  };
  checkEdges(set, (i) => `${path}: edges[${i}]`);
  return withInverseEdges(set);
}
