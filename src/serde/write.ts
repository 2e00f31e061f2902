import type { Attribute, FunctionDef, Graph, Model, Node, Value } from "../ir/graph.js";
import { invariant, must } from "../util/assert.js";
import { writeAttribute } from "./attributes.js";
import {
  toEntries,
  toLong,
  type Draft,
  type FunctionProto,
  type GraphProto,
  type ModelProto,
  type NodeProto,
  type ValueInfoProto,
} from "./proto.js";
import type { GraphExtra, ModelExtra, NodeExtra } from "./read.js";
import { inline, writeSparse, writeTensor, type Place } from "./tensors.js";
import { writeType } from "./types.js";

/** Names in the file, by value: the values' own, save where a body's would hide an outer value that the body reads. */
class Names {
  private readonly of = new Map<Value, string>();

  at(value: Value): string {
    return must(this.of.get(value), `the definition of "${value.name}", read by a graph that is being written,`);
  }

  /** Names the values that `graph` itself defines. */
  enter(graph: Graph): void {
    const taken = new Set([...graph.captures()].map((v) => this.at(v)));
    const own = new Set<Value>([...graph.inputs, ...graph.initializers.keys(), ...graph.sparseInitializers.keys()]);
    for (const node of graph.nodes) for (const o of node.outputs) if (o) own.add(o);
    const used = new Set<string>();
    for (const { name } of own) {
      invariant(name === "" || !used.has(name), `graph "${graph.name}" has two values called "${name}"`);
      used.add(name);
    }
    for (const value of own) {
      const free = value.name !== "" && !taken.has(value.name);
      let name = value.name;
      for (let i = 0; !free && (name === "" || taken.has(name) || used.has(name)); i++)
        name = `${value.name || "value"}_${i}`;
      used.add(name);
      this.of.set(value, name);
    }
  }
}

function writeInfo(value: Value, names: Names): Draft<ValueInfoProto> {
  return {
    name: names.at(value),
    ...(value.type && { type: writeType(value.type) }),
    ...(value.doc && { docString: value.doc }),
    ...(value.metadata.size > 0 && { metadataProps: toEntries(value.metadata) }),
  };
}

const isDescribed = (v: Value): boolean => v.type !== null || v.doc !== "" || v.metadata.size > 0;

function writeNode(node: Node, names: Names): Draft<NodeProto> {
  const extra = node.extra as NodeExtra | undefined;
  const body = (g: Graph): Draft<GraphProto> => writeGraph(g, names, inline);
  const attributes = [
    ...Object.entries(node.attributes),
    ...Object.entries(node.bodies).map(([name, value]) => [name, { type: "graph", value }] as const),
  ].map(([name, a]: readonly [string, Attribute | { type: "graph"; value: Graph }]) => ({
    ...writeAttribute(name, a, body),
    ...(extra?.attributeDocs.has(name) && { docString: extra.attributeDocs.get(name) }),
  }));
  return {
    input: node.inputs.map((v) => (v ? names.at(v) : "")),
    output: node.outputs.map((v) => (v ? names.at(v) : "")),
    opType: node.op,
    attribute: attributes,
    ...(node.name && { name: node.name }),
    ...(node.domain && { domain: node.domain }),
    ...(node.overload && { overload: node.overload }),
    ...(node.doc && { docString: node.doc }),
    ...(node.metadata.size > 0 && { metadataProps: toEntries(node.metadata) }),
    ...(extra && { deviceConfigurations: extra.deviceConfigurations }),
  };
}

/** Types of the values in between: what is neither an input, an output nor a constant. */
function writeInfos(
  graph: Graph,
  names: Names,
  nodes: readonly Node[] = graph.nodes,
  outputs: ReadonlySet<Value> = new Set(graph.outputs),
): Draft<ValueInfoProto>[] {
  return nodes.flatMap((n) =>
    n.outputs.filter((v) => v !== null && !outputs.has(v) && isDescribed(v)).map((v) => writeInfo(v as Value, names)),
  );
}

