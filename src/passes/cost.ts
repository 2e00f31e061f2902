import type { Graph, Node, Value } from "../ir/graph.js";
import { equationOf } from "../ops/einsumEquation.js";
import { sizeOf } from "../util/shape.js";
import { dimsAt, estimatedSizes, simulatePeak, views } from "./memory.js";
import { graphsWithin } from "./pass.js";

/** What a run of a graph takes, counted rather than timed: equal graphs and sizes give equal numbers on every machine. */
export interface Cost {
  /**
   * Floating-point operations of matrix products and convolutions, a multiply-add being two, by the phase that the names of
   * nodes begin with; by the name of the graph where they tell none.
   */
  flops: Record<string, number>;
  /** Bytes that all other nodes read and write; views move none. */
  moved: number;
  /** Nodes by operator, those in bodies too. */
  ops: Record<string, number>;
  /** Simulated peak bytes of the values that the nodes make (`passes/memory.ts`). */
  peak: number;
  /** Products whose sizes are not known: they count for nothing. */
  unknown: number;
}

/** What names of nodes begin with in fused graphs and in phases. */
const phaseNames = /^(pass1|curvature|preconditioner|perturb|pass2|descend)\//;

/**
 * The cost of a run of `graph` at `sizes` of the dynamic dimensions; bodies are counted as if they ran once.
 */
export function costOf(graph: Graph, sizes: ReadonlyMap<string, number>): Cost {
  const cost: Cost = { flops: {}, moved: 0, ops: {}, peak: 0, unknown: 0 };
  const counts = new Map<string, number>();
  const phases = new Map<string, number>();
  for (const g of graphsWithin(graph)) {
    const bytes = estimatedSizes(g, sizes);
    for (const node of g.nodes) {
      const op = node.domain ? `${node.domain}::${node.op}` : node.op;
      counts.set(op, (counts.get(op) ?? 0) + 1);
      const product = products[node.op];
      if (!product) {
        cost.moved += movedBytes(node, bytes);
        continue;
      }
      const flops = product(node, (v) => v && dimsAt(v, sizes));
      if (flops === null) cost.unknown++;
      const phase = phaseNames.exec(node.name)?.[1] ?? graph.name;
      phases.set(phase, (phases.get(phase) ?? 0) + (flops ?? 0));
    }
  }
  cost.flops = sorted(phases, false);
  cost.ops = sorted(counts, true);
  cost.peak = simulatePeak(graph, estimatedSizes(graph, sizes));
  return cost;
}

const sorted = (counts: ReadonlyMap<string, number>, byName: boolean): Record<string, number> =>
  Object.fromEntries(byName ? [...counts].sort(([a], [b]) => (a < b ? -1 : 1)) : counts);

/** Nodes that read of their data only as much as they write. */
const selections = new Set(["Gather", "GatherElements", "GatherND", "Slice", "Split"]);
/** Nodes that look at no element of their inputs. */
const blind = new Set(["Shape", "Size", "Constant", "ConstantOfShape", "Loop", "Scan", "If"]);

function movedBytes(node: Node, bytes: (v: Value) => number): number {
  if (node.domain === "" && views.has(node.op)) return 0;
  const sum = (values: readonly (Value | null)[]): number => values.reduce((n, v) => n + (v ? bytes(v) : 0), 0);
  const written = sum(node.outputs);
  if (blind.has(node.op)) return written;
  const [data, ...others] = node.inputs;
  return written + (selections.has(node.op) ? written : sum([data ?? null])) + sum(others);
}

type DimsOf = (v: Value | null | undefined) => readonly number[] | null | undefined;

/** FLOPs of the operators that multiply matrices; null where their sizes are not known. */
const products: Readonly<Record<string, (node: Node, dims: DimsOf) => number | null>> = {
  MatMul: matrixProduct,
  FusedMatMul: matrixProduct,
  Gemm: matrixProduct,
  FusedGemm: matrixProduct,
  Conv: convolution,
  FusedConv: convolution,
  ConvTranspose: (node, dims) => {
    const [x, weight] = [dims(node.inputs[0]), dims(node.inputs[1])];
    return x && weight ? 2 * sizeOf(x) * sizeOf(weight.slice(1)) : null;
  },
  /** 2 × the product of the sizes of all letters: as one sum over them. */
  Einsum: (node, dims) => {
    const { operands } = equationOf(node);
    const sizes = new Map<string, number>();
    for (const [i, letters] of operands.entries()) {
      const of = dims(node.inputs[i]);
      if (!of) return null;
      Array.from(letters).forEach((letter, k) => sizes.set(letter, Math.max(of[k] ?? 1, sizes.get(letter) ?? 1)));
    }
    return 2 * sizeOf([...sizes.values()]);
  },
};

/** 2 × the elements of the output × the inner dimension. */
function matrixProduct(node: Node, dims: DimsOf): number | null {
  const [made, a] = [dims(node.output()), dims(node.inputs[0])];
  if (!made || !a) return null;
  const inner = node.int("transA", 0) === 1 ? a.at(-2) : a.at(-1);
  return 2 * sizeOf(made) * (inner ?? 1);
}

/** 2 × the elements of the output × what is summed for each: input channels of a group × the kernel. */
function convolution(node: Node, dims: DimsOf): number | null {
  const [made, weight] = [dims(node.output()), dims(node.inputs[1])];
  return made && weight ? 2 * sizeOf(made) * sizeOf(weight.slice(1)) : null;
}
