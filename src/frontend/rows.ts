import { tensorType, type Type, type Value } from "../ir/graph.js";
import * as e from "../ops/emit.js";
import type { RuleBuilder } from "../ops/rule.js";
import { UserError } from "../util/assert.js";
import { factorsOf, type Dim } from "../util/shape.js";
import { labelsType, type BatchValues, type Source } from "./objective.js";

/** The symbol of the batch dimension. */
function batchSymbol(source: Source): string {
  const first = labelsType(source.loss)?.shape[0] ?? [...source.inputs.values()][0]?.dims[0];
  if (typeof first === "string" && factorsOf(first).length === 1) return first;
  throw new UserError(
    `the model's batch dimension is ${String(first)}: a share of its rows needs a dynamic one; export with dynamic axes`,
  );
}

/**
 * The first ⌈share·rows⌉ rows of `batch`, and a way to cut other tensors alike. Types of the cut batch carry a symbol of
 * their own for the batch dimension, so that nothing takes its sizes for those of the whole.
 */
export function firstRows(
  b: RuleBuilder,
  source: Source,
  batch: BatchValues,
  share: number,
): { batch: BatchValues; cut: (x: Value, what: string) => Value } {
  const symbol = batchSymbol(source);
  const renamed = `${symbol}_first_${String(share).replace(/\W/g, "_")}`;
  const rename = (d: Dim): Dim =>
    typeof d === "number"
      ? d
      : factorsOf(d)
          .map((f) => (f === symbol ? renamed : f))
          .join("*");
  const retype = (type: Type | null): Type | null =>
    type?.kind === "tensor" && type.shape ? tensorType(type.dtype, type.shape.map(rename)) : type;
  const whole = [...batch.inputs.values(), ...(batch.labels ? [batch.labels] : [])].find((x) => x.dims[0] === symbol);
  if (!whole) throw new UserError(`no input of the model has the batch dimension "${symbol}" first`);
  const rows = e.dimOf(b, whole, 0);
  // A product that rounds up a little, such as 0.1 · 10, must not count one row more.
  const wanted = e.shift(b, e.scale(b, e.cast(b, rows, "float32"), share), -1e-4);
  const kept = e.cast(b, b.op("Ceil", [wanted]), "int64");
  const cut = (x: Value, what: string): Value => {
    const dims = x.dims;
    if (!dims.some((d) => factorsOf(d).includes(symbol))) return x;
    const [first, ...others] = factorsOf(dims[0] ?? 1);
    if (first !== symbol || others.includes(symbol) || dims.slice(1).some((d) => factorsOf(d).includes(symbol))) {
      throw new UserError(
        `${what} has shape [${dims.join(", ")}]: rows of the batch do not lie together in it; take the whole batch`,
      );
    }
    const perRow = b.op("Div", [e.dimOf(b, x, 0), rows]);
    const end = others.length > 0 ? e.mul(b, kept, perRow) : kept;
    return e.slice(b, x, b.int64s([0]), end, [0], retype(x.type));
  };
  return {
    cut,
    batch: {
      ...batch,
      retype,
      inputs: new Map([...batch.inputs].map(([name, x]) => [name, cut(x, `input "${name}"`)])),
      labels: batch.labels && cut(batch.labels, "labels"),
      random: new Map([...batch.random].map(([name, x]) => [name, cut(x, `"${name}"`)])),
    },
  };
}
