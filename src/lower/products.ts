import { Node, Value, int, ints, tensorType, type Attributes, type Graph } from "../ir/graph.js";
import { usesOf } from "./uses.js";

type Permutation = readonly number[];

/** A value as a permutation of the axes of another: what a chain of Transposes makes of it. */
interface View {
  source: Value;
  perm: Permutation;
}

const isIdentity = (perm: Permutation): boolean => perm.every((p, i) => p === i);
/** Whether the innermost axis stays: such a copy moves whole rows. */
const keepsRows = (perm: Permutation): boolean => perm.at(-1) === perm.length - 1;
const swapLast = (perm: Permutation): number[] => [...perm.slice(0, -2), ...perm.slice(-2).reverse()];
/** Whether reading `swapped` transposed costs less than making `perm`. */
const isCheaper = (swapped: Permutation, perm: Permutation): boolean =>
  !isIdentity(perm) && (isIdentity(swapped) || (keepsRows(swapped) && !keepsRows(perm)));

function viewOf(value: Value): View | null {
  const node = value.producer;
  const perm = node?.op === "Transpose" && node.domain === "" ? node.ints("perm") : undefined;
  if (!node || !perm) return null;
  const before = viewOf(node.input(0));
  return before
    ? { source: before.source, perm: perm.map((p) => before.perm[p] ?? p) }
    : { source: node.input(0), perm };
}

/** A product of matrices, or of stacks of them, in float32. */
function isProduct(node: Node | null | undefined): node is Node {
  return node?.op === "MatMul" && node.domain === "" && node.inputs.every((v) => isMatrices(v));
}

const isMatrices = (v: Value | null): boolean =>
  v?.type?.kind === "tensor" && v.dtype === "float32" && (v.shape?.length ?? 0) > 1;

/**
 * Takes transposed operands within products (`FusedMatMul`), and turns transposed products around, (A B)ᵀ = Bᵀ Aᵀ: a pass over
 * the data less each. Where heads are moved in front of tokens, what is left are the transposes that keep rows whole, and
 * one copy serves a product and its derivatives, which want it the other way round.
 */
export function fuseTransposes(graph: Graph): { modified: boolean } {
  const uses = usesOf(graph);
  const turned = turnProducts(graph, uses);
  const copies = new Map<Value, Map<string, Value>>();
  let modified = turned;
  graph.nodes = graph.nodes.flatMap((node) => {
    if (!isProduct(node)) return [node];
    const made: Node[] = [];
    const operands = node.inputs.map((v) => operandOf(v as Value, copies, made));
    const values = operands.map((o) => o.value);
    modified ||= values.some((v, i) => v !== node.inputs[i]);
    if (!operands.some((o) => o.transposed)) {
      node.inputs = values;
      return [...made, node];
    }
    const [a, b] = operands;
    const attributes: Attributes = { transA: int(Number(a?.transposed)), transB: int(Number(b?.transposed)) };
    return [...made, new Node("FusedMatMul", values, node.outputs, attributes, {}, "com.microsoft", node.name)];
  });
  return { modified };
}

function operandOf(
  value: Value,
  copies: Map<Value, Map<string, Value>>,
  made: Node[],
): { value: Value; transposed: boolean } {
  const view = viewOf(value);
  if (!view) return { value, transposed: false };
  const swapped = swapLast(view.perm);
  const transposed = isCheaper(swapped, view.perm);
  const perm = transposed ? swapped : view.perm;
  if (isIdentity(perm)) return { value: view.source, transposed };
  if (!transposed && value.producer?.input(0) === view.source) return { value, transposed };
  const known = copies.get(view.source) ?? new Map<string, Value>();
  copies.set(view.source, known);
  let copy = known.get(perm.join());
  if (!copy) {
    const shape = view.source.shape;
    copy = new Value(`${value.name}/rows`, tensorType("float32", shape && perm.map((p) => shape[p] ?? 1)));
    known.set(perm.join(), copy);
    made.push(new Node("Transpose", [view.source], [copy], { perm: ints([...perm]) }, {}, "", copy.name));
  }
  return { value: copy, transposed };
}

/** Transpose(A B) becomes Bᵀ Aᵀ, with what is left of the permutation, where nobody else reads the product. */
function turnProducts(graph: Graph, uses: ReadonlyMap<Value, number>): boolean {
  const gone = new Set<Node>();
  graph.nodes = graph.nodes.flatMap((node) => {
    const perm = node.op === "Transpose" && node.domain === "" ? node.ints("perm") : undefined;
    const product = node.inputs[0]?.producer;
    if (!perm || perm.length < 2 || !isProduct(product) || uses.get(product.output()) !== 1) return [node];
    const rank = perm.length;
    const rest = perm.map((p) => (p === rank - 1 ? rank - 2 : p === rank - 2 ? rank - 1 : p));
    if (!isCheaper(rest, perm)) return [node];
    gone.add(product);
    const made: Node[] = [];
    const transposed = (v: Value, side: string): Value => {
      const axes = swapLast([...v.dims.keys()]);
      const name = `${node.name}/${side}`;
      const result = new Value(
        name,
        tensorType(
          "float32",
          axes.map((i) => v.dims[i] ?? 1),
        ),
      );
      made.push(new Node("Transpose", [v], [result], { perm: ints(axes) }, {}, "", name));
      return result;
    };
    const operands = [transposed(product.input(1), "left"), transposed(product.input(0), "right")];
    if (isIdentity(rest)) return [...made, new Node("MatMul", operands, node.outputs, {}, {}, "", product.name)];
    const dims = product.output().shape;
    const result = new Value(
      `${product.name}/turned`,
      tensorType("float32", dims && swapLast([...dims.keys()]).map((i) => dims[i] ?? 1)),
    );
    made.push(new Node("MatMul", operands, [result], {}, {}, "", product.name));
    return [...made, new Node("Transpose", [result], node.outputs, { perm: ints(rest) }, {}, "", node.name)];
  });
  graph.nodes = graph.nodes.filter((n) => !gone.has(n));
  return gone.size > 0;
}
