import { Graph, Node, Value } from "../ir/graph.js";
import { views } from "../passes/memory.js";
import { nodesBehind } from "../passes/recompute.js";
import { isStatic } from "../util/shape.js";

/** Before the name of a tensor whose new value may be written over the old one while the graph runs. */
export const overwritten = "over/";

/** Arithmetic that reads each element of its inputs before it writes that of its output, and so may write over one of them. */
const elementwise: ReadonlySet<string> = new Set(["Add", "Sub", "Mul", "Div"]);

/** What may wait until the step is known to be taken: little work, on values that are there already. */
const pointwise: ReadonlySet<string> = new Set([
  ...elementwise,
  ...["Abs", "Cast", "Clip", "Exp", "Log", "Max", "Min", "Neg", "Pow", "Reciprocal", "Sign", "Sqrt", "Where"],
  ...["And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "ScatterND"],
]);

/** A new value, and the input that it may take the place of. */
interface Update {
  next: Value;
  old: Value;
}

/**
 * Moves the last arithmetic of a step, from gradients to new values, into `If(ok)` for `skipped = 1 − ok`; the other branch
 * gives the old values. Outputs `next/<name>` become `over/<name>` where nothing reads the old value once the new one is there: a
 * caller may bind such an output to the buffer of the input, and a step that is not taken leaves it as it was. Memory for
 * the new values is saved, and every gradient waits for the last one. Results are the same, bit for bit.
 */
export function overwriteUpdates(graph: Graph): { modified: boolean } {
  const ok = graph.output("skipped")?.producer?.inputs[1]?.producer?.inputs[0];
  if (!ok) return { modified: false };
  const readers = readersOf(graph);
  for (let updates = candidates(graph); updates.length > 0;) {
    const late = lateNodes(graph, updates, readers);
    const read = [...late]
      .flatMap((node) => [...node.reads()])
      .filter(({ producer }) => !producer || !late.has(producer));
    const early = nodesBehind(ok, ...read);
    const safe = updates.filter((update) => isSafe(update, late, early, readers));
    if (safe.length === updates.length) {
      choose(graph, ok, updates, late);
      return { modified: true };
    }
    updates = safe;
  }
  return { modified: false };
}

function candidates(graph: Graph): Update[] {
  const inputs = new Map(graph.inputs.map((v) => [`next/${v.name}`, v]));
  return graph.outputs.flatMap((next) => {
    const old = inputs.get(next.name);
    const isAlike = old?.shape && isStatic(old.shape) && old.shape.join() === next.shape?.join();
    return isAlike && old.dtype === next.dtype ? [{ next, old }] : [];
  });
}

function readersOf(graph: Graph): Map<Value, Node[]> {
  const readers = new Map<Value, Node[]>();
  for (const node of graph.nodes) {
    for (const v of new Set(node.reads())) readers.set(v, [...(readers.get(v) ?? []), node]);
  }
  return readers;
}

type Readers = ReadonlyMap<Value, readonly Node[]>;

/** The pointwise nodes that only `updates` need. */
function lateNodes(graph: Graph, updates: readonly Update[], readers: Readers): Set<Node> {
  const given = new Set(updates.map(({ next }) => next));
  const outputs = new Set(graph.outputs);
  const late = new Set<Node>();
  for (const node of [...graph.nodes].reverse()) {
    const serves = (v: Value): boolean => {
      const all = readers.get(v) ?? [];
      return (given.has(v) || (!outputs.has(v) && all.length > 0)) && all.every((reader) => late.has(reader));
    };
    if (node.domain === "" && pointwise.has(node.op) && node.outputs.every((v) => v && serves(v))) late.add(node);
  }
  return late;
}

/** Whether everything that reads the old value has run by the time at which the new one is written. */
function isSafe({ next, old }: Update, late: ReadonlySet<Node>, early: ReadonlySet<Node>, readers: Readers): boolean {
  const writer = next.producer;
  if (!writer || !late.has(writer)) return false;
  const before = nodesBehind(next);
  return readersOfMemory(old, readers).every(({ value, reader }) =>
    reader === writer
      ? value === old && elementwise.has(reader.op)
      : late.has(reader)
        ? before.has(reader)
        : early.has(reader),
  );
}

/** What reads `value`, or a view of it: the runtime gives a view the memory of its input. */
const readersOfMemory = (value: Value, readers: Readers): { value: Value; reader: Node }[] =>
  (readers.get(value) ?? []).flatMap((reader) => {
    const isView = views.has(reader.op) && reader.inputs[0] === value;
    const behind = isView ? reader.outputs.flatMap((view) => (view ? readersOfMemory(view, readers) : [])) : [];
    return [{ value, reader }, ...behind];
  });

/** Moves the nodes `late` into one branch of an If whose outputs are the updates. */
function choose(graph: Graph, ok: Value, updates: readonly Update[], late: ReadonlySet<Node>): void {
  const taken = new Graph("taken");
  taken.nodes = graph.nodes.filter((node) => late.has(node));
  const kept = new Graph("kept");
  const chosen = new Map<Value, Value>();
  for (const { next, old } of updates) {
    taken.outputs.push(next);
    const same = new Value(`kept/${old.name}`, old.type);
    kept.nodes.push(new Node("Identity", [old], [same], {}, {}, "", same.name));
    kept.outputs.push(same);
    chosen.set(next, new Value(overwritten + old.name, old.type));
  }
  const bodies = { then_branch: taken, else_branch: kept };
  graph.nodes = graph.nodes.filter((node) => !late.has(node));
  graph.nodes.push(new Node("If", [ok], [...chosen.values()], {}, bodies, "", "descend/If"));
  graph.outputs = graph.outputs.map((v) => chosen.get(v) ?? v);
}
