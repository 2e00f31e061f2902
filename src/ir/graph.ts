import type { DType } from "../util/dtype.js";
import type { Shape } from "../util/shape.js";
import { invariant } from "../util/assert.js";
import type { Tensor } from "./tensor.js";

export interface TensorType {
  readonly kind: "tensor";
  readonly dtype: DType;
  /** null: the rank is unknown. */
  readonly shape: Shape | null;
}
export type Type =
  | TensorType
  | { readonly kind: "sparse"; readonly dtype: DType; readonly shape: Shape | null }
  | { readonly kind: "sequence" | "optional"; readonly of: Type }
  | { readonly kind: "map"; readonly key: DType; readonly of: Type }
  | { readonly kind: "opaque"; readonly domain: string; readonly name: string };

export const tensorType = (dtype: DType, shape: Shape | null): TensorType => ({ kind: "tensor", dtype, shape });

/** A tensor (sequence, …) of a graph: an input, an initializer, or one output of one node. Identity is the object. */
export class Value {
  /** The node that computes it; null for inputs and initializers. */
  producer: Node | null = null;
  doc = "";
  metadata: ReadonlyMap<string, string> = new Map();
  constructor(
    public name: string,
    public type: Type | null,
  ) {}

  /** Dtype of a tensor value whose type is known. */
  get dtype(): DType {
    invariant(this.type?.kind === "tensor", `the element type of "${this.name}" is not known`);
    return this.type.dtype;
  }

  /** Shape of a tensor value; null where the rank is unknown. */
  get shape(): Shape | null {
    return this.type?.kind === "tensor" ? this.type.shape : null;
  }

  /** Shape of a tensor value whose rank must be known. */
  get dims(): Shape {
    const shape = this.shape;
    invariant(shape, `the rank of "${this.name}" is not known`);
    return shape;
  }
}

export interface SparseTensor {
  values: Tensor;
  indices: Tensor;
  dims: readonly number[];
}

export type Attribute =
  | { readonly type: "float"; readonly value: number }
  | { readonly type: "int"; readonly value: bigint }
  | { readonly type: "string"; readonly value: string | Uint8Array }
  | { readonly type: "tensor"; readonly value: Tensor }
  | { readonly type: "sparse"; readonly value: SparseTensor }
  | { readonly type: "type"; readonly value: Type }
  | { readonly type: "floats"; readonly value: readonly number[] }
  | { readonly type: "ints"; readonly value: readonly bigint[] }
  | { readonly type: "strings"; readonly value: readonly (string | Uint8Array)[] }
  | { readonly type: "tensors"; readonly value: readonly Tensor[] }
  | { readonly type: "sparses"; readonly value: readonly SparseTensor[] }
  | { readonly type: "types"; readonly value: readonly Type[] }
  | { readonly type: "graphs"; readonly value: readonly Graph[] }
  /** Inside a function body: the attribute of that name of the calling node; `of` is its declared kind. */
  | { readonly type: "reference"; readonly value: string; readonly of: string };

export type Attributes = Readonly<Record<string, Attribute>>;

/** What a Builder accepts for attributes: numbers become ints where they are integers; write floats as `float(x)`. */
export const float = (value: number): Attribute => ({ type: "float", value });
export const int = (value: number): Attribute => ({ type: "int", value: BigInt(value) });
export const ints = (value: readonly number[]): Attribute => ({ type: "ints", value: value.map((v) => BigInt(v)) });
export const string = (value: string): Attribute => ({ type: "string", value });

const noGraphs: readonly Graph[] = [];

export class Node {
  doc = "";
  /** Distinguishes model-local functions of one name (ONNX IR 10). */
  overload = "";
  metadata: ReadonlyMap<string, string> = new Map();
  /** Fields of the file format that the IR has no use for, kept for the way back (device configurations). */
  extra: unknown = undefined;
  constructor(
    public op: string,
    public inputs: (Value | null)[],
    public outputs: (Value | null)[],
    public attributes: Attributes = {},
    public bodies: Readonly<Record<string, Graph>> = {},
    public domain = "",
    public name = "",
  ) {
    for (const o of outputs) if (o) o.producer = this;
  }

  /** Input `i`, which must be there. */
  input(i: number): Value {
    const v = this.inputs[i];
    invariant(v, `${this.label}: input ${i} is missing`);
    return v;
  }

  /** Output `i`, which must be there. */
  output(i = 0): Value {
    const v = this.outputs[i];
    invariant(v, `${this.label}: output ${i} is missing`);
    return v;
  }

  /** `Op "name"`, for messages. */
  get label(): string {
    return `${this.domain ? `${this.domain}::` : ""}${this.op} "${this.name}"`;
  }

  int(name: string): number | undefined;
  int(name: string, fallback: number): number;
  int(name: string, fallback?: number): number | undefined {
    const a = this.attributes[name];
    return a?.type === "int" ? Number(a.value) : fallback;
  }

