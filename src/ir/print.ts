import type { DType } from "../util/dtype.js";
import {
  Graph,
  type Attribute,
  type Attributes,
  type FunctionDef,
  type Model,
  type Node,
  type Type,
  type Value,
} from "./graph.js";
import type { Tensor } from "./tensor.js";

export interface PrintOptions {
  /** Constants of more elements are abbreviated to a reference: 16 by default. */
  elements?: number;
  /** Whether the types of the values in between are listed: they are by default. */
  types?: boolean;
}

const typeNames: Partial<Record<DType, string>> = { float32: "float", float64: "double" };
const dtypeText = (dtype: DType): string => typeNames[dtype] ?? dtype;

const quoted = (text: string): string => `"${text.replace(/["\\]/g, "\\$&")}"`;
const id = (name: string): string => (/^[A-Za-z_]\w*$/.test(name) ? name : quoted(name));
const valueText = (v: Value | null): string => (v ? id(v.name) : '""');

/** The shortest decimal that reads back as the same float32. */
function float32Text(x: number): string {
  if (x === 0) return numberText(x);
  for (let digits = 1; digits < 9; digits++) {
    const text = Number(x.toPrecision(digits));
    if (Math.fround(text) === x) return numberText(text);
  }
  return numberText(Number(x.toPrecision(9)));
}

function numberText(x: number): string {
  if (Number.isNaN(x)) return "nan";
  if (!Number.isFinite(x)) return x > 0 ? "inf" : "-inf";
  return Object.is(x, -0) ? "-0" : String(x);
}

function shapeText(shape: readonly (number | string)[] | null): string {
  if (!shape) return "[]";
  const dim = (d: number | string): string => (typeof d === "number" ? String(d) : d.startsWith("?") ? "?" : id(d));
  return shape.length > 0 ? `[${shape.map(dim).join(",")}]` : "";
}

/** A type in ONNX text syntax: `float[N,128]`, `float` for a scalar, `float[]` for an unknown rank. */
export function typeText(type: Type): string {
  switch (type.kind) {
    case "tensor":
      return `${dtypeText(type.dtype)}${shapeText(type.shape)}`;
    case "sparse":
      return `sparse_tensor(${dtypeText(type.dtype)}${shapeText(type.shape)})`;
    case "sequence":
      return `seq(${typeText(type.of)})`;
    case "optional":
      return `optional(${typeText(type.of)})`;
    case "map":
      return `map(${dtypeText(type.key)}, ${typeText(type.of)})`;
    case "opaque":
      return `opaque(${[type.domain, type.name].filter(Boolean).join(",")})`;
  }
}

/** Elements as the syntax takes them: bit patterns for the narrow floats, packed bytes for types below a byte. */
function elementTexts(tensor: Tensor): string[] {
  if ("strings" in tensor.storage) return tensor.storage.strings.map((s) => quoted(Buffer.from(s).toString("utf8")));
  const bytes = tensor.bytes();
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const each = (width: number, read: (at: number) => string): string[] =>
    Array.from({ length: bytes.byteLength / width }, (_, i) => read(width * i));
  switch (tensor.dtype) {
    case "float32":
    case "complex64":
      return each(4, (i) => float32Text(view.getFloat32(i, true)));
    case "float64":
    case "complex128":
      return each(8, (i) => numberText(view.getFloat64(i, true)));
    case "int64":
      return each(8, (i) => String(view.getBigInt64(i, true)));
    case "uint64":
      return each(8, (i) => String(view.getBigUint64(i, true)));
    case "int32":
      return each(4, (i) => String(view.getInt32(i, true)));
    case "uint32":
      return each(4, (i) => String(view.getUint32(i, true)));
    case "int16":
      return each(2, (i) => String(view.getInt16(i, true)));
    case "uint16":
    case "float16":
    case "bfloat16":
      return each(2, (i) => String(view.getUint16(i, true)));
    case "int8":
      return each(1, (i) => String(view.getInt8(i)));
    default:
      return each(1, (i) => String(view.getUint8(i)));
  }
}

class Printer {
  private readonly elements: number;
  private readonly types: boolean;
  constructor(options: PrintOptions) {
    this.elements = options.elements ?? 16;
    this.types = options.types ?? true;
  }

  private tensor(tensor: Tensor, name: string): string {
    const type = `${dtypeText(tensor.dtype)}${shapeText(tensor.dims)}`;
    const called = name ? `${id(name)} = ` : "";
    if (tensor.size <= this.elements) return `${type} ${called}{${elementTexts(tensor).join(", ")}}`;
    // The syntax of external data, which needs a name, so that an abbreviated listing still parses.
    return `${type} ${called || "omitted = "}["location": "omitted", "length": "${tensor.byteLength}"]`;
  }

