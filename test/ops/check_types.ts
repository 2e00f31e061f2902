import type { Values64 } from "../reference/evaluate.js";
import type { Case } from "./check_derivatives.js";

/** The types that inference gave every value are those that the evaluator finds; one symbol is one size. */
export function checkTypes(c: Case, known: Values64): void {
  const sizes = new Map<string, number>();
  for (const [value, x] of known) {
    const { type } = value;
    const where = value.producer ? `${value.producer.label} ` : "";
    const found = `${x.dtype}[${x.dims.join(",")}]`;
    if (!type) throw new Error(`${c.label}: ${where}"${value.name}" has no type; it is ${found}`);
    if (type.kind !== "tensor") throw new Error(`${c.label}: ${where}"${value.name}" is typed as a ${type.kind}`);
    const said = `${type.dtype}[${type.shape?.join(",") ?? "?"}]`;
    const wrong = (): never => {
      throw new Error(`${c.label}: ${where}"${value.name}" is typed ${said}; it is ${found}`);
    };
    if (type.dtype !== x.dtype) wrong();
    if (!type.shape) continue;
    if (type.shape.length !== x.dims.length) wrong();
    // Without an iteration, the runtime has no sizes for what a Loop collects.
    if (x.dims[0] === 0) continue;
    type.shape.forEach((d, i) => {
      const size = x.dims[i]!;
      if (typeof d === "number" ? d !== size : !d.startsWith("?") && (sizes.get(d) ?? size) !== size) wrong();
      if (typeof d === "string") sizes.set(d, size);
    });
  }
}
