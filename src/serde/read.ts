import {
  Graph,
  Node,
  Value,
  tensorType,
  type Attribute,
  type FunctionDef,
  type Model,
  type SparseTensor,
} from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";
import { readAttribute } from "./attributes.js";
import type { Source } from "./context.js";
import { describeNode, sortNodes } from "./order.js";
import {
  quote,
  toBigInt,
  toMap,
  toNumber,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type OperatorSetId,
  type ValueInfoProto,
} from "./proto.js";
import { describeTensor, readSparse, readTensor } from "./tensors.js";
import { readType } from "./types.js";

/** What `Node.extra`, `Graph.extra` and `Model.extra` hold: messages kept as they came, for the way back. */
export interface NodeExtra {
  deviceConfigurations: object[];
  attributeDocs: ReadonlyMap<string, string>;
}
export interface GraphExtra {
  quantizationAnnotation: object[];
}
export interface ModelExtra {
  trainingInfo: object[];
  configuration: object[];
}

const deepest = 100;

/** The names that are visible in a graph: its own, then those of the graphs around it. */
class Scope {
  readonly own = new Map<string, Value>();
  constructor(
    readonly source: Source,
    readonly label: string,
    readonly outer: Scope | null,
    readonly depth: number = outer ? outer.depth + 1 : 0,
  ) {
    source.check(this.depth < deepest, () => `${label}: graphs are nested more than ${deepest} deep`);
  }

  define(value: Value, what: string): Value {
    this.source.check(value.name !== "", () => `${this.label}: ${what} has no name`);
    this.source.check(
      !this.own.has(value.name),
      () => `${this.label}: ${what} defines ${quote(value.name)}, which is defined already; names must be unique`,
    );
    this.own.set(value.name, value);
    return value;
  }

  find(name: string): Value | undefined {
    return this.own.get(name) ?? this.outer?.find(name);
  }
}

const domainOf = (domain: string): string => (domain === "ai.onnx" ? "" : domain);

function describe(value: Value, info: ValueInfoProto): void {
  if (info.docString) value.doc = info.docString;
  if (info.metadataProps.length > 0) value.metadata = toMap(info.metadataProps);
}

function readValue(source: Source, info: ValueInfoProto): Value {
  const value = new Value(info.name, readType(source, info.type, quote(info.name)));
  describe(value, info);
  return value;
}

function readNode(scope: Scope, proto: NodeProto, infos: ReadonlyMap<string, ValueInfoProto>): Node {
  const source: Source = scope.source;
  const label = `${scope.label}: ${describeNode(proto)}`;
  source.check(proto.opType !== "", () => `${label} has no operator`);
  const inputs = proto.input.map((name) => {
    if (name === "") return null;
    return scope.find(name) ?? source.fail(`${label} reads ${quote(name)}, which nothing defines`);
  });
  const attributes: [string, Attribute][] = [];
  const bodies: [string, Graph][] = [];
  const docs = new Map<string, string>();
  const seen = new Set<string>();
  for (const a of proto.attribute) {
    source.check(a.name !== "" && !seen.has(a.name), () => `${label} has the attribute ${quote(a.name)} twice`);
    seen.add(a.name);
    if (a.docString) docs.set(a.name, a.docString);
    const body = (g: GraphProto): Graph => readGraph(new Scope(source, `${label}, ${a.name}`, scope), g);
    const attribute = readAttribute(source, a, label, body);
    if (attribute.type === "graph") bodies.push([a.name, attribute.value]);
    else attributes.push([a.name, attribute]);
  }
  const outputs = proto.output.map((name) => {
    if (name === "") return null;
    const info = infos.get(name);
    return scope.define(info ? readValue(source, info) : new Value(name, null), describeNode(proto));
  });
  const node = new Node(
    proto.opType,
    inputs,
    outputs,
    Object.fromEntries(attributes),
    Object.fromEntries(bodies),
    domainOf(proto.domain),
    proto.name,
  );
  node.doc = proto.docString;
  node.overload = proto.overload;
  if (proto.metadataProps.length > 0) node.metadata = toMap(proto.metadataProps);
  if (proto.deviceConfigurations.length > 0 || docs.size > 0) {
    node.extra = { deviceConfigurations: proto.deviceConfigurations, attributeDocs: docs } satisfies NodeExtra;
  }
  return node;
}

/** Defines the value of a constant: a default where an input has that name. */
function readInitializer(scope: Scope, graph: Graph, name: string, what: string, of: Tensor | SparseTensor): Value {
  const source: Source = scope.source;
  const input = scope.own.get(name);
  const taken = input && (graph.initializers.has(input) || graph.sparseInitializers.has(input));
  source.check(!taken, () => `${scope.label}: ${what} is there twice`);
  const type =
    "values" in of
      ? ({ kind: "sparse", dtype: of.values.dtype, shape: of.dims } as const)
      : tensorType(of.dtype, of.dims);
  if (!input) return scope.define(new Value(name, type), what);
  input.type ??= type;
  return input;
}

