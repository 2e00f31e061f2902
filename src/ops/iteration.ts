import { substitute, sweep } from "../ir/edit.js";
import { tensorType, type Graph, type Node, type Type, type Value } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { must } from "../util/assert.js";
import type { Dim } from "../util/shape.js";
import * as e from "./emit.js";
import type { RuleBuilder } from "./rule.js";

interface Carry {
  readonly initial: Value;
  /** Its value at the start of an iteration. */
  readonly start: Value;
  /** Its value at the end of one. */
  next: Value;
}

/** A Loop in the making: its body is emitted with `body`, and carries and scanned values are declared as they come up. */
export class Iteration {
  readonly body: RuleBuilder;
  /** The number of the iteration, from 0: an int64 scalar. */
  readonly index: Value;
  private readonly going: Value;
  private readonly carries: Carry[] = [];
  private readonly scanned: Value[] = [];

  /** `length`: the dimension that scanned values get. */
  constructor(
    private readonly b: RuleBuilder,
    private readonly name: string,
    private readonly length: Dim,
  ) {
    this.body = b.body(name);
    this.index = this.body.parameter(`${name}_i`, tensorType("int64", []));
    this.going = this.body.parameter(`${name}_going`, tensorType("bool", []));
  }

  /** A value that goes from one iteration to the next; it stays as it is until `setNext` says otherwise. */
  carry(initial: Value, type: Type | null = initial.type): Value {
    const start = this.body.parameter(`${this.name}_carry`, type);
    this.carries.push({ initial, start, next: start });
    return start;
  }

  setNext(start: Value, next: Value): void {
    must(
      this.carries.find((c) => c.start === start),
      "a carry",
    ).next = next;
  }

  /** Collects a value of every iteration along a new first axis; the number by which `emit` gives it. */
  scan(value: Value): number {
    return this.scanned.push(value) - 1;
  }

  /** Emits the Loop: what the carries are in the end, and the scanned values, in the order of their declarations. */
  emit(trips: Value): { node: Node; final: Value[]; scanned: Value[] } {
    const { b, body, carries, scanned } = this;
    const graph = body.returns([this.going, ...carries.map((c) => c.next), ...scanned]);
    sweep(graph);
    hoist(b, graph);
    const types = [...carries.map((c) => c.initial.type), ...scanned.map((v) => stackedType(v.type, this.length))];
    // A Loop has two inputs at least, and the last cannot be absent.
    const going = carries.length > 0 ? null : b.constant(Tensor.of("bool", [], [1]));
    const inputs = [trips, going, ...carries.map((c) => c.initial)];
    const options = { outputs: types.length, types, name: this.name };
    const node = b.node("Loop", inputs, {}, { body: graph }, options);
    const outputs = types.map((_, i) => node.output(i));
    return { node, final: outputs.slice(0, carries.length), scanned: outputs.slice(carries.length) };
  }
}

/** The type of values of a type along a new first axis. */
export const stackedType = (type: Type | null, length: Dim): Type | null =>
  type?.kind === "tensor" ? tensorType(type.dtype, type.shape && [length, ...type.shape]) : null;

/** Operators that never fail, so that they may run where the body would not have run at all. */
const hoistable = new Set<string>([
  ...["Add", "Sub", "Mul", "Div", "Neg", "Exp", "Tanh", "Sigmoid", "Reciprocal", "Sqrt", "Cast", "Transpose", "Shape"],
  ...[
    "Size",
    "Unsqueeze",
    "Squeeze",
    "Identity",
    "MatMul",
    "ReduceSum",
    "Sign",
    "Abs",
    "Not",
    "Less",
    "Where",
    "Equal",
  ],
]);

/** Moves what is the same in every iteration out of a body, into `b`. */
function hoist(b: RuleBuilder, graph: Graph): void {
  const own = new Set<Value>([...graph.inputs, ...graph.nodes.flatMap((n) => n.outputs.filter((o) => o !== null))]);
  const outputs = new Set(graph.outputs);
  const moved = new Map<Value, Value>();
  const outside = (v: Value): Value | null => {
    const known = moved.get(v);
    if (known) return known;
    if (own.has(v)) return null;
    const tensor = graph.initializers.get(v);
    return tensor ? b.constant(tensor) : v;
  };
  graph.nodes = graph.nodes.filter((node) => {
    const [y] = node.outputs;
    if (node.domain !== "" || !hoistable.has(node.op) || !y || node.outputs.length > 1 || outputs.has(y)) return true;
    const inputs = node.inputs.map((v) => v && outside(v));
    if (inputs.some((v, i) => v === null && node.inputs[i])) return true;
    const copy = b.emit(node.op, inputs, [true], node.attributes, {}, { types: [y.type] });
    moved.set(y, copy.output());
    return false;
  });
  substitute(graph, moved);
  if (moved.size > 0) sweep(graph);
}

/** Element `at` along the first axis of `stack`, whose type the caller knows. */
export const elementAt = (b: RuleBuilder, stack: Value, at: Value, type: Type | null): Value =>
  b.op("Gather", [stack, at], {}, { types: [type] });

/** Zeros in the shape of `like`, of its type. */
export const zerosLike = (b: RuleBuilder, like: Value): Value => e.fullLike(b, 0, like);
