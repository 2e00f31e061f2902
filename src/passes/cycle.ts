import { substitute } from "../ir/edit.js";
import { Graph, Node, Value, int, tensorType, type Attributes } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { check, must } from "../util/assert.js";
import { isStatic } from "../util/shape.js";
import { graphsWithin } from "./pass.js";

/** Steps of a cycle, in their order: `count` times the same graph. */
export interface Piece {
  graph: Graph;
  count: number;
}

/** An input of a cycle graph that holds what several steps read as `of`. */
export interface StackedPort {
  of: string;
  /** Of a dynamic shape: elements one after another, and the shapes of all under `dimsName`; else stacked on a new first axis. */
  name: string;
  dimsName: string | null;
  /** Pieces whose steps read it; only these have a value in it. */
  readers: ReadonlySet<number>;
}

const stackedName = (name: string): string => `cycle/${name}`;
const dimsName = (name: string): string => `cycle_dims/${name}`;
/** The scan output for diagnostic `name` of piece `k`. */
export const scannedName = (k: number, name: string): string => `cycle/${k}/${name}`;
/** How often the cycle is gone through. */
export const cyclesName = "cycle/count";

const index = tensorType("int64", []);
const list = tensorType("int64", [1]);

/**
 * Cycles of steps as one graph: a Loop over the cycles, and within it one over each piece of more than one step. Values that
 * a step gives anew as `next/<name>` go from step to step inside; what `isHeld` says of the other inputs (frozen parameters)
 * is the same for all; every other input comes stacked (`stackedPorts`), one value for each step that reads it.
 *
 * Inputs: `cycle/count` int64[]; held inputs under their names; stacked ones. Outputs: `next/<name>` after the last step, and
 * `cycle/<piece>/<diagnostic>`, [cycles] or [cycles, steps of the piece]. The Loop ends after a cycle with a step that says
 * `skipped`. The graphs of `pieces` become part of it.
 */
export function cycleGraph(pieces: readonly Piece[], isHeld: (name: string) => boolean): Graph {
  return new Cycle(pieces, isHeld).graph;
}

/** The stacked inputs of a cycle of `pieces`. */
export function stackedPorts(pieces: readonly Piece[], isHeld: (name: string) => boolean): StackedPort[] {
  const ports = new Map<string, StackedPort & { readers: Set<number> }>();
  for (const [k, { graph }] of pieces.entries()) {
    for (const v of graph.inputs) {
      if (isHeld(v.name)) continue;
      const dims = isStatic(v.dims) ? null : dimsName(v.name);
      const port = ports.get(v.name) ?? { of: v.name, name: stackedName(v.name), dimsName: dims, readers: new Set() };
      port.readers.add(k);
      ports.set(v.name, port);
    }
  }
  return [...ports.values()];
}

/** Nodes and constants under construction. */
class Body {
  constructor(
    readonly graph: Graph,
    private readonly prefix: string,
  ) {}

  input(name: string, type: Value["type"]): Value {
    const value = new Value(name, type);
    this.graph.inputs.push(value);
    return value;
  }

  op(op: string, inputs: readonly Value[], type: Value["type"], attributes: Attributes = {}): Value {
    const name = `${this.prefix}${op}_${this.graph.nodes.length}`;
    const made = new Value(`${name}_out`, type);
    this.graph.nodes.push(new Node(op, [...inputs], [made], attributes, {}, "", name));
    return made;
  }

  int64s(dims: readonly number[], values: readonly number[]): Value {
    const value = new Value(`${this.prefix}const_${this.graph.initializers.size}`, tensorType("int64", dims));
    this.graph.initializers.set(value, Tensor.of("int64", dims, values));
    return value;
  }
}

/** Where the values of a stacked input lie. */
interface Stack {
  port: StackedPort;
  data: Value;
  /** Of a dynamic shape: first element and end of each value, and its shape. */
  parts: { starts: Value; ends: Value; dims: Value } | null;
}

class Cycle {
  readonly graph = new Graph("cycle");
  private readonly top = new Body(this.graph, "cycle/");
  private readonly stacks = new Map<string, Stack>();
  private readonly held = new Map<string, Value>();
  /** Names that steps give new values. */
  private readonly carried: string[];

