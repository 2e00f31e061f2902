import type { Attribute } from "../ir/graph.js";
import type { Tensor } from "../ir/tensor.js";

/** Whether tensors like this are compared by their bytes, not by identity: the places in an axis of 4096 are. */
export const isComparable = (t: Tensor): boolean => !("strings" in t.storage) && t.byteLength <= 1 << 15;

/** Numbers for objects, so that equal objects have equal keys. */
export class Ids {
  private readonly ids = new Map<object, number>();
  of(object: object | null): string {
    if (!object) return "-";
    let id = this.ids.get(object);
    if (id === undefined) this.ids.set(object, (id = this.ids.size));
    return String(id);
  }
}

/** Equal for equal tensors, as far as they are small. */
export function tensorKey(t: Tensor, ids: Ids): string {
  if (!isComparable(t)) return `#${ids.of(t)}`;
  return `${t.dtype}[${t.dims.join(",")}]${Buffer.from(t.bytes()).toString("base64")}`;
}

/** Equal for equal attributes; lists of graphs, tensors and types count as equal only where they are one object. */
export function attributeKey(a: Attribute, ids: Ids): string {
  switch (a.type) {
    case "float":
      return `f${Object.is(a.value, -0) ? "-0" : a.value}`;
    case "int":
    case "ints":
      return `${a.type}${String(a.value)}`;
    case "floats":
      return `fs${a.value.map((x) => (Object.is(x, -0) ? "-0" : x)).join(",")}`;
    case "string":
      return typeof a.value === "string" ? JSON.stringify(a.value) : `#${ids.of(a.value)}`;
    case "tensor":
      return tensorKey(a.value, ids);
    default:
      return `#${ids.of(a)}`;
  }
}
