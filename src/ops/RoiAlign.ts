import { float, int, string, type Node } from "../ir/graph.js";
import { composite } from "./composite.js";
import * as e from "./emit.js";
import type { OpRule, Sample } from "./rule.js";
import { linearTaps, pixelsOf, readEach, readPixels, sizeLike, type Pixels, type Tap } from "./sampling.js";

/** Where bins take their samples along one axis: [regions, bins, samples of a bin]. */
interface Places {
  at: e.V;
  /** How many samples a bin takes, and 1 for each of them that it does: the number may be a region's own. */
  count: e.V;
  there: e.V | null;
}

const isExact = (node: Node): boolean => node.string("coordinate_transformation_mode", "half_pixel") === "half_pixel";

/** `start` and `end` of the regions: [regions, 1, 1]. */
function placesAlong(b: e.B, node: Node, start: e.V, end: e.V, bins: number): Places {
  const extent = e.sub(b, end, start);
  const length = isExact(node) ? extent : e.max(b, extent, e.scalarLike(b, 1, extent));
  const bin = e.scale(b, length, 1 / bins);
  const ratio = node.int("sampling_ratio", 0);
  const adaptive = ratio === 0;
  const count = adaptive ? e.max(b, b.op("Ceil", [bin]), e.scalarLike(b, 0, bin)) : e.scalarLike(b, ratio, bin);
  const most = adaptive ? b.op("ReduceMax", [count], { keepdims: int(0) }) : count;
  const sample = e.cast(b, e.rangeTo(b, e.cast(b, most, "int64")), bin.dtype);
  const index = e.unsqueeze(b, e.cast(b, e.rangeTo(b, b.scalar(bins, "int64")), bin.dtype), [1]);
  const share = e.div(b, e.shift(b, sample, 0.5), adaptive ? e.max(b, count, e.scalarLike(b, 1, count)) : count);
  return {
    at: e.add(b, start, e.mul(b, bin, e.add(b, index, share))),
    count,
    there: adaptive ? e.cast(b, e.less(b, sample, count), bin.dtype) : null,
  };
}

/** Taps of places brought into the image; those further than a pixel outside of it weigh nothing. */
function tapsAlong(b: e.B, pixels: Pixels, axis: number, { at }: Places): Tap[] {
  const size = sizeLike(b, pixels, axis, at);
  const far = e.or(b, e.less(b, at, e.scalarLike(b, -1, at)), e.greater(b, at, size));
  const inside = e.min(b, e.max(b, at, e.scalarLike(b, 0, at)), e.shift(b, size, -1));
  const none = e.scalarLike(b, 0, at);
  return linearTaps(b, inside).map((tap) => ({ ...tap, weight: tap.weight && e.where(b, far, none, tap.weight) }));
}

/** Both axes of a bin's samples, of [regions, bins, samples, bins, samples, channels]. */
const samplesOfBins = [2, 4];

/**
 * y = the average, or the maximum, of x over the bins of regions, read between pixels: linear in x. The regions have their
 * derivative too, which torchvision leaves out; how many samples a bin takes is held. Equal maxima share, as in PyTorch's
 * `amax`.
 */
export const rule: OpRule<"RoiAlign"> = composite({
  op: "RoiAlign",
  since: 16,
  decompose: (b, node) => {
    const [x, rois, batch] = [node.input(0), node.input(1), node.input(2)];
    const pixels = pixelsOf(b, x);
    const corner = (i: number): e.V => {
      const column = e.scale(b, e.gather(b, rois, b.int64s([i]), 1), node.float("spatial_scale", 1));
      return e.unsqueeze(b, isExact(node) ? e.shift(b, column, -0.5) : column, [2]);
    };
    const rows = placesAlong(b, node, corner(1), corner(3), node.int("output_height", 1));
    const columns = placesAlong(b, node, corner(0), corner(2), node.int("output_width", 1));
    const byRow = (v: e.V): e.V => e.unsqueeze(b, v, [3, 4]);
    const byColumn = (v: e.V): e.V => e.unsqueeze(b, v, [1, 2]);
    const placed = (taps: readonly Tap[], by: (v: e.V) => e.V): Tap[] =>
      taps.map(({ at, weight }) => ({ at: by(at), weight: weight && by(weight) }));
    const taps = [placed(tapsAlong(b, pixels, 0, rows), byRow), placed(tapsAlong(b, pixels, 1, columns), byColumn)];
    const there =
      rows.there && columns.there && e.unsqueeze(b, e.mul(b, byRow(rows.there), byColumn(columns.there)), [5]);
    const read = [b, pixels, e.unsqueeze(b, batch, [1, 2, 3, 4]), taps, (_: e.B, at: e.V) => at] as const;
    if (node.string("mode", "avg") === "max") {
      // Each neighbour of a place is compared by itself, weighted.
      const highest = readEach(...read).reduce((p, q) => e.max(b, p, q));
      const among = there ? e.where(b, e.isPositive(b, there), highest, e.scalarLike(b, -3e38, x)) : highest;
      const maxima = b.op("ReduceMax", [among, b.int64s(samplesOfBins)], { keepdims: int(0) });
      return [e.transpose(b, maxima, [0, 3, 1, 2])];
    }
    const values = readPixels(...read);
    const sums = e.reduceSum(b, there ? e.mul(b, values, there) : values, samplesOfBins, false);
    const total = e.max(b, e.mul(b, rows.count, columns.count), e.scalarLike(b, 1, x));
    return [e.transpose(b, e.div(b, sums, total.dims.length > 0 ? e.unsqueeze(b, total, [3]) : total), [0, 3, 1, 2])];
  },
  samples: [
    sample("two samples a bin", { sampling_ratio: int(2), spatial_scale: float(0.8) }),
    sample("as many samples as pixels", { output_height: int(1) }),
    sample("not aligned", { coordinate_transformation_mode: string("output_half_pixel"), sampling_ratio: int(1) }),
    sample("maximum", { mode: string("max"), sampling_ratio: int(2) }),
  ],
});

function sample(name: string, attributes: NonNullable<Sample["attributes"]>): Sample {
  return {
    name,
    inputs: [
      { shape: [2, 2, 5, 6], distinct: 0.001 },
      { shape: [3, 4], values: [0.32, 0.41, 4.13, 3.37, -2.3, 1.21, 3.63, 4.92, 1.07, 0.71, 5.91, 4.23] },
      { shape: [3], dtype: "int64", values: [1, 0, 1] },
    ],
    attributes: { output_height: int(2), output_width: int(3), ...attributes },
  };
}