function readGraph(scope: Scope, proto: GraphProto): Graph {
  const source: Source = scope.source;
  const { label } = scope;
  const graph = new Graph(proto.name);
  graph.doc = proto.docString;
  if (proto.metadataProps.length > 0) graph.metadata = toMap(proto.metadataProps);
  if (proto.quantizationAnnotation.length > 0) {
    graph.extra = { quantizationAnnotation: proto.quantizationAnnotation } satisfies GraphExtra;
  }
  for (const info of proto.input) graph.inputs.push(scope.define(readValue(source, info), "an input"));
  proto.initializer.forEach((t, i) => {
    const what = describeTensor(t, i);
    const tensor = readTensor(source, t, what);
    graph.initializers.set(readInitializer(scope, graph, t.name, what, tensor), tensor);
  });
  for (const s of proto.sparseInitializer) {
    const what = `sparse initializer ${quote(s.values?.name ?? "")}`;
    const sparse = readSparse(source, s, what);
    graph.sparseInitializers.set(readInitializer(scope, graph, s.values?.name ?? "", what, sparse), sparse);
  }
  const infos = new Map([...proto.valueInfo, ...proto.output].map((info) => [info.name, info]));
  for (const node of sortNodes(source, proto.node)) graph.nodes.push(readNode(scope, node, infos));
  for (const info of proto.output) {
    const value = scope.find(info.name) ?? source.fail(`${label}: output ${quote(info.name)} is made by no node`);
    value.type ??= readType(source, info.type, quote(info.name));
    graph.outputs.push(value);
  }
  return graph;
}

function readOpsets(source: Source, ids: readonly OperatorSetId[]): Map<string, number> {
  const opsets = new Map<string, number>();
  for (const { domain, version } of ids) {
    const known = opsets.get(domainOf(domain));
    const number = toNumber(version);
    source.check(
      known === undefined || known === number,
      () => `imports opset ${known ?? 0} and opset ${number} of domain ${quote(domain)}`,
    );
    opsets.set(domainOf(domain), number);
  }
  return opsets;
}

function readFunction(source: Source, proto: FunctionProto): FunctionDef {
  const label = `function ${quote(proto.name)}`;
  const scope = new Scope(source, label, null);
  const body = new Graph(proto.name);
  const infos = new Map(proto.valueInfo.map((info) => [info.name, info]));
  const value = (name: string): Value => {
    const info = infos.get(name);
    return info ? readValue(source, info) : new Value(name, null);
  };
  for (const name of proto.input) body.inputs.push(scope.define(value(name), "an input"));
  for (const node of sortNodes(source, proto.node)) body.nodes.push(readNode(scope, node, infos));
  for (const name of proto.output) {
    body.outputs.push(scope.find(name) ?? source.fail(`${label}: output ${quote(name)} is made by no node`));
  }
  const noGraphs = (): never => source.fail(`${label}: an attribute's default is a graph; that is not supported`);
  const defaults = proto.attributeProto.map((a): [string, Attribute] => {
    const attribute = readAttribute(source, a, label, noGraphs);
    return [a.name, attribute.type === "graph" ? noGraphs() : attribute];
  });
  return {
    domain: domainOf(proto.domain),
    name: proto.name,
    overload: proto.overload,
    body,
    attributes: proto.attribute,
    attributeDefaults: Object.fromEntries(defaults),
    opsets: readOpsets(source, proto.opsetImport),
    doc: proto.docString,
    metadata: toMap(proto.metadataProps),
  };
}

export function readModel(source: Source, proto: ModelProto): Model {
  const irVersion = toNumber(proto.irVersion);
  source.check(irVersion > 0 && proto.graph, () => "is not an ONNX model: it has no IR version or no graph");
  source.check(
    irVersion >= 3 && irVersion <= 13,
    () => `has IR version ${irVersion}; versions 3 to 13 are supported; export the model anew`,
  );
  const functions = proto.functions.map((f) => readFunction(source, f));
  const keys = new Set<string>();
  for (const { domain, name, overload } of functions) {
    const key = JSON.stringify([domain, name, overload]);
    source.check(!keys.has(key), () => `function ${quote(name)} is defined twice`);
    keys.add(key);
  }
  const { trainingInfo, configuration } = proto;
  return {
    irVersion,
    opsets: readOpsets(source, proto.opsetImport),
    graph: readGraph(new Scope(source, "graph", null), proto.graph),
    functions,
    producer: { name: proto.producerName, version: proto.producerVersion },
    domain: proto.domain,
    modelVersion: toBigInt(proto.modelVersion),
    doc: proto.docString,
    metadata: toMap(proto.metadataProps),
    extra:
      trainingInfo.length + configuration.length > 0
        ? ({ trainingInfo, configuration } satisfies ModelExtra)
        : undefined,
  };
}
