/** Cases of sequences and optionals as models of tensors, which are all that the runtime's binding takes and gives. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import protobuf from "protobufjs";
import { Node, Value, tensorType, type Graph, type Model, type Type } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { must } from "../../src/util/assert.js";
import { parseTensor } from "./tensors.js";

/** The messages of one field within a message. */
function fieldsOf(bytes: Uint8Array, field: number): Uint8Array[] {
  const reader = protobuf.Reader.create(bytes);
  const found: Uint8Array[] = [];
  while (reader.pos < reader.len) {
    const tag = reader.uint32();
    if (tag === field * 8 + 2) found.push(reader.bytes());
    else reader.skipType(tag & 7);
  }
  return found;
}

/** The tensors of a value: a TensorProto is one, a SequenceProto and an OptionalProto hold some. */
function tensorsOf(bytes: Uint8Array, type: Type): Tensor[] {
  if (type.kind === "tensor") return [parseTensor(bytes)];
  if (type.kind === "sequence") return fieldsOf(bytes, 3).map(parseTensor);
  if (type.kind !== "optional") throw new Error(`a value of the kind ${type.kind}`);
  const inner = type.of;
  const [held] = fieldsOf(bytes, inner.kind === "sequence" ? 5 : 3);
  if (!held) throw new Error("an optional that is empty has no form of tensors");
  return tensorsOf(held, inner);
}

function read(folder: string, part: "input" | "output", i: number, v: Value): Tensor[] {
  const file = join(folder, "test_data_set_0", `${part}_${i}.pb`);
  if (!existsSync(file)) throw new Error(`no value for "${v.name}"`);
  return tensorsOf(readFileSync(file), must(v.type, `the type of ${v.name}`));
}

const isTensor = (v: Value): boolean => v.type?.kind === "tensor";

/** Whether an operator makes or reads sequences or optionals. */
export const isOfSequences = ({ op }: Node): boolean => /Sequence|Optional/.test(op) && op !== "ReverseSequence";

/** Whether a graph takes, gives or makes sequences or optionals. */
export const hasSequences = (graph: Graph): boolean =>
  ![...graph.inputs, ...graph.outputs].every(isTensor) || graph.nodes.some(isOfSequences);

/**
 * Makes elements the inputs and outputs of the model, in place, and integers, which are positions and sizes, constants of it.
 * Returns what the inputs are.
 */
export function unwrapSequences({ graph }: Model, folder: string): Map<Value, Tensor> {
  const given = new Map<Value, Tensor>();
  const before: Node[] = [];
  const made = (op: string, inputs: Value[], output: Value): Value => {
    before.push(new Node(op, inputs, [output], {}, {}, "", `${output.name}/${op}`));
    return output;
  };
  let next = 0;
  const inputs = graph.inputs.map((v) => {
    const initial = graph.initializers.get(v);
    return [v, initial ? [initial] : read(folder, "input", next++, v)] as const;
  });
  graph.inputs = [];
  for (const [v, tensors] of inputs) {
    if (isTensor(v) && v.dtype.startsWith("int")) {
      graph.initializers.set(v, tensors[0]!);
      continue;
    }
    const items = tensors.map((t, i) => (isTensor(v) ? v : new Value(`${v.name}_${i}`, tensorType(t.dtype, t.dims))));
    items.forEach((item, i) => given.set(item, tensors[i]!));
    graph.inputs.push(...items);
    if (isTensor(v)) continue;
    const { type } = v;
    const optional = type?.kind === "optional";
    const inner = optional ? new Value(`${v.name}/held`, type.of) : v;
    if (optional && type.of.kind === "tensor") made("Optional", items, v);
    else {
      made(items.length > 0 ? "SequenceConstruct" : "SequenceEmpty", items, inner);
      if (optional) made("Optional", [inner], v);
    }
  }
  const outputs = graph.outputs.map((v, i) => [v, isTensor(v) ? [] : read(folder, "output", i, v)] as const);
  const after: Node[] = [];
  graph.outputs = outputs.flatMap(([v, tensors]) => {
    if (isTensor(v)) return [v];
    let list = v;
    if (v.type?.kind === "optional") {
      list = new Value(`${v.name}/held`, v.type.of);
      after.push(new Node("OptionalGetElement", [v], [list], {}, {}, "", list.name));
    }
    return tensors.map((t, i) => {
      const at = new Value(`${v.name}/at_${i}`, tensorType("int64", []));
      graph.initializers.set(at, Tensor.of("int64", [], [i]));
      const item = new Value(`${v.name}_${i}`, tensorType(t.dtype, t.dims));
      after.push(new Node("SequenceAt", [list, at], [item], {}, {}, "", item.name));
      return item;
    });
  });
  graph.nodes = [...before, ...graph.nodes, ...after];
  return given;
}
