import { Node, tensorType, Value, type Graph } from "../ir/graph.js";
import { Tensor } from "../ir/tensor.js";
import { byteLength } from "../util/dtype.js";

/** Constants of fewer bytes stay what they are. */
const least = 1 << 16;

/**
 * Large constants of one value become nodes that make them where they are read. The runtime's optimiser folds the zeros that
 * the gradient of an embedding starts from into a constant of the table's size, which then lies in memory all the time and is
 * copied besides; what a node makes, the scatter takes over.
 */
export function makeFills(graph: Graph): { modified: boolean } {
  const fills = [...graph.initializers].filter(
    ([, t]) => "bytes" in t.storage && t.byteLength >= least && isUniform(t),
  );
  const captured = new Set(graph.nodes.flatMap((node) => [...node.captures()]));
  let modified = false;
  for (const [value, tensor] of fills) {
    if (captured.has(value) || graph.outputs.includes(value)) continue;
    const shape = new Value(`${value.name}/dims`, tensorType("int64", [tensor.dims.length]));
    graph.initializers.set(shape, Tensor.int64s(tensor.dims));
    const element = tensor.bytes().slice(0, byteLength(tensor.dtype, 1));
    const attributes = { value: { type: "tensor", value: new Tensor(tensor.dtype, [1], { bytes: element }) } } as const;
    graph.nodes = graph.nodes.flatMap((node) => {
      if (!node.inputs.includes(value)) return [node];
      // One for each reader: what it takes over, no other can read.
      const made = new Value(`${node.name}/${value.name}`, value.type ?? tensorType(tensor.dtype, tensor.dims));
      const fill = new Node("ConstantOfShape", [shape], [made], attributes, {}, "", `${node.name}/fill`);
      node.inputs = node.inputs.map((v) => (v === value ? made : v));
      return [fill, node];
    });
    graph.initializers.delete(value);
    modified = true;
  }
  return { modified };
}

function isUniform(tensor: Tensor): boolean {
  const size = byteLength(tensor.dtype, 1);
  const bytes = tensor.bytes();
  return bytes.every((byte, i) => i < size || byte === bytes[i % size]);
}