  float(name: string): number | undefined;
  float(name: string, fallback: number): number;
  float(name: string, fallback?: number): number | undefined {
    const a = this.attributes[name];
    return a?.type === "float" ? a.value : fallback;
  }

  ints(name: string): number[] | undefined {
    const a = this.attributes[name];
    return a?.type === "ints" ? a.value.map(Number) : undefined;
  }

  string(name: string): string | undefined;
  string(name: string, fallback: string): string;
  string(name: string, fallback?: string): string | undefined {
    const a = this.attributes[name];
    if (a?.type !== "string") return fallback;
    return typeof a.value === "string" ? a.value : new TextDecoder().decode(a.value);
  }

  tensor(name: string): Tensor | undefined {
    const a = this.attributes[name];
    return a?.type === "tensor" ? a.value : undefined;
  }

  /** The graphs within the node: its bodies, and those in attributes that are lists of graphs. */
  graphs(): Iterator<Graph> & Iterable<Graph> {
    return this.listGraphs().values();
  }

  /** Most nodes have none: every pass asks every node, so that has to cost nothing. */
  private listGraphs(): readonly Graph[] {
    let found: Graph[] | undefined;
    for (const name in this.bodies) {
      const body = this.bodies[name];
      if (body) (found ??= []).push(body);
    }
    for (const name in this.attributes) {
      const a = this.attributes[name];
      if (a?.type === "graphs") (found ??= []).push(...a.value);
    }
    return found ?? noGraphs;
  }

  /** Outer values that the graphs within read. */
  captures(): Set<Value> {
    const all = new Set<Value>();
    for (const body of this.listGraphs()) for (const v of body.captures()) all.add(v);
    return all;
  }

  /** Everything the node reads: inputs and the captures of its bodies. */
  *reads(): Generator<Value> {
    for (const v of this.inputs) if (v) yield v;
    if (this.listGraphs().length > 0) yield* this.captures();
  }
}

/** Operators whose two runs differ. */
export const randomOperators: ReadonlySet<string> = new Set([
  "RandomNormal",
  "RandomNormalLike",
  "RandomUniform",
  "RandomUniformLike",
  "Bernoulli",
  "Multinomial",
  "Dropout",
]);

/** Nodes in topological order. A value that no node of the graph makes and that is not its own input is captured. */
export class Graph {
  inputs: Value[] = [];
  outputs: Value[] = [];
  nodes: Node[] = [];
  /** Constants by value; an initializer that is also in `inputs` is a default (IR 3). */
  initializers = new Map<Value, Tensor>();
  sparseInitializers = new Map<Value, SparseTensor>();
  doc = "";
  metadata: ReadonlyMap<string, string> = new Map();
  /** Fields of the file format that the IR has no use for, kept for the way back (quantization annotations). */
  extra: unknown = undefined;
  constructor(public name: string) {}

  /** Outer values read by this graph or by graphs within it. */
  captures(): Set<Value> {
    const own = new Set<Value>([...this.inputs, ...this.initializers.keys(), ...this.sparseInitializers.keys()]);
    const captured = new Set<Value>();
    for (const node of this.nodes) {
      for (const v of node.reads()) if (!own.has(v)) captured.add(v);
      for (const o of node.outputs) if (o) own.add(o);
    }
    for (const o of this.outputs) if (!own.has(o)) captured.add(o);
    return captured;
  }

  /** The constant behind `value`, where there is one. */
  constantOf(value: Value): Tensor | undefined {
    return this.initializers.get(value);
  }

  /** Input that is called `name`. */
  input(name: string): Value | undefined {
    return this.inputs.find((v) => v.name === name);
  }

  output(name: string): Value | undefined {
    return this.outputs.find((v) => v.name === name);
  }
}

/** A model-local function: its body is a graph whose attributes may be references to the caller's. */
export interface FunctionDef {
  domain: string;
  name: string;
  overload: string;
  body: Graph;
  attributes: readonly string[];
  attributeDefaults: Attributes;
  opsets: ReadonlyMap<string, number>;
  doc: string;
  metadata: ReadonlyMap<string, string>;
}

export interface Model {
  irVersion: number;
  opsets: Map<string, number>;
  graph: Graph;
  functions: FunctionDef[];
  producer: { name: string; version: string };
  domain: string;
  modelVersion: bigint;
  doc: string;
  metadata: Map<string, string>;
  /** Fields of the file format that the IR has no use for, kept for the way back (training info, device configuration). */
  extra: unknown;
}

/** An empty model around `graph`, at the opset and IR version that packages use. */
export const newModel = (graph: Graph, opset = 21, irVersion = 10): Model => ({
  irVersion,
  opsets: new Map([["", opset]]),
  graph,
  functions: [],
  producer: { name: "curvsam", version: "" },
  domain: "",
  modelVersion: 0n,
  doc: "",
  metadata: new Map(),
  extra: undefined,
});
