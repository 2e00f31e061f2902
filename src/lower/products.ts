import { Node, Value, ints, type Graph } from "../ir/graph.js";
import { usesOf } from "./uses.js";

const swaps = (node: Node | null): boolean => {
  const perm = node?.op === "Transpose" && node.domain === "" ? node.ints("perm") : undefined;
  return perm?.length === 2 && perm[0] === 1;
};

/**
 * (A B)ᵀ = Bᵀ Aᵀ for matrices: the runtime takes transposed operands within a product, but a transposed result costs another
 * pass. Gradients of weights that an exporter left transposed come so.
 */
export function transposeOperands(graph: Graph): { modified: boolean } {
  const uses = usesOf(graph);
  let modified = false;
  const removed = new Set<Node>();
  graph.nodes = graph.nodes.flatMap((node) => {
    const product = node.inputs[0]?.producer;
    if (!swaps(node) || product?.op !== "MatMul" || product.domain !== "" || uses.get(product.output()) !== 1)
      return [node];
    const made: Node[] = [];
    const transposed = (v: Value, side: string): Value => {
      if (v.producer && swaps(v.producer)) return v.producer.input(0);
      const name = `${node.name}/${side}`;
      const result = new Value(name, null);
      made.push(new Node("Transpose", [v], [result], { perm: ints([1, 0]) }, {}, "", name));
      return result;
    };
    const operands = [transposed(product.input(1), "left"), transposed(product.input(0), "right")];
    removed.add(product);
    modified = true;
    return [...made, new Node("MatMul", operands, [node.output()], {}, {}, "", product.name)];
  });
  graph.nodes = graph.nodes.filter((n) => !removed.has(n));
  return { modified };
}
