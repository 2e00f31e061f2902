import type { Graph, Node } from "../ir/graph.js";
import { dce } from "../passes/dce.js";
import { graphsWithin } from "../passes/pass.js";
import { cpuForms } from "./forms.js";
import { isFunction, kernelFault, kernelsOf, type KernelProvider } from "./kernels.js";
import { failsOnWebGpu } from "./webgpu.js";

/** Nodes that a provider does not run, for one reason. */
export interface KernelGap {
  op: string;
  /** `no kernel`, `no kernel of opset 21`, `no kernel for int64`, `kernel fails in this form`. */
  why: string;
  /** What happens instead: the CPU provider runs them, the runtime writes them out in terms of other operators, or nothing. */
  instead: "cpu" | "expanded" | null;
  nodes: number;
  /** The graphs that they are in. */
  graphs: string[];
  /** Their names, the first few. */
  names: string[];
}

/** What a lowering makes of the graphs of a package. */
export interface Lowered {
  lowering: string;
  does: string;
  /** The nodes that it replaces, in all graphs. */
  nodes: number;
}

export interface KernelReport {
  provider: KernelProvider;
  /** Version of the runtime whose kernels these are. */
  runtime: string;
  graphs: { graph: string; nodes: number; onCpu: number; expanded: number; nowhere: number }[];
  gaps: KernelGap[];
  lowered: Lowered[];
}

export type { KernelProvider };

const shownNames = 3;

/**
 * Which nodes of `graphs` (bodies included) the provider does not run, in the form in which sessions give them to it, and what its
 * lowerings do. Graphs are lowered in place. `opsets`: the versions of the domains that the graphs are written in.
 */
export function reportKernels(
  graphs: Iterable<readonly [name: string, graph: Graph, opsets: ReadonlyMap<string, number>]>,
  provider: KernelProvider,
): KernelReport {
  const report: KernelReport = { provider, runtime: kernelsOf, graphs: [], gaps: [], lowered: [] };
  const gaps = new Map<string, KernelGap>();
  const lowered = new Map<string, Lowered>();
  for (const [name, graph, opsets] of graphs) {
    if (provider === "cpu") lowerForReport(graph, lowered);
    const row = { graph: name, nodes: 0, onCpu: 0, expanded: 0, nowhere: 0 };
    for (const g of graphsWithin(graph)) {
      for (const node of g.nodes) {
        row.nodes++;
        const opset = opsets.get(node.domain) ?? 1;
        const why = kernelFault(node, provider, opset) ?? formFault(node, g, provider);
        if (why === undefined) continue;
        const instead = insteadOf(node, opset);
        row[instead === "cpu" ? "onCpu" : (instead ?? "nowhere")]++;
        addGap(gaps, { op: node.domain ? `${node.domain}::${node.op}` : node.op, why, instead }, name, node);
      }
    }
    report.graphs.push(row);
  }
  report.gaps = [...gaps.values()].sort((a, b) => b.nodes - a.nodes);
  report.lowered = [...lowered.values()];
  return report;
}

/** Why sessions keep a node from a provider that has a kernel for it. */
const formFault = (node: Node, graph: Graph, provider: KernelProvider): string | undefined =>
  provider === "webgpu" && failsOnWebGpu(node, graph) ? "kernel fails in this form" : undefined;

/** What becomes of a node that its provider does not run. */
function insteadOf(node: Node, opset: number): KernelGap["instead"] {
  if (kernelFault(node, "cpu", opset) === undefined) return "cpu";
  return isFunction(node) ? "expanded" : null;
}

function addGap(
  gaps: Map<string, KernelGap>,
  gap: Pick<KernelGap, "op" | "why" | "instead">,
  graph: string,
  node: Node,
): void {
  const key = JSON.stringify(gap);
  const known = gaps.get(key) ?? { ...gap, nodes: 0, graphs: [], names: [] };
  gaps.set(key, known);
  known.nodes++;
  if (!known.graphs.includes(graph)) known.graphs.push(graph);
  if (known.names.length < shownNames && !known.names.includes(node.name)) known.names.push(node.name);
}

function lowerForReport(graph: Graph, lowered: Map<string, Lowered>): void {
  for (const { name, does, apply } of cpuForms) {
    const before = new Set(graph.nodes);
    apply(graph);
    dce(graph);
    const after = new Set(graph.nodes);
    const nodes = [...before].filter((node) => !after.has(node)).length;
    if (nodes === 0) continue;
    const known = lowered.get(name) ?? { lowering: name, does, nodes: 0 };
    lowered.set(name, { ...known, nodes: known.nodes + nodes });
  }
}
