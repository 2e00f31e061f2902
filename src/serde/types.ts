import { tensorType, type Type } from "../ir/graph.js";
import { dtypeCodes, type DType } from "../util/dtype.js";
import { freshDim, type Dim } from "../util/shape.js";
import type { Source } from "./context.js";
import { toNumber, type DimensionProto, type Draft, type ShapedType, type TypeProto } from "./proto.js";
import { readDType } from "./tensors.js";

/** Denotations of types that came from files: the IR has no use for them, so they travel beside the type object. */
const denotations = new WeakMap<Type, { type: string; dims: readonly string[] }>();

function readDim(source: Source, d: DimensionProto, what: string): Dim {
  // "?" and the like stand for "unknown", here as in files: two of them need not be equal.
  if (d.value === "dimParam" && d.dimParam !== "" && !d.dimParam.startsWith("?")) return d.dimParam;
  if (d.value !== "dimValue") return freshDim();
  const size = toNumber(d.dimValue);
  // Older exporters write -1 for "unknown", and ONNX Runtime reads it so.
  if (size === -1) return freshDim();
  source.check(
    size >= 0 && Number.isSafeInteger(size),
    () => `${what} has the dimension ${size}; a size or a symbol is expected`,
  );
  return size;
}

function readShaped(source: Source, t: ShapedType, what: string): { dtype: DType; shape: Dim[] | null } | null {
  if (t.elemType === 0) return null;
  const dtype = readDType(source, t.elemType, what);
  return { dtype, shape: t.shape && t.shape.dim.map((d) => readDim(source, d, what)) };
}

/** The type of a message; null where the file leaves the kind or the element type open. */
export function readType(source: Source, t: TypeProto | null, what: string): Type | null {
  const type = readKind(source, t, what);
  const dims = (t?.tensorType ?? t?.sparseTensorType)?.shape?.dim.map((d) => d.denotation) ?? [];
  if (type && t && (t.denotation || dims.some(Boolean))) denotations.set(type, { type: t.denotation, dims });
  return type;
}

function readKind(source: Source, t: TypeProto | null, what: string): Type | null {
  if (t?.tensorType) {
    const shaped = readShaped(source, t.tensorType, what);
    return shaped && tensorType(shaped.dtype, shaped.shape);
  }
  if (t?.sparseTensorType) {
    const shaped = readShaped(source, t.sparseTensorType, what);
    return shaped && { kind: "sparse", ...shaped };
  }
  if (t?.sequenceType ?? t?.optionalType) {
    const of = readType(source, (t.sequenceType ?? t.optionalType)?.elemType ?? null, what);
    return of && { kind: t.sequenceType ? "sequence" : "optional", of };
  }
  if (t?.mapType) {
    const of = readType(source, t.mapType.valueType, what);
    return of && { kind: "map", key: readDType(source, t.mapType.keyType, what), of };
  }
  if (t?.opaqueType) return { kind: "opaque", domain: t.opaqueType.domain, name: t.opaqueType.name };
  return null;
}

export function writeType(type: Type): Draft<TypeProto> {
  const known = denotations.get(type);
  return { ...writeKind(type, known?.dims ?? []), ...(known?.type && { denotation: known.type }) };
}

function writeKind(type: Type, denoted: readonly string[]): Draft<TypeProto> {
  switch (type.kind) {
    case "tensor":
    case "sparse": {
      const shape = type.shape && {
        dim: type.shape.map((d, i) => ({ ...writeDim(d), ...(denoted[i] && { denotation: denoted[i] }) })),
      };
      const shaped = { elemType: dtypeCodes[type.dtype], ...(shape && { shape }) };
      return type.kind === "tensor" ? { tensorType: shaped } : { sparseTensorType: shaped };
    }
    case "sequence":
      return { sequenceType: { elemType: writeType(type.of) } };
    case "optional":
      return { optionalType: { elemType: writeType(type.of) } };
    case "map":
      return { mapType: { keyType: dtypeCodes[type.key], valueType: writeType(type.of) } };
    case "opaque":
      return { opaqueType: { domain: type.domain, name: type.name } };
  }
}

/** Symbols that stand for "unknown" are written as such: readers would take their equality at its word. */
function writeDim(d: Dim): Draft<DimensionProto> {
  if (typeof d === "number") return { dimValue: d };
  return d.startsWith("?") ? {} : { dimParam: d };
}