  private attribute(name: string, a: Attribute | { type: "graph"; value: Graph }, indent: string): string {
    const list = (items: readonly string[]): string => `[${items.join(", ")}]`;
    const text = (s: string | Uint8Array): string =>
      quoted(typeof s === "string" ? s : Buffer.from(s).toString("latin1"));
    switch (a.type) {
      case "reference":
        return `${name}: ${a.of} = @${a.value}`;
      case "float":
        return `${name}: float = ${float32Text(a.value)}`;
      case "int":
        return `${name}: int = ${a.value.toString()}`;
      case "string":
        return `${name}: string = ${text(a.value)}`;
      case "tensor":
        return `${name}: tensor = ${this.tensor(a.value, "")}`;
      case "graph":
        return `${name}: graph = ${this.graph(a.value, `${indent}   `)}`;
      case "type":
        return `${name}: type_proto = ${typeText(a.value)}`;
      case "floats":
        return `${name}: floats = ${list(a.value.map(float32Text))}`;
      case "ints":
        return `${name}: ints = ${list(a.value.map(String))}`;
      case "strings":
        return `${name}: strings = ${list(a.value.map(text))}`;
      case "tensors":
        return `${name}: tensors = ${list(a.value.map((t) => this.tensor(t, "")))}`;
      case "graphs":
        return `${name}: graphs = ${list(a.value.map((g) => this.graph(g, `${indent}   `)))}`;
      case "types":
        return `${name}: type_protos = ${list(a.value.map(typeText))}`;
      case "sparse":
      case "sparses":
        return `${name}: ${a.type === "sparse" ? "sparse_tensor" : "sparse_tensors"} = ...`;
    }
  }

  private attributes(attributes: Attributes, bodies: Readonly<Record<string, Graph>>, indent: string): string {
    const all = [
      ...Object.entries(attributes).map(([name, a]) => this.attribute(name, a, indent)),
      ...Object.entries(bodies).map(([name, value]) => this.attribute(name, { type: "graph", value }, indent)),
    ];
    return all.length > 0 ? ` <${all.join(", ")}>` : "";
  }

  private node(node: Node, indent: string): string {
    const name = node.name ? `[${id(node.name)}] ` : "";
    const op = `${node.domain ? `${node.domain}.` : ""}${node.op}${node.overload ? `:${node.overload}` : ""}`;
    const inputs = ` (${node.inputs.map(valueText).join(", ")})`;
    const attributes = this.attributes(node.attributes, node.bodies, indent);
    const bodiesLast = node.graphs().next().done !== true;
    const call = bodiesLast ? `${inputs}${attributes}` : `${attributes}${inputs}`;
    return `${indent}${name}${node.outputs.map(valueText).join(", ")} = ${op}${call}\n`;
  }

  private nodes(nodes: readonly Node[], indent: string): string {
    return `{\n${nodes.map((n) => this.node(n, indent)).join("")}${indent.slice(3)}}`;
  }

  private described(graph: Graph): string[] {
    if (!this.types) return [];
    const outputs = new Set(graph.outputs);
    const inner = graph.nodes.flatMap((n) => n.outputs).filter((v) => v !== null && v.type !== null && !outputs.has(v));
    return inner.map((v) => this.typed(v as Value));
  }

  private typed(v: Value): string {
    return `${v.type ? `${typeText(v.type)} ` : ""}${id(v.name)}`;
  }

  graph(graph: Graph, indent: string): string {
    const ports = (values: readonly Value[]): string => `(${values.map((v) => this.typed(v)).join(", ")})`;
    const constants = [...Array.from(graph.initializers, ([v, t]) => this.tensor(t, v.name)), ...this.described(graph)];
    const block = constants.length > 0 ? `\n${indent}<${constants.join(`,\n${indent} `)}>\n${indent.slice(3)}` : " ";
    return `${id(graph.name || "graph")} ${ports(graph.inputs)} => ${ports(graph.outputs)}${block}${this.nodes(graph.nodes, indent)}`;
  }

  private opsets(opsets: ReadonlyMap<string, number>): string {
    return `[${Array.from(opsets, ([domain, version]) => `${quoted(domain)} : ${version}`).join(", ")}]`;
  }

  private func(f: FunctionDef): string {
    const header = [
      `domain: ${quoted(f.domain)}`,
      ...(f.overload ? [`overload: ${quoted(f.overload)}`] : []),
      `opset_import: ${this.opsets(f.opsets)}`,
    ];
    const defaults = Object.entries(f.attributeDefaults).map(([name, a]) => this.attribute(name, a, ""));
    const attributes = [...f.attributes, ...defaults];
    const ids = (values: readonly Value[]): string => values.map(valueText).join(", ");
    return (
      `<\n  ${header.join(",\n  ")}\n>\n${f.name} ${attributes.length > 0 ? `<${attributes.join(", ")}>` : ""}` +
      `(${ids(f.body.inputs)}) => (${ids(f.body.outputs)})\n${this.nodes(f.body.nodes, "   ")}`
    );
  }

  model(model: Model): string {
    const text = (key: string, value: string): string[] => (value ? [`${key}: ${quoted(value)}`] : []);
    const header = [
      `ir_version: ${model.irVersion}`,
      `opset_import: ${this.opsets(model.opsets)}`,
      ...text("producer_name", model.producer.name),
      ...text("producer_version", model.producer.version),
      ...text("domain", model.domain),
      ...(model.modelVersion !== 0n ? [`model_version: ${model.modelVersion.toString()}`] : []),
      ...text("doc_string", model.doc),
      ...(model.metadata.size > 0
        ? [`metadata_props: [${Array.from(model.metadata, ([k, v]) => `${quoted(k)}: ${quoted(v)}`).join(", ")}]`]
        : []),
    ];
    const parts = [this.graph(model.graph, "   "), ...model.functions.map((f) => this.func(f))];
    return `<\n   ${header.join(",\n   ")}\n>\n${parts.join("\n")}\n`;
  }
}

/**
 * A graph or model in ONNX text syntax, as onnx.parser reads it. Sparse constants have no syntax; constants beyond
 * `options.elements` elements are printed as references to external data called "omitted".
 */
export function print(of: Graph | Model, options: PrintOptions = {}): string {
  const printer = new Printer(options);
  return of instanceof Graph ? `${printer.graph(of, "   ")}\n` : printer.model(of);
}
