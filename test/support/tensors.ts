import { must } from "../../src/util/assert.js";
import type { Tensor } from "../../src/ir/tensor.js";
import { parseModel } from "../../src/serde/index.js";

function varint(n: number): number[] {
  const bytes: number[] = [];
  for (; n > 127; n = Math.floor(n / 128)) bytes.push((n % 128) + 128);
  return [...bytes, n];
}

/** A protobuf field of the length-delimited kind. */
const field = (number: number, body: Uint8Array): Uint8Array =>
  Buffer.concat([Uint8Array.from([number * 8 + 2, ...varint(body.length)]), body]);

/** The tensor of a file that holds one TensorProto: read as the only initializer of a model around it. */
export function parseTensor(bytes: Uint8Array): Tensor {
  const header = Uint8Array.from([8, 8]);
  const opset = field(8, Uint8Array.from([16, 21]));
  // A later field of the same number wins: the initializer needs a name, which the file may leave out.
  const named = Buffer.concat([bytes, field(8, Buffer.from("tensor"))]);
  const graph = field(7, Buffer.concat([field(2, Buffer.from("graph")), field(5, named)]));
  const model = parseModel(Buffer.concat([header, opset, graph]), { file: "tensor" });
  return must([...model.graph.initializers.values()][0], "the tensor of the file");
}