/** A graph without its nodes; names its values. */
function writeFrame(graph: Graph, names: Names, place: Place, inputs = graph.inputs): Draft<GraphProto> {
  names.enter(graph);
  const extra = graph.extra as GraphExtra | undefined;
  return {
    name: graph.name,
    initializer: Array.from(graph.initializers, ([v, t]) => writeTensor(t, names.at(v), place)),
    sparseInitializer: Array.from(graph.sparseInitializers, ([v, s]) => writeSparse(s, names.at(v))),
    input: inputs.map((v) => writeInfo(v, names)),
    output: graph.outputs.map((v) => writeInfo(v, names)),
    ...(graph.doc && { docString: graph.doc }),
    ...(graph.metadata.size > 0 && { metadataProps: toEntries(graph.metadata) }),
    ...(extra && { quantizationAnnotation: extra.quantizationAnnotation }),
  };
}

const writeGraph = (graph: Graph, names: Names, place: Place): Draft<GraphProto> => ({
  ...writeFrame(graph, names, place),
  node: graph.nodes.map((n) => writeNode(n, names)),
  valueInfo: writeInfos(graph, names),
});

/** Nodes to a piece. */
const pieceSize = 4096;

/** The message of the model's graph in pieces, each made when it is asked for: `place` says where the elements of initializers go. */
export function* writeMainGraph({ graph, irVersion }: Model, place: Place = inline): Generator<Draft<GraphProto>> {
  const names = new Names();
  // Before IR 4 every initializer has to be an input as well.
  const defaults = irVersion < 4 ? [...graph.initializers.keys(), ...graph.sparseInitializers.keys()] : [];
  yield writeFrame(graph, names, place, [...new Set([...graph.inputs, ...defaults])]);
  const outputs = new Set(graph.outputs);
  for (let i = 0; i < graph.nodes.length; i += pieceSize) {
    const nodes = graph.nodes.slice(i, i + pieceSize);
    yield { node: nodes.map((n) => writeNode(n, names)), valueInfo: writeInfos(graph, names, nodes, outputs) };
  }
}

const writeOpsets = (opsets: ReadonlyMap<string, number>): { domain: string; version: number }[] =>
  Array.from(opsets, ([domain, version]) => ({ domain, version }));

function writeFunction(f: FunctionDef): Draft<FunctionProto> {
  const names = new Names();
  names.enter(f.body);
  const noGraphs = (): never => {
    throw new Error(`internal error: a graph among the attribute defaults of function "${f.name}"`);
  };
  return {
    name: f.name,
    domain: f.domain,
    ...(f.overload && { overload: f.overload }),
    ...(f.doc && { docString: f.doc }),
    input: f.body.inputs.map((v) => names.at(v)),
    output: f.body.outputs.map((v) => names.at(v)),
    attribute: [...f.attributes],
    attributeProto: Object.entries(f.attributeDefaults).map(([name, a]) => writeAttribute(name, a, noGraphs)),
    node: f.body.nodes.map((n) => writeNode(n, names)),
    opsetImport: writeOpsets(f.opsets),
    valueInfo: [
      ...f.body.inputs.filter(isDescribed).map((v) => writeInfo(v, names)),
      ...writeInfos(f.body, names),
      ...f.body.outputs.filter((v) => isDescribed(v) && !f.body.inputs.includes(v)).map((v) => writeInfo(v, names)),
    ],
    metadataProps: toEntries(f.metadata),
  };
}

/** The message of `model` without its graph. */
export function writeModel(model: Model): Draft<ModelProto> {
  const extra = model.extra as ModelExtra | undefined;
  return {
    irVersion: model.irVersion,
    opsetImport: writeOpsets(model.opsets),
    ...(model.producer.name && { producerName: model.producer.name }),
    ...(model.producer.version && { producerVersion: model.producer.version }),
    ...(model.domain && { domain: model.domain }),
    ...(model.modelVersion !== 0n && { modelVersion: toLong(model.modelVersion) }),
    ...(model.doc && { docString: model.doc }),
    functions: model.functions.map(writeFunction),
    metadataProps: toEntries(model.metadata),
    ...(extra && { trainingInfo: extra.trainingInfo, configuration: extra.configuration }),
  };
}
