import { decodeModel } from "../../src/serde/schema.js";

/**
 * A model file as plain data in which two files are equal when they mean the same: elements of tensors as hex bytes
 * whichever field held them, map-like lists sorted, default values and the alias "ai.onnx" removed. Written apart from
 * the reader under test, field by field from onnx.proto.
 */
export type Plain = string | number | boolean | null | Plain[] | { [key: string]: Plain };

type Message = Record<string, unknown>;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");
const long = (x: unknown): bigint => {
  if (typeof x === "number") return BigInt(x);
  const { low, high, unsigned } = x as { low: number; high: number; unsigned: boolean };
  const bits = BigInt(high >>> 0) * 4294967296n + BigInt(low >>> 0);
  return unsigned ? bits : BigInt.asIntN(64, bits);
};

/** Bits of an element, by TensorProto.DataType. */
const widths = [0, 32, 8, 8, 16, 16, 32, 64, 0, 8, 16, 64, 32, 64, 64, 128, 16, 8, 8, 8, 8, 4, 4, 4, 8, 2, 2];

function elements(t: Message): string {
  const raw = t["rawData"] as Uint8Array;
  if (raw.length > 0) return hex(raw);
  const strings = t["stringData"] as Uint8Array[];
  if (strings.length > 0) return strings.map(hex).join("|");
  const out: number[] = [];
  const view = new DataView(new ArrayBuffer(8));
  const push = (n: number): void => {
    for (let i = 0; i < n; i++) out.push(view.getUint8(i));
  };
  for (const x of t["floatData"] as number[]) {
    view.setFloat32(0, x, true);
    push(4);
  }
  for (const x of t["doubleData"] as number[]) {
    view.setFloat64(0, x, true);
    push(8);
  }
  for (const x of t["int64Data"] as unknown[]) {
    view.setBigInt64(0, long(x), true);
    push(8);
  }
  for (const x of t["uint64Data"] as unknown[]) {
    view.setBigUint64(0, BigInt.asUintN(64, long(x)), true);
    push(t["dataType"] === 12 ? 4 : 8);
  }
  for (const x of t["int32Data"] as number[]) {
    view.setInt32(0, x, true);
    push(Math.ceil(widths[t["dataType"] as number]! / 8));
  }
  return hex(Uint8Array.from(out));
}

const typedFields = ["rawData", "stringData", "floatData", "doubleData", "int64Data", "uint64Data", "int32Data"];
/** Lists whose order means nothing, by the field that tells their entries apart. */
const keyed: Record<string, string> = {
  metadataProps: "key",
  attribute: "name",
  attributeProto: "name",
  valueInfo: "name",
  initializer: "name",
  opsetImport: "domain",
  functions: "name",
};

function plain(x: unknown, field: string): Plain {
  if (x instanceof Uint8Array) return hex(x);
  if (Array.isArray(x)) {
    const key = keyed[field];
    const list = x.map((y) => plain(y, ""));
    if (!key || (field === "attribute" && list.some((y) => typeof y === "string"))) return list;
    const name = (y: Plain): string => JSON.stringify((y as Record<string, Plain>)[key] ?? "");
    return list.sort((a, b) => (name(a) < name(b) ? -1 : 1));
  }
  if (typeof x === "number") return Object.is(x, -0) ? "-0" : Number.isFinite(x) ? x : String(x);
  if (typeof x !== "object" || x === null) return x as Plain;
  const message = x as Message;
  if ("low" in message && "high" in message)
    return Number.isSafeInteger(Number(long(x))) ? Number(long(x)) : String(long(x));
  const result: Record<string, Plain> = {};
  const own = Object.keys(message);
  const isTensor = "dataType" in message && "rawData" in message;
  if (isTensor) result["elements"] = elements(message);
  for (const key of own) {
    if (isTensor && typedFields.includes(key)) continue;
    const value = plain(message[key], key);
    // A dimension of 0 and a value of 0 or "" in an attribute are said by their presence, or by the attribute's type.
    const dimension = key === "dimValue";
    if (!dimension && (value === "" || value === 0 || (Array.isArray(value) && value.length === 0))) continue;
    if (key === "domain" && value === "ai.onnx") continue;
    result[key] = value;
  }
  if (Array.isArray(message["node"])) dropIdleInfos(message, result);
  return result;
}

/** Types declared for values that the graph does not make in between say nothing that its other parts do not. */
function dropIdleInfos(graph: Message, result: Record<string, Plain>): void {
  const made = new Set((graph["node"] as { output: string[] }[]).flatMap((n) => n.output));
  const names = (list: unknown): Set<string> =>
    new Set(((list ?? []) as (string | { name: string })[]).map((v) => (typeof v === "string" ? v : v.name)));
  const outputs =
    Array.isArray(graph["output"]) && typeof graph["output"][0] === "string" ? new Set() : names(graph["output"]);
  const isFunction = "opsetImport" in graph;
  const infos = (result["valueInfo"] ?? []) as { name: string }[];
  const kept = infos.filter((i) => isFunction || (made.has(i.name) && !outputs.has(i.name)));
  if (kept.length > 0) result["valueInfo"] = kept;
  else delete result["valueInfo"];
}

export const normalize = (bytes: Uint8Array): Plain => plain(decodeModel(bytes), "");