  constructor(
    private readonly pieces: readonly Piece[],
    isHeld: (name: string) => boolean,
  ) {
    const updated = pieces.flatMap(({ graph }) => graph.outputs.flatMap((v) => updatedName(v.name) ?? []));
    this.carried = [...new Set(updated)];
    const count = this.top.input(cyclesName, index);
    for (const { graph } of pieces) {
      for (const v of graph.inputs) {
        if (isHeld(v.name) && !this.held.has(v.name)) this.held.set(v.name, this.top.input(v.name, v.type));
      }
    }
    for (const name of this.carried)
      check(this.held.has(name), `cycle: no step reads "${name}", which steps give anew`);
    for (const port of stackedPorts(pieces, isHeld)) this.stacks.set(port.of, this.stack(port));
    pieces.forEach(({ graph }, k) => prefixNames(graph, `${k}/`));
    this.loopOverCycles(count);
  }

  /** Declares a stacked input, and finds where its values lie. */
  private stack(port: StackedPort): Stack {
    const { top } = this;
    const reader = must(this.pieces[[...port.readers][0] ?? 0], port.of).graph;
    const { dtype, dims } = must(reader.input(port.of), port.of);
    if (port.dimsName === null) {
      return { port, data: top.input(port.name, tensorType(dtype, [`${port.name}/steps`, ...dims])), parts: null };
    }
    const data = top.input(port.name, tensorType(dtype, [`${port.name}/elements`]));
    const steps = `${port.name}/steps`;
    const shapes = top.input(port.dimsName, tensorType("int64", [steps, dims.length]));
    const each = tensorType("int64", [steps]);
    const sizes = top.op("ReduceProd", [shapes, top.int64s([1], [1])], each, { keepdims: int(0) });
    const ends = top.op("CumSum", [sizes, top.int64s([], [0])], each);
    return { port, data, parts: { starts: top.op("Sub", [ends, sizes], each), ends, dims: shapes } };
  }

  private loopOverCycles(count: Value): void {
    const graph = new Graph("cycle/body");
    const body = new Body(graph, "cycle/body/");
    const cycle = body.input("cycle/number", index);
    const go = body.input("cycle/go", tensorType("bool", []));
    const now = new Map(this.held);
    for (const name of this.carried)
      now.set(name, body.input(`cycle/now/${name}`, must(this.held.get(name), name).type));
    const scanned: { name: string; value: Value }[] = [];
    const skips: Value[] = [];
    for (const [k, piece] of this.pieces.entries()) {
      const made = piece.count === 1 ? this.step(body, k, cycle, null, now) : this.loopOverPiece(body, k, cycle, now);
      for (const [name, value] of made) {
        const updated = updatedName(name);
        if (updated !== null) now.set(updated, value);
        else scanned.push({ name: scannedName(k, name), value });
        if (name === "skipped")
          skips.push(body.op("ReduceMax", [value], tensorType("float32", []), { keepdims: int(0) }));
      }
    }
    const worst = skips.length === 1 ? must(skips[0], "skipped") : body.op("Max", skips, tensorType("float32", []));
    const taken = body.op("Not", [body.op("Cast", [worst], tensorType("bool", []), { to: int(9) })], go.type);
    graph.outputs = [taken, ...this.carried.map((name) => must(now.get(name), name)), ...scanned.map((s) => s.value)];
    const start = this.carried.map((name) => must(this.held.get(name), name));
    const outputs = [
      ...start.map((v) => new Value(`next/${v.name}`, v.type)),
      ...scanned.map(({ name, value }) => new Value(name, tensorType(value.dtype, ["cycles", ...value.dims]))),
    ];
    const always = new Value("cycle/always", tensorType("bool", []));
    this.graph.initializers.set(always, Tensor.of("bool", [], [1]));
    this.graph.nodes.push(new Node("Loop", [count, always, ...start], outputs, {}, { body: graph }, "", "cycle/Loop"));
    this.graph.outputs = outputs;
  }

