import type { Attribute, Graph } from "../ir/graph.js";
import type { Source } from "./context.js";
import { quote, toBigInt, toLong, type AttributeProto, type Draft, type GraphProto } from "./proto.js";
import { AttributeType } from "./schema.js";
import { readSparse, readTensor, writeSparse, writeTensor } from "./tensors.js";
import { readType, writeType } from "./types.js";

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
const encoder = new TextEncoder();

/** Strings are bytes in the format: text where they are UTF-8, bytes where they are not. */
function readString(bytes: Uint8Array): string | Uint8Array {
  try {
    return utf8.decode(bytes);
  } catch {
    return new Uint8Array(bytes);
  }
}
const writeString = (s: string | Uint8Array): Uint8Array => (typeof s === "string" ? encoder.encode(s) : s);

const kinds = [
  ["float", AttributeType.FLOAT],
  ["int", AttributeType.INT],
  ["string", AttributeType.STRING],
  ["tensor", AttributeType.TENSOR],
  ["graph", AttributeType.GRAPH],
  ["sparse", AttributeType.SPARSE_TENSOR],
  ["type", AttributeType.TYPE_PROTO],
  ["floats", AttributeType.FLOATS],
  ["ints", AttributeType.INTS],
  ["strings", AttributeType.STRINGS],
  ["tensors", AttributeType.TENSORS],
  ["graphs", AttributeType.GRAPHS],
  ["sparses", AttributeType.SPARSE_TENSORS],
  ["types", AttributeType.TYPE_PROTOS],
] as const;
type Kind = (typeof kinds)[number][0];
const kindOf = new Map<number, Kind>(kinds.map(([kind, code]) => [code, kind]));
const codeOf = new Map<string, number>(kinds);

/** Early files leave the type out: the field that is filled tells it. */
function inferKind(a: AttributeProto): Kind | undefined {
  const has = (field: keyof AttributeProto): boolean => Object.hasOwn(a, field);
  if (has("f")) return "float";
  if (has("i")) return "int";
  if (has("s")) return "string";
  if (a.t) return "tensor";
  if (a.g) return "graph";
  if (a.sparseTensor) return "sparse";
  if (a.tp) return "type";
  if (a.floats.length > 0) return "floats";
  if (a.ints.length > 0) return "ints";
  if (a.strings.length > 0) return "strings";
  if (a.tensors.length > 0) return "tensors";
  if (a.graphs.length > 0) return "graphs";
  if (a.sparseTensors.length > 0) return "sparses";
  return a.typeProtos.length > 0 ? "types" : undefined;
}

/** An attribute of the IR, or a body; `readGraph` reads the graphs within. */
export function readAttribute(
  source: Source,
  a: AttributeProto,
  where: string,
  readGraph: (g: GraphProto) => Graph,
): Attribute | { readonly type: "graph"; readonly value: Graph } {
  const what = `${where}: attribute ${quote(a.name)}`;
  const kind = a.type === 0 ? inferKind(a) : kindOf.get(a.type);
  if (a.refAttrName) return { type: "reference", value: a.refAttrName, of: kind ?? "undefined" };
  const missing = (): never => source.fail(`${what} has no value`);
  switch (kind) {
    case "float":
      return { type: kind, value: a.f };
    case "int":
      return { type: kind, value: toBigInt(a.i) };
    case "string":
      return { type: kind, value: readString(a.s) };
    case "tensor":
      return { type: kind, value: readTensor(source, a.t ?? missing(), what) };
    case "graph":
      return { type: kind, value: readGraph(a.g ?? missing()) };
    case "sparse":
      return { type: kind, value: readSparse(source, a.sparseTensor ?? missing(), what) };
    case "type":
      return { type: kind, value: readType(source, a.tp, what) ?? missing() };
    case "floats":
      return { type: kind, value: a.floats };
    case "ints":
      return { type: kind, value: a.ints.map(toBigInt) };
    case "strings":
      return { type: kind, value: a.strings.map(readString) };
    case "tensors":
      return { type: kind, value: a.tensors.map((t) => readTensor(source, t, what)) };
    case "graphs":
      return { type: kind, value: a.graphs.map(readGraph) };
    case "sparses":
      return { type: kind, value: a.sparseTensors.map((s) => readSparse(source, s, what)) };
    case "types":
      return { type: kind, value: a.typeProtos.map((t) => readType(source, t, what) ?? missing()) };
    case undefined:
      return source.fail(`${what} has the type ${a.type}, which ONNX does not define`);
  }
}

export function writeAttribute(
  name: string,
  a: Attribute | { readonly type: "graph"; readonly value: Graph },
  writeGraph: (g: Graph) => Draft<GraphProto>,
): Draft<AttributeProto> {
  const type = codeOf.get(a.type === "reference" ? a.of : a.type) ?? 0;
  return { name, type, ...writeValue(a, writeGraph) };
}

function writeValue(
  a: Attribute | { readonly type: "graph"; readonly value: Graph },
  writeGraph: (g: Graph) => Draft<GraphProto>,
): Draft<AttributeProto> {
  switch (a.type) {
    case "reference":
      return { refAttrName: a.value };
    case "float":
      return { f: a.value };
    case "int":
      return { i: toLong(a.value) };
    case "string":
      return { s: writeString(a.value) };
    case "tensor":
      return { t: writeTensor(a.value, a.value.info.name ?? "") };
    case "graph":
      return { g: writeGraph(a.value) };
    case "sparse":
      return { sparseTensor: writeSparse(a.value, a.value.values.info.name ?? "") };
    case "type":
      return { tp: writeType(a.value) };
    case "floats":
      return { floats: [...a.value] };
    case "ints":
      return { ints: a.value.map(toLong) };
    case "strings":
      return { strings: a.value.map(writeString) };
    case "tensors":
      return { tensors: a.value.map((t) => writeTensor(t, t.info.name ?? "")) };
    case "graphs":
      return { graphs: a.value.map(writeGraph) };
    case "sparses":
      return { sparseTensors: a.value.map((s) => writeSparse(s, s.values.info.name ?? "")) };
    case "types":
      return { typeProtos: a.value.map(writeType) };
  }
}
