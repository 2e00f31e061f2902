import { check } from "../../util/assert.js";
import type { JsonValue } from "../../util/json.js";
import type { Batch, BatchSource, Feed, InputSpec } from "../batch.js";
import { makeFeed } from "../feed.js";
import { Sampler, type SamplerOptions } from "../sampler.js";
import { graphCount, type GraphSet, type Rows, type SplitName } from "./graphs.js";

/** What the inputs of a model are filled with, by their names; shapes with N nodes, E edges and G graphs in a batch. */
const roles = ["x", "edge_index", "edge_attr", "batch", "graph_sizes"] as const;
type Role = (typeof roles)[number];

export interface GraphBatchOptions extends SamplerOptions {
  split: SplitName;
  /** The label that the loss leaves out: that of nodes outside of the split. */
  ignoreIndex?: number | undefined;
}

/**
 * Batches of graphs as one graph that is not connected: `x` [N, features], `edge_index` [2, E] (sources, targets), `edge_attr`
 * [E, features], `batch` [N] (the number of each node's graph within the batch) and `graph_sizes` [G] (nodes of each graph), and the
 * target. Where nodes have the labels, batches hold whole graphs, and nodes outside of the split get the label that the loss ignores.
 * Throws `UserError` where inputs or labels do not fit the model.
 */
export class GraphBatches implements BatchSource {
  private readonly inputs: [name: string, role: Role, spec: InputSpec][];
  private readonly target: readonly [name: string, spec: InputSpec];
  private readonly sampler: Sampler;
  /** The graphs to go through. */
  private readonly graphs: Int32Array;
  /** Whether a node is in the split; null where graphs have the labels. */
  private readonly counts: Uint8Array | null;
  private readonly ignored: number;

  constructor(
    private readonly set: GraphSet,
    inputs: Readonly<Record<string, InputSpec>>,
    targets: Readonly<Record<string, InputSpec>>,
    { split, ignoreIndex, ...sampling }: GraphBatchOptions,
  ) {
    this.inputs = Object.entries(inputs).map(([name, spec]) => [name, roleOf(name, spec, set), spec]);
    const [target, ...others] = Object.entries(targets);
    check(target && others.length === 0, `${set.path}: graphs fill one target, the package has ${others.length + 1}`);
    this.target = target;
    const members = set.splits[split];
    check(members.length > 0, `${set.path}: the split "${split}" is empty`);
    checkLabels(set, members, target, ignoreIndex);
    this.ignored = ignoreIndex ?? 0;
    if (set.labels.of === "graph") {
      this.counts = null;
      this.graphs = members;
    } else {
      this.counts = new Uint8Array(set.nodeStarts.at(-1) ?? 0);
      for (const node of members) this.counts[node] = 1;
      this.graphs = Int32Array.from({ length: graphCount(set) }, (_, g) => g);
    }
    this.sampler = new Sampler(this.graphs.length, sampling);
  }

  get batchesPerEpoch(): number {
    return this.sampler.batchesPerEpoch;
  }

  next(): Promise<Batch | null> {
    const rows = this.sampler.next();
    return Promise.resolve(rows && this.batchOf(rows.map((row) => this.graphs[row] ?? 0)));
  }

  state(): JsonValue {
    return this.sampler.state();
  }

  restore(state: JsonValue): void {
    this.sampler.restore(state);
  }

  private batchOf(graphs: Int32Array): Batch {
    const feeds = Object.fromEntries(
      this.inputs.map(([name, role, spec]) => [name, this.feed(graphs, name, role, spec)]),
    );
    const [name, spec] = this.target;
    const nodes = this.counts && rowsOf(graphs, this.set.nodeStarts);
    feeds[name] = this.labelFeed(nodes ?? graphs, name, spec);
    return { size: nodes ? nodes.reduce((n, node) => n + (this.counts?.[node] ?? 0), 0) : graphs.length, feeds };
  }

