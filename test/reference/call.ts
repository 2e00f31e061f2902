import type { Graph, Node } from "../../src/ir/graph.js";
import { numbersOf, type Array64 } from "./array.js";

/** One evaluation of one node. */
export class Call {
  constructor(
    readonly node: Node,
    readonly inputs: readonly (Array64 | null)[],
    readonly opset: number,
    /** Evaluates a body graph of the node on its inputs. */
    readonly run: (body: Graph, inputs: readonly Array64[]) => Array64[],
    /** Whether quantization leaves out its rounding: the function whose derivative goes straight through. */
    readonly straightThrough = false,
  ) {}

  /** Input `i`, which must be there. */
  at(i: number): Array64 {
    const x = this.inputs[i];
    if (!x) throw new Error(`${this.node.label}: input ${i} is missing`);
    return x;
  }

  maybe(i: number): Array64 | null {
    return this.inputs[i] ?? null;
  }

  all(): Array64[] {
    return this.inputs.map((_, i) => this.at(i));
  }

  /** Numbers that newer opsets take as input `i` and older ones as the attribute `name`. */
  numbers(i: number, name: string): number[] | undefined {
    const x = this.inputs[i];
    if (x) return numbersOf(x);
    const one = this.node.int(name);
    return one === undefined ? this.node.ints(name) : [one];
  }

  /** Whether output `i` is asked for. */
  wants(i: number): boolean {
    return Boolean(this.node.outputs[i]);
  }
}

/** A reference operator: its outputs, or the only one. */
export type Op = (c: Call) => Array64 | readonly (Array64 | null)[];