  /** All steps of a piece; what they give, with what a single step gives stacked. */
  private loopOverPiece(outer: Body, k: number, cycle: Value, now: ReadonlyMap<string, Value>): [string, Value][] {
    const { graph: piece, count } = must(this.pieces[k], "a piece");
    const graph = new Graph(`${piece.name}/body`);
    const body = new Body(graph, `cycle/${k}/`);
    const step = body.input(`cycle/${k}/number`, index);
    const go = body.input(`cycle/${k}/go`, tensorType("bool", []));
    const names = piece.outputs.map((v) => v.name.slice(`${k}/`.length));
    const updates = names.flatMap((name) => updatedName(name) ?? []);
    const inside = new Map(now);
    for (const name of updates) inside.set(name, body.input(`cycle/${k}/now/${name}`, must(now.get(name), name).type));
    const made = this.step(body, k, cycle, step, inside);
    const on = body.op("Identity", [go], go.type);
    const next = made.filter(([name]) => updatedName(name) !== null);
    const scanned = made.filter(([name]) => updatedName(name) === null);
    graph.outputs = [on, ...[...next, ...scanned].map(([, v]) => v)];
    const results = [
      ...next.map(([name, v]) => new Value(`cycle/${k}/after/${name}`, v.type)),
      ...scanned.map(([name, v]) => new Value(`cycle/${k}/all/${name}`, tensorType(v.dtype, [count, ...v.dims]))),
    ];
    const start = next.map(([name]) => must(now.get(must(updatedName(name), name)), name));
    const always = new Value(`cycle/${k}/always`, tensorType("bool", []));
    outer.graph.initializers.set(always, Tensor.of("bool", [], [1]));
    const inputs = [outer.int64s([], [count]), always, ...start];
    outer.graph.nodes.push(new Node("Loop", inputs, results, {}, { body: graph }, "", `cycle/${k}/Loop`));
    return [...next, ...scanned].map(([name], i) => [name, must(results[i], name)]);
  }

  /** The nodes of one step of piece `k`, as a part of `body`; what they give, by the names of the graph's outputs. */
  private step(
    body: Body,
    k: number,
    cycle: Value,
    step: Value | null,
    now: ReadonlyMap<string, Value>,
  ): [string, Value][] {
    const { graph } = must(this.pieces[k], "a piece");
    const places = new Map<string, Value>();
    const given = new Map<Value, Value>();
    for (const v of graph.inputs) {
      const name = v.name.slice(`${k}/`.length);
      const stack = this.stacks.get(name);
      given.set(
        v,
        stack
          ? this.select(body, stack, this.place(body, places, stack.port, k, cycle, step), v)
          : must(now.get(name), name),
      );
    }
    substitute(graph, given);
    body.graph.nodes.push(...graph.nodes);
    for (const [value, tensor] of graph.initializers) body.graph.initializers.set(value, tensor);
    return graph.outputs.map((v) => [v.name.slice(`${k}/`.length), v]);
  }

  /** The number of this step's value in a stacked input. */
  private place(
    body: Body,
    known: Map<string, Value>,
    { readers }: StackedPort,
    k: number,
    cycle: Value,
    step: Value | null,
  ): Value {
    const key = [...readers].join();
    const before = known.get(key);
    if (before) return before;
    let [perCycle, offset] = [0, 0];
    for (const reader of readers) {
      if (reader < k) offset += this.pieces[reader]?.count ?? 0;
      perCycle += this.pieces[reader]?.count ?? 0;
    }
    const first = body.op("Mul", [cycle, body.int64s([], [perCycle])], index);
    const shifted = offset === 0 ? first : body.op("Add", [first, body.int64s([], [offset])], index);
    const place = step ? body.op("Add", [shifted, step], index) : shifted;
    known.set(key, place);
    return place;
  }

  private select(body: Body, { data, parts }: Stack, place: Value, of: Value): Value {
    if (!parts) return body.op("Gather", [data, place], of.type, { axis: int(0) });
    const at = body.op("Reshape", [place, body.int64s([1], [1])], list);
    const [start, end] = [parts.starts, parts.ends].map((v) => body.op("Gather", [v, at], list, { axis: int(0) }));
    const flat = body.op(
      "Slice",
      [data, must(start, "start"), must(end, "end")],
      tensorType(of.dtype, [`${of.name}/elements`]),
    );
    const shape = body.op("Gather", [parts.dims, place], tensorType("int64", [of.dims.length]), { axis: int(0) });
    return body.op("Reshape", [flat, shape], of.type);
  }
}

/** The input whose new value an output is, by its name. */
function updatedName(name: string): string | null {
  return name.startsWith("next/") ? name.slice("next/".length) : null;
}

/**
 * Puts `prefix` before every name of `graph`, so that two graphs can be parts of one; before symbols too, as their batches may
 * differ in size.
 */
function prefixNames(graph: Graph, prefix: string): void {
  for (const g of graphsWithin(graph)) {
    const made = g.nodes.flatMap((n) => n.outputs.filter((v) => v !== null));
    for (const v of new Set([...g.inputs, ...g.initializers.keys(), ...made])) {
      v.name = prefix + v.name;
      if (v.type?.kind !== "tensor" || !v.type.shape) continue;
      const shape = v.type.shape.map((d) => (typeof d === "string" ? prefix + d : d));
      v.type = tensorType(v.type.dtype, shape);
    }
    for (const n of g.nodes) if (n.name !== "") n.name = prefix + n.name;
  }
}
