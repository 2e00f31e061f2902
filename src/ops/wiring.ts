import type { Graph, Node, Value } from "../ir/graph.js";

/** Two values of which the second takes its content from the first. */
export type Wire = readonly [from: Value, to: Value];

/** How a body of a node hangs together with the graph around: captures pass by themselves. */
export interface Wiring {
  readonly body: Graph;
  /** Inputs of the node that enter the body as its inputs. */
  readonly enter: readonly Wire[];
  /** Outputs of the body that are its inputs in the next iteration. */
  readonly back: readonly Wire[];
  /** Outputs of the body that are outputs of the node. */
  readonly leave: readonly Wire[];
  /** Inputs of the node that are its outputs where the body never runs. */
  readonly past: readonly Wire[];
}

const wires = (from: readonly (Value | null)[], to: readonly (Value | null)[]): Wire[] =>
  to.flatMap((t, i): Wire[] => {
    const f = from[i];
    return t && f ? [[f, t]] : [];
  });

function ofIf(node: Node): Wiring[] {
  return Object.values(node.bodies).map((body) => ({
    body,
    enter: [],
    back: [],
    leave: wires(body.outputs, node.outputs),
    past: [],
  }));
}

/** Inputs: trip count, condition, carries; body: iteration, condition, carries → condition, carries, scanned. */
function ofLoop(node: Node): Wiring[] {
  const body = node.bodies["body"];
  if (!body) return [];
  const count = node.inputs.length - 2;
  const initial = node.inputs.slice(2);
  return [
    {
      body,
      enter: wires(initial, body.inputs.slice(2)),
      back: wires(body.outputs.slice(1, 1 + count), body.inputs.slice(2)),
      leave: wires(body.outputs.slice(1), node.outputs),
      past: wires(initial, node.outputs.slice(0, count)),
    },
  ];
}

/** Inputs: carries, sequences; body: carries, elements → carries, scanned. */
function ofScan(node: Node): Wiring[] {
  const body = node.bodies["body"];
  if (!body) return [];
  const count = node.inputs.length - node.int("num_scan_inputs", 0);
  return [
    {
      body,
      enter: wires(node.inputs, body.inputs),
      back: wires(body.outputs.slice(0, count), body.inputs.slice(0, count)),
      leave: wires(body.outputs, node.outputs),
      past: wires(node.inputs.slice(0, count), node.outputs.slice(0, count)),
    },
  ];
}

const known: Readonly<Record<string, (node: Node) => Wiring[]>> = { If: ofIf, Loop: ofLoop, Scan: ofScan };

/** How the bodies of `node` are wired; empty for operators without bodies, and for those that are not known. */
export function wiringOf(node: Node): readonly Wiring[] {
  if (node.domain !== "" && node.domain !== "ai.onnx") return [];
  return Object.hasOwn(known, node.op) ? (known[node.op]?.(node) ?? []) : [];
}

/** Everything that a node reads, by position: its inputs, then what its bodies capture. */
export const operandsOf = (node: Node): (Value | null)[] => [...node.inputs, ...node.captures()];
