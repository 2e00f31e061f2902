import type { Graph, Node, Value } from "../ir/graph.js";
import { check } from "../util/assert.js";

/**
 * Throws a UserError for a node with bodies that cannot be run: an If whose branches disagree, a Loop that nothing ends,
 * a body that does not fit its node. Constants have to be initializers.
 */
export function checkControl(graph: Graph): void {
  for (const node of graph.nodes) {
    if (node.domain === "" && node.op === "If") checkIf(node);
    if (node.domain === "" && node.op === "Loop") checkLoop(node, graph);
    for (const body of node.graphs()) checkControl(body);
  }
}

const many = (n: number, what: string): string => `${n} ${what}${n === 1 ? "" : "s"}`;
const kindOf = (v: Value): string | null => (v.type?.kind === "tensor" ? v.type.dtype : (v.type?.kind ?? null));

function checkIf(node: Node): void {
  const [yes, no] = [node.bodies["then_branch"], node.bodies["else_branch"]];
  check(yes && no, () => `${node.label}: it has no ${yes ? "else_branch" : "then_branch"}`);
  const [a, b] = [yes.outputs.length, no.outputs.length];
  check(
    a === b && a >= node.outputs.length,
    () =>
      `${node.label}: then_branch gives ${many(a, "output")}, else_branch ${b}, and the node has ${node.outputs.length}; ` +
      `they have to agree: export the model again`,
  );
  yes.outputs.forEach((o, i) => {
    const other = no.outputs[i];
    const [s, t] = [kindOf(o), other ? kindOf(other) : null];
    check(
      s === null || t === null || s === t,
      () =>
        `${node.label}: output ${i} is ${s ?? ""} in then_branch ("${o.name}") and ${t ?? ""} in else_branch ` +
        `("${other?.name ?? ""}"); they have to agree: cast one of them`,
    );
  });
}

function checkLoop(node: Node, graph: Graph): void {
  const body = node.bodies["body"];
  check(body, () => `${node.label}: it has no body`);
  const carries = Math.max(0, node.inputs.length - 2);
  check(
    body.inputs.length === carries + 2 && body.outputs.length >= carries + 1,
    () =>
      `${node.label}: its body has ${many(body.inputs.length, "input")} and ${many(body.outputs.length, "output")}; ` +
      `with ${many(carries, "carry").replace("carrys", "carries")} it needs ${carries + 2} and at least ${carries + 1}`,
  );
  const always = (v: Value | null | undefined, within: Graph): boolean => {
    const tensor = v && (within.initializers.get(v) ?? graph.initializers.get(v));
    return tensor?.numbers().every((x) => x !== 0) ?? false;
  };
  let going: Value | null | undefined = body.outputs[0];
  while (going?.producer?.op === "Identity") going = going.producer.inputs[0];
  const ends = going !== body.inputs[1] && !always(going, body);
  const starts = !node.inputs[1] || always(node.inputs[1], graph);
  check(
    node.inputs[0] || (node.inputs[1] && (ends || !starts)),
    () => `${node.label} has neither a trip count nor a condition that ends it; give it one of them`,
  );
}
