import { int, string, tensorType, type Node } from "../ir/graph.js";
import { freshDim, isStatic, sizeOf } from "../util/shape.js";
import { composite } from "./composite.js";
import { spatial } from "./convolution.js";
import * as e from "./emit.js";
import type { OpRule, Sample } from "./rule.js";
import { cubicTaps, eachImage, linearTaps, pixelsOf, readPixels, sizeLike, type Pixels, type Tap } from "./sampling.js";

/** Bounds of the image along an axis, in pixels: their centres where the corners are aligned, else their edges. */
function bounds(b: e.B, node: Node, pixels: Pixels, axis: number, like: e.V): { low: e.V; length: e.V } {
  const size = sizeLike(b, pixels, axis, like);
  if (node.int("align_corners", 0) !== 0) return { low: e.scalarLike(b, 0, like), length: e.shift(b, size, -1) };
  return { low: e.scalarLike(b, -0.5, like), length: size };
}

/** `at` mirrored at both bounds until it lies between them: low + length − |((at − low) mod 2·length) − length|. */
function reflected(b: e.B, node: Node, pixels: Pixels, axis: number, at: e.V): e.V {
  const { low, length } = bounds(b, node, pixels, axis, at);
  const none = e.equal(b, length, e.scalarLike(b, 0, length));
  const period = e.where(b, none, e.scalarLike(b, 1, length), e.scale(b, length, 2));
  const from = e.sub(b, at, low);
  const turns = b.op("Floor", [e.div(b, from, period)]);
  const rest = e.abs(b, e.sub(b, e.sub(b, from, e.mul(b, turns, period)), length));
  return e.where(b, none, low, e.add(b, low, e.sub(b, length, rest)));
}

/** Coordinates of −1…1 along one axis, in pixels. */
function inPixels(b: e.B, node: Node, pixels: Pixels, axis: number, at: e.V): e.V {
  const { low, length } = bounds(b, node, pixels, axis, at);
  return e.add(b, e.mul(b, e.scale(b, e.shift(b, at, 1), 0.5), length), low);
}

/** `at` between the centres of the first and the last pixel, at both of which it has no derivative, as in PyTorch. */
function clamped(b: e.B, pixels: Pixels, axis: number, at: e.V): e.V {
  const zero = e.scalarLike(b, 0, at);
  const last = e.shift(b, sizeLike(b, pixels, axis, at), -1);
  const below = e.where(b, e.lessOrEqual(b, at, zero), zero, at);
  return e.where(b, e.greaterOrEqual(b, at, last), last, below);
}

function tapsOf(b: e.B, node: Node, pixels: Pixels, axis: number, coordinate: e.V): readonly Tap[] {
  const at = inPixels(b, node, pixels, axis, coordinate);
  const mode = node.string("mode", "linear");
  const rounded = mode === "nearest" ? b.op("Round", [at]) : at;
  const padding = node.string("padding_mode", "zeros");
  const within = padding === "reflection" ? reflected(b, node, pixels, axis, rounded) : rounded;
  if (mode === "nearest") return [{ at: within, weight: null }];
  if (mode === "cubic") return cubicTaps(b, within, -0.75);
  return linearTaps(b, padding === "zeros" ? within : clamped(b, pixels, axis, within));
}

/**
 * y = x read at the places of a grid, each a point of [−1, 1]ᵈ in the order (x, y, …): linear in x. By the grid: the slope
 * between pixels; at a pixel, the slope on its right, as in PyTorch; nearest has none.
 */
export const rule: OpRule<"GridSample"> = composite({
  op: "GridSample",
  since: 20,
  decompose: (b, node) => {
    const [x, grid, y] = [node.input(0), node.input(1), node.output()];
    const pixels = pixelsOf(b, x);
    const axes = spatial(x).length;
    const places = grid.dims.slice(1, -1);
    const count = isStatic(places) ? sizeOf(places) : freshDim();
    const shape = e.joinConstants(b, [e.dimOf(b, grid, 0), b.int64s([-1, axes])]);
    const points = e.reshapeTo(b, grid, shape, tensorType(grid.dtype, [grid.dims[0] ?? 1, count, axes]));
    // The last coordinate of a point belongs to the first spatial axis.
    const taps = Array.from({ length: axes }, (_, axis) => {
      const coordinate = e.gather(b, points, b.scalar(axes - 1 - axis, "int64"), 2);
      return tapsOf(b, node, pixels, axis, coordinate);
    });
    const outside = {
      zeros: "zeros" as const,
      border: (_: e.B, at: e.V) => at,
      reflection: (_: e.B, at: e.V, axis: number) => reflected(b, node, pixels, axis, at),
    };
    const mode = node.string("padding_mode", "zeros") as keyof typeof outside;
    const read = readPixels(b, pixels, eachImage(b, x), taps, outside[mode]);
    return [e.reshapeLike(b, e.transpose(b, read, [0, 2, 1]), y)];
  },
  samples: [
    ...samples("linear", ["zeros", "border", "reflection"]),
    ...samples("nearest", ["border", "reflection"]),
    ...samples("cubic", ["zeros", "border", "reflection"]),
    {
      name: "volume",
      inputs: [{ shape: [1, 1, 2, 3, 2] }, { shape: [1, 1, 1, 2, 3], range: [-1.2, 1.2] }],
      attributes: { align_corners: int(1) },
    },
  ],
});

function samples(mode: string, paddings: readonly string[]): Sample[] {
  return paddings.map((padding, corners) => ({
    name: `${mode}, ${padding}${corners % 2 ? ", corners aligned" : ""}`,
    inputs: [{ shape: [2, 1, 2, 3] }, { shape: [2, 1, 2, 2], range: [-1.4, 1.4] as const }],
    attributes: { mode: string(mode), padding_mode: string(padding), align_corners: int(corners % 2) },
  }));
}
