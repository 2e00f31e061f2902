import { int, Node, tensorType, Value, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { factorsOf, type Dim, type Shape } from "../util/shape.js";
import { substitute } from "../ir/edit.js";

/** Makes one-element tensors of dimensions, from those of the graph's inputs. */
class Dimensions {
  readonly made: Node[] = [];
  private readonly known = new Map<string, Value>();
  private readonly sources = new Map<string, { value: Value; axis: number }>();
  private readonly names: Set<string>;

  constructor(private readonly graph: Graph) {
    for (const value of graph.inputs) {
      value.shape?.forEach((d, axis) => {
        if (typeof d === "string" && !d.startsWith("?") && !this.sources.has(d)) this.sources.set(d, { value, axis });
      });
    }
    const values = [...graph.inputs, ...graph.initializers.keys(), ...graph.nodes.flatMap((n) => n.outputs)];
    this.names = new Set([...values.map((v) => v?.name ?? ""), ...graph.nodes.map((n) => n.name)]);
  }

  /** Whether a shape can be told from the inputs: by symbols of theirs, products of them, and numbers. */
  tells(shape: Shape): boolean {
    return shape.every((d) => factorsOf(d).every((f) => typeof f === "number" || this.sources.has(f)));
  }

  shape(shape: Shape): Value {
    const parts = shape.map((d) => this.dimension(d));
    const [first] = parts;
    if (parts.length === 1 && first) return first;
    return this.once(`[${shape.join(",")}]`, "shape", parts.length, "Concat", parts);
  }

  private dimension(d: Dim): Value {
    if (typeof d === "number") return this.number(d);
    const [first = 1, ...rest] = factorsOf(d);
    if (rest.length > 0) {
      return rest.reduce<Value>((a, f) => {
        const b = this.dimension(f);
        return this.once(`${a.name}*${b.name}`, "product", 1, "Mul", [a, b]);
      }, this.dimension(first));
    }
    const source = this.sources.get(d);
    if (!source) return this.number(1);
    const all = this.once(`shape of ${source.value.name}`, "shape", source.value.dims.length, "Shape", [source.value]);
    return this.once(d, "dimension", 1, "Gather", [all, this.number(source.axis)]);
  }

  private number(n: number): Value {
    const key = `#${n}`;
    let value = this.known.get(key);
    if (!value) {
      value = new Value(this.unique(`size_${n}`), tensorType("int64", [1]));
      this.graph.initializers.set(value, Tensor.int64s([n]));
      this.known.set(key, value);
    }
    return value;
  }

  private once(key: string, name: string, size: number, op: string, inputs: Value[]): Value {
    let value = this.known.get(key);
    if (!value) {
      value = new Value(this.unique(name), tensorType("int64", [size]));
      const axis = op === "Concat" || op === "Gather" ? { axis: int(0) } : {};
      this.made.push(new Node(op, inputs, [value], axis, {}, "", `shapes/${value.name}`));
      this.known.set(key, value);
    }
    return value;
  }

  /** A name for a value whose node can have it too, behind `shapes/`: a graph may have gone through this before. */
  private unique(base: string): string {
    let name = `shapes/${base}`;
    for (let i = 1; this.names.has(name) || this.names.has(`shapes/${name}`); i++) name = `shapes/${base}_${i}`;
    this.names.add(name);
    return name;
  }
}

/**
 * Reads shapes off the graph's inputs instead of off values in between, where types tell that they are equal. A value
 * of the forward pass is then not kept for the backward pass only so that its shape can be read. Takes symbols at their
 * word: for graphs whose types were observed, not for those of unknown origin.
 */
export function shapesFromInputs(graph: Graph): { modified: boolean } {
  const dimensions = new Dimensions(graph);
  const map = new Map<Value, Value>();
  const [inputs, outputs] = [new Set(graph.inputs), new Set(graph.outputs)];
  const kept = graph.nodes.filter((node) => {
    const [of, value] = [node.inputs[0], node.outputs[0]];
    const plain = node.op === "Shape" && node.domain === "" && Object.keys(node.attributes).length === 0;
    if (!plain || !of?.shape?.length || !value || inputs.has(of) || outputs.has(value)) return true;
    if (!dimensions.tells(of.shape)) return true;
    map.set(value, dimensions.shape(of.shape));
    return false;
  });
  graph.nodes = [...dimensions.made, ...kept];
  substitute(graph, map);
  return { modified: map.size > 0 };
}
