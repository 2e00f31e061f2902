import { int, ints, Node, Value, tensorType, type Attributes, type Graph, type Model } from "../ir/graph.js";
import { Names } from "./rewriter.js";

const recurrent = new Set(["RNN", "GRU", "LSTM"]);
/** Axes of X, of the states, and of Y once they are time first; and back. */
const swap = [1, 0, 2];
const yBack = [2, 0, 1, 3];

/** Turns recurrent layers of layout 1 (batch first), for which the runtime has no kernel, into layout 0, in place. */
export function timeFirst(model: Model): void {
  const names = new Names(model);
  const turn = (graph: Graph): void => {
    graph.nodes = graph.nodes.flatMap((node) => {
      for (const body of node.graphs()) turn(body);
      const applies = node.domain === "" && recurrent.has(node.op) && node.int("layout", 0) === 1;
      return applies ? turned(node, names) : [node];
    });
  };
  turn(model.graph);
}

function turned(node: Node, names: Names): Node[] {
  const transpose = (from: Value, to: Value, perm: readonly number[]): Node =>
    new Node("Transpose", [from], [to], { perm: ints(perm) }, {}, "", names.unique(`${node.name}/Transpose`));
  const fresh = (like: Value): Value =>
    new Value(
      names.unique(`${like.name}/time_first`),
      like.type?.kind === "tensor" ? tensorType(like.dtype, null) : null,
    );
  const before: Node[] = [];
  const after: Node[] = [];
  for (const i of [0, 5, 6]) {
    const v = node.inputs[i];
    if (!v) continue;
    const to = fresh(v);
    before.push(transpose(v, to, swap));
    node.inputs[i] = to;
  }
  node.outputs = node.outputs.map((o, i) => {
    if (!o) return null;
    const made = fresh(o);
    made.producer = node;
    after.push(transpose(made, o, i === 0 ? yBack : swap));
    return made;
  });
  const attributes: Attributes = { ...node.attributes, layout: int(0) };
  node.attributes = attributes;
  return [...before, node, ...after];
}