  private feed(graphs: Int32Array, name: string, role: Role, { dtype }: InputSpec): Feed {
    const { nodeStarts, edgeStarts, edges, nodeFeatures, edgeFeatures } = this.set;
    const nodes = rowsOf(graphs, nodeStarts);
    switch (role) {
      case "x":
        return rowsFeed(name, dtype, nodeFeatures, nodes);
      case "edge_attr":
        return rowsFeed(
          name,
          dtype,
          edgeFeatures ?? { width: 0, values: new Float32Array() },
          rowsOf(graphs, edgeStarts),
        );
      case "edge_index": {
        const rows = rowsOf(graphs, edgeStarts);
        return makeFeed(name, dtype, [2, rows.length], (set) => {
          let node = 0;
          let column = 0;
          for (const g of graphs) {
            for (let k = edgeStarts[g] ?? 0; k < (edgeStarts[g + 1] ?? 0); k++, column++) {
              set(column, node + (edges[2 * k] ?? 0));
              set(rows.length + column, node + (edges[2 * k + 1] ?? 0));
            }
            node += lengthOf(nodeStarts, g);
          }
        });
      }
      case "batch":
        return makeFeed(name, dtype, [nodes.length], (set) => {
          let at = 0;
          graphs.forEach((g, place) => {
            for (let k = lengthOf(nodeStarts, g); k > 0; k--) set(at++, place);
          });
        });
      case "graph_sizes":
        return makeFeed(name, dtype, [graphs.length], (set) => {
          graphs.forEach((g, place) => set(place, lengthOf(nodeStarts, g)));
        });
    }
  }

  private labelFeed(rows: Int32Array, name: string, { dtype, shape }: InputSpec): Feed {
    const { width, values } = this.set.labels;
    return makeFeed(name, dtype, shape.length > 1 ? [rows.length, width] : [rows.length], (set) => {
      rows.forEach((row, i) => {
        const counts = this.counts === null || this.counts[row] === 1;
        for (let j = 0; j < width; j++) set(i * width + j, counts ? (values[row * width + j] ?? 0) : this.ignored);
      });
    });
  }
}

const lengthOf = (starts: Int32Array, i: number): number => (starts[i + 1] ?? 0) - (starts[i] ?? 0);

/** The rows of these graphs, one graph after another. */
function rowsOf(graphs: Int32Array, starts: Int32Array): Int32Array {
  const rows = new Int32Array(graphs.reduce((n, g) => n + lengthOf(starts, g), 0));
  let at = 0;
  for (const g of graphs) for (let row = starts[g] ?? 0; row < (starts[g + 1] ?? 0); row++) rows[at++] = row;
  return rows;
}

function rowsFeed(name: string, dtype: InputSpec["dtype"], { width, values }: Rows, rows: Int32Array): Feed {
  return makeFeed(name, dtype, [rows.length, width], (set) => {
    rows.forEach((row, i) => {
      for (let j = 0; j < width; j++) set(i * width + j, values[row * width + j] ?? 0);
    });
  });
}

function roleOf(name: string, { shape, source = name }: InputSpec, set: GraphSet): Role {
  const role = roles.find((each) => each === source);
  check(role, `the model has an input "${source}" that graphs do not fill; they fill ${roles.join(", ")}`);
  if (role !== "x" && role !== "edge_attr") return role;
  const [rows, what] = role === "x" ? ([set.nodeFeatures, "node"] as const) : ([set.edgeFeatures, "edge"] as const);
  check(rows, `${set.path}: edges have no features, but the model has the input "${source}"`);
  const wanted = shape[1];
  check(
    typeof wanted !== "number" || wanted === rows.width,
    `${set.path}: ${rows.width} features of a ${what}, the model's "${source}" takes ${String(wanted)}`,
  );
  return role;
}

function checkLabels(
  { path, labels }: GraphSet,
  members: Int32Array,
  [name, { shape, dtype }]: readonly [string, InputSpec],
  ignoreIndex: number | undefined,
): void {
  const { width, values, of } = labels;
  const expected = shape.length > 1 ? shape[1] : 1;
  check(
    typeof expected !== "number" || expected === width,
    `${path}: ${width} labels for each ${of}, the loss takes "${name}" with ${String(expected)}; export the model with ${width} outputs`,
  );
  check(
    of === "graph" || ignoreIndex !== undefined,
    `${path}: nodes have the labels, so the loss must leave out those of other splits; ` +
      "patch the model with --loss cross-entropy --ignore-index -1",
  );
  const unfit = members.find((row) => {
    const given = values.subarray(row * width, (row + 1) * width);
    return given.some((value) => Number.isNaN(value) || (dtype === "int64" && !Number.isInteger(value)));
  });
  check(
    unfit === undefined,
    () =>
      `${path}: ${of} ${unfit} has the label ${values.subarray((unfit ?? 0) * width, ((unfit ?? 0) + 1) * width).join(",")}; ` +
      `the loss takes "${name}" as ${dtype === "int64" ? "whole numbers" : "numbers"}, none missing`,
  );
}
