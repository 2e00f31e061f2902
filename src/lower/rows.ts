import { Node, Value, int, string, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { views } from "../passes/memory.js";
import { isStatic, sameShape, sizeOf } from "../util/shape.js";
import { Replacement } from "./replacement.js";

/** Elements of a table from which on its rows are worth the trouble. */
const worthwhile = 1 << 20;

/**
 * Keeps the gradient of an embedding as the U rows that the batch reads, each once, not as a table of zeros with rows added: what
 * is computed of it element by element and is zero where it is, sums over it, and what the next pass gathers from w + s·g, which
 * is a sum of rows. Only where it meets a whole table, as in a moving average, are its rows added to that. Sums over a table add its
 * rows in another order; all else is the same bit for bit. A zero times what is not finite counts as zero here.
 */
export function keepRows(graph: Graph, least = worthwhile): { modified: boolean } {
  const rows = new Rows(graph, least);
  graph.nodes = graph.nodes.flatMap((node) => rows.rewritten(node));
  return { modified: rows.modified };
}

/** The rows of a table of `size` that a tensor of indices names. */
interface Places {
  size: number;
  /** The indices, of whatever shape. */
  root: Value;
  /** Each row named, once: int64 `[U]`. */
  unique: Value;
  /** Which of them each index is, int64 `[T]`. */
  inverse: Value;
}

/** A tensor that is zero but at some rows; `rows`: what it is there, `[U, …]`. */
interface Sparse {
  places: Places;
  rows: Value;
}

/** Operators that are zero where their first operand is. */
const keepZeros = new Set(["Neg", "Abs", "Sqrt", "Sign", "Identity", "Mul", "Div"]);
/** Sums in which zeros do not count. */
const sums = new Set(["ReduceSum", "ReduceSumSquare", "ReduceL1", "ReduceL2"]);
/** Operators that give a row from rows. */
const elementwise = new Set([
  ...["Neg", "Abs", "Sqrt", "Sign", "Identity", "Reciprocal", "Exp"],
  ...["Mul", "Div", "Add", "Sub", "Max", "Min", "Pow", "Where"],
]);

class Rows {
  modified = false;
  private readonly places: Places[] = [];
  private readonly sparse = new Map<Value, Sparse>();
  /** Whole tables to which rows were added: `table` + `added`. */
  private readonly added = new Map<Value, { table: Value; added: Sparse }>();
  private readonly picks = new Map<Places, Map<Value, Value>>();
  private readonly outputs: ReadonlySet<Value>;

  constructor(
    private readonly graph: Graph,
    private readonly least: number,
  ) {
    this.outputs = new Set(graph.outputs);
  }

  /** What takes the place of `node`: nodes that compute with rows beside it, or instead of it. */
  rewritten(node: Node): Node[] {
    if (node.domain !== "") return [node];
    const made = new Replacement(this.graph, node);
    const replaced = this.rewrite(node, made);
    this.modified ||= made.nodes.length > 0;
    return replaced ? made.done() : [...made.nodes, node];
  }

  /** Whether the last node of `made` gives what `node` gives; else `node` stays, for those who read all of the table. */
  private rewrite(node: Node, made: Replacement): boolean {
    if (node.op === "ScatterElements") return this.scatter(node, made);
    if (node.op === "Gather") return this.gather(node, made);
    const [x, y] = node.inputs.map((v) => v && (this.sparse.get(v) ?? null));
    if (x && sums.has(node.op)) return this.sum(node, x, made);
    if (node.op === "Add" || node.op === "Sub") return this.add(node, x ?? null, y ?? null, made);
    const first = x ?? (node.op === "Mul" ? y : null);
    if (!first || !keepZeros.has(node.op)) return false;
    const operands = node.inputs.map((v) => v && this.operand(v, node.output(), first.places, made));
    if (operands.includes(null)) return false;
    this.sparse.set(node.output(), { places: first.places, rows: made.op(node.op, operands, node.attributes) });
    return false;
  }

  /** Rows added to zeros. */
  private scatter(node: Node, made: Replacement): boolean {
    const [data, indices, updates] = [node.input(0), node.input(1), node.input(2)];
    const { shape } = data;
    if (node.string("reduction") !== "add" || node.int("axis", 0) !== 0 || !shape || !isStatic(shape)) return false;
    const [size = 0, ...rest] = shape;
    if (rest.length === 0 || sizeOf(shape) < this.least || data.dtype !== "float32" || !this.isZero(data)) return false;
    const spread = indices.producer;
    if (
      spread?.op !== "Expand" ||
      !spread
        .input(0)
        .shape?.slice(1)
        .every((d) => d === 1)
    )
      return false;
    const places = this.placesOf(spread.input(0), size, made);
    const number = made.op("Shape", [places.unique]);
    const extents = made.op("Concat", [number, made.int64s(rest)], { axis: int(0) });
    const value = { type: "tensor", value: Tensor.of("float32", [1], [0]) } as const;
    const zeros = made.op("ConstantOfShape", [extents], { value });
    const column = made.op("Unsqueeze", [places.inverse, made.int64s(rest.map((_, i) => i + 1))]);
    const at = made.op("Expand", [column, made.op("Shape", [updates])]);
    const rows = made.op("ScatterElements", [zeros, at, updates], node.attributes);
    this.sparse.set(node.output(), { places, rows });
    return false;
  }

  private isZero(v: Value): boolean {
    const filled = v.producer?.op === "Expand" ? this.graph.constantOf(v.producer.input(0)) : undefined;
    return filled?.size === 1 && filled.numbers()[0] === 0;
  }

  private placesOf(indices: Value, size: number, made: Replacement): Places {
    const root = rootOf(indices);
    const known = this.places.find((p) => p.root === root && p.size === size);
    if (known) return known;
    // −1 and size − 1 are one row.
    const flat = made.op("Reshape", [indices, made.int64s([-1])]);
    const positive = made.op("Mod", [flat, made.int64s([size])]);
    const unique = made.op("Unique", [positive]);
    const inverse = new Value(`${unique.name}:inverse`, null);
    const node = made.nodes.at(-1);
    if (node) made.nodes.splice(-1, 1, new Node("Unique", node.inputs, [unique, null, inverse], {}, {}, "", node.name));
    const places = { size, root, unique, inverse };
    this.places.push(places);
    return places;
  }

  /** Rows of a table that rows were added to, or of such rows themselves, by the indices that they belong to. */
  private gather(node: Node, made: Replacement): boolean {
    const [data, indices] = [node.input(0), node.input(1)];
    const { places } = this.sparse.get(data) ?? this.added.get(data)?.added ?? {};
    if (!places || node.int("axis", 0) !== 0 || rootOf(indices) !== places.root) return false;
    const inverse = made.op("Reshape", [places.inverse, made.op("Shape", [indices])]);
    const take = (v: Value): Value => {
      const own = this.sparse.get(v);
      if (own?.places === places) return made.op("Gather", [own.rows, inverse]);
      const sum = this.added.get(v);
      if (sum?.added.places !== places) return made.op("Gather", [v, indices]);
      return made.op("Add", [take(sum.table), made.op("Gather", [sum.added.rows, inverse])]);
    };
    take(data);
    return true;
  }

  private sum(node: Node, { rows, places }: Sparse, made: Replacement): boolean {
    const axes = node.inputs[1] ? this.graph.constantOf(node.inputs[1])?.numbers() : [];
    const rank = node.input(0).dims.length;
    if (!axes || (axes.length === 0 && node.int("noop_with_empty_axes", 0) === 1)) return false;
    const result = made.op(node.op, [rows, ...node.inputs.slice(1)], node.attributes);
    if (axes.length === 0 || axes.some((axis) => axis === 0 || axis === -rank)) return true;
    this.sparse.set(node.output(), { places, rows: result });
    return false;
  }

  private add(node: Node, x: Sparse | null, y: Sparse | null, made: Replacement): boolean {
    const [a, b] = [node.input(0), node.input(1)];
    if (x && x.places === y?.places && sameShape(a.shape, b.shape)) {
      this.sparse.set(node.output(), { places: x.places, rows: made.op(node.op, [x.rows, y.rows]) });
      return false;
    }
    const [table, own] = y ? [a, y] : [b, x];
    if (!own || !sameShape(a.shape, b.shape) || (node.op === "Sub" && !y)) return false;
    const rows = node.op === "Sub" ? made.op("Neg", [own.rows]) : own.rows;
    this.added.set(node.output(), { table, added: { places: own.places, rows } });
    this.addRows(table, own.places.unique, rows, this.outputs.has(node.output()), made);
    return true;
  }

  /**
   * `rows` added to those of `table`. One kernel takes over the table's buffer, the other is faster where it must copy it anyway;
   * it would lose additions where a row is there twice, and none is.
   */
  private addRows(table: Value, unique: Value, rows: Value, isOutput: boolean, made: Replacement): void {
    const rest = table.dims.slice(1);
    const reduction = string("add");
    if (isOutput) {
      made.op("ScatterND", [table, made.op("Unsqueeze", [unique, made.int64s([-1])]), rows], { reduction });
    } else {
      const column = made.op("Unsqueeze", [unique, made.int64s(rest.map((_, i) => i + 1))]);
      const at = made.op("Expand", [column, made.op("Shape", [rows])]);
      made.op("ScatterElements", [table, at, rows], { axis: int(0), reduction });
    }
  }

  /** An operand of a node that gives `like`, for its rows: scalars as they are, rows of tables; null for what is broadcast. */
  private operand(v: Value, like: Value, places: Places, made: Replacement): Value | null {
    if (isScalar(v)) return v;
    return sameShape(v.shape, like.shape) ? this.pick(v, places, made) : null;
  }

  /** The rows of `v` at the places: computed from the rows of what it is computed from, as far as that goes. */
  private pick(v: Value, places: Places, made: Replacement): Value {
    const own = this.sparse.get(v);
    if (own?.places === places) return own.rows;
    const picks = this.picks.get(places) ?? new Map<Value, Value>();
    this.picks.set(places, picks);
    const known = picks.get(v);
    if (known) return known;
    const picked = this.fromRows(v, places, made) ?? made.op("Gather", [v, places.unique]);
    picks.set(v, picked);
    return picked;
  }

  private fromRows(v: Value, places: Places, made: Replacement): Value | null {
    const sum = this.added.get(v);
    if (sum) {
      if (sum.added.places !== places) return null;
      return made.op("Add", [this.pick(sum.table, places, made), sum.added.rows]);
    }
    const node = v.producer;
    // An output is computed anyway.
    if (!node || node.domain !== "" || !elementwise.has(node.op) || this.outputs.has(v)) return null;
    const fits = node.inputs.every((x) => x && (isScalar(x) || sameShape(x.shape, v.shape)));
    if (!fits) return null;
    const operands = node.inputs.map((x) => x && this.operand(x, v, places, made));
    return made.op(node.op, operands, node.attributes);
  }
}

const isScalar = ({ shape }: Value): boolean => shape?.length === 0;

/** The integers that `v` holds, before they were given other shapes. */
function rootOf(v: Value): Value {
  let root = v;
  for (let node = v.producer; node; node = root.producer) {
    if (node.domain !== "" || !(views.has(node.op) || node.op === "Cast")) break;
    root = node.input(0);
  }
  return root;
}
