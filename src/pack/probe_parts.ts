import type { Node, Value } from "../ir/graph.js";
import { isFloat } from "../util/dtype.js";
import type { Frame, Shape, Shapes } from "./probe_session.js";

/** Nodes to a session: the time that the runtime takes to open a graph grows with the square of its nodes. */
const partNodes = 2000;

/** Elements up to which a value may be a shape, or what one is made of. */
const shapeElements = 64;

/**
 * Cuts a frame into parts to be opened one after the other. What a part reads of those before it is an input, of the shape in
 * `seen`, which has to hold them by then; but what may decide shapes (small integers, scalars) is computed in it once more,
 * because the runtime follows its values.
 */
export function* partsOf(frame: Frame, seen: Shapes, nodes = partNodes): Generator<Frame> {
  if (frame.nodes.length <= nodes) {
    yield frame;
    return;
  }
  const places = new Map(frame.nodes.map((node, i) => [node, i]));
  for (let start = 0; start < frame.nodes.length; start += nodes) {
    yield part(frame, places, seen, frame.nodes.slice(start, start + nodes));
  }
}

function part(frame: Frame, places: ReadonlyMap<Node, number>, seen: Shapes, own: readonly Node[]): Frame {
  const nodes = new Set(own);
  const read = new Set<Value>();
  const stack = own.flatMap((node) => [...node.reads()]);
  for (let v = stack.pop(); v; v = stack.pop()) {
    if (read.has(v)) continue;
    read.add(v);
    const producer = v.producer;
    if (!producer || !places.has(producer) || nodes.has(producer) || !decidesShapes(seen.get(v.name))) continue;
    nodes.add(producer);
    stack.push(...producer.reads());
  }
  const made = new Set([...nodes].flatMap((node) => node.outputs));
  const outer = [...read].filter((v) => !made.has(v));
  return {
    inputs: outer.filter((v) => !frame.initializers.has(v)),
    initializers: new Map(
      outer.flatMap((v) => {
        const tensor = frame.initializers.get(v);
        return tensor ? [[v, tensor] as const] : [];
      }),
    ),
    nodes: [...nodes].sort((a, b) => (places.get(a) ?? 0) - (places.get(b) ?? 0)),
  };
}

/** Also for what has not been seen: sequences, whose type no input can have here. */
function decidesShapes(shape: Shape | undefined): boolean {
  if (!shape) return true;
  const size = shape.dims?.reduce<number>((n, d) => n * (d ?? Infinity), 1) ?? Infinity;
  return size <= shapeElements && (!isFloat(shape.dtype) || (shape.dims?.length ?? 0) <= 1);
}
