import type { Rng } from "../util/rng.js";
import type { Block, LossSurface } from "./surface.js";
import { moved, zerosLike, type Vector } from "./vector.js";

/** The axis of a tensor along which its filters lie: the output features of a matrix, the output channels of a kernel. */
const filterAxis = ({ shape, transposed }: Block): number => (shape.length === 2 && transposed ? 1 : 0);

/**
 * A random Gaussian direction whose every filter has the norm of the weights' filter, and which leaves vectors (biases, gains)
 * as they are: so that plots of networks of different scales compare (Li et al., Visualizing the Loss Landscape, 2018, §4).
 */
export function filterNormalizedDirection(w: Vector, blocks: readonly Block[], rng: Rng): Vector {
  const direction = zerosLike(w);
  rng.fillNormal(direction);
  for (const block of blocks) {
    if (block.shape.length < 2) {
      direction.fill(0, block.start, block.end);
      continue;
    }
    const axis = filterAxis(block);
    const filters = block.shape[axis] ?? 1;
    const stride = block.shape.slice(axis + 1).reduce((n, d) => n * d, 1);
    const filterOf = (i: number): number => Math.floor((i - block.start) / stride) % filters;
    const weight = new Float64Array(filters);
    const random = new Float64Array(filters);
    for (let i = block.start; i < block.end; i++) {
      const f = filterOf(i);
      weight[f] = (weight[f] ?? 0) + (w[i] ?? 0) ** 2;
      random[f] = (random[f] ?? 0) + (direction[i] ?? 0) ** 2;
    }
    for (let i = block.start; i < block.end; i++) {
      const f = filterOf(i);
      const length = random[f] ?? 0;
      direction[i] = length > 0 ? (direction[i] ?? 0) * Math.sqrt((weight[f] ?? 0) / length) : 0;
    }
  }
  return direction;
}

/** The loss along a line or over a plane through the weights. */
export interface Landscape {
  /** Steps along each direction, in units of the direction. */
  steps: number[];
  /** `loss[j][i]` at steps[i] along the first and steps[j] along the second direction; one row for a line. */
  loss: number[][];
}

/** The loss at `count` even steps from −`extent` to `extent` along filter-normalised directions: one, or two for a plane. */
export async function landscape(
  surface: LossSurface,
  w: Vector,
  { dimensions, extent, count, rng }: { dimensions: 1 | 2; extent: number; count: number; rng: Rng },
  each: () => void = () => undefined,
): Promise<Landscape> {
  const first = filterNormalizedDirection(w, surface.blocks, rng);
  const second = dimensions === 2 ? filterNormalizedDirection(w, surface.blocks, rng) : null;
  const steps = Array.from({ length: count }, (_, i) => extent * ((2 * i) / Math.max(1, count - 1) - 1));
  const loss: number[][] = [];
  for (const y of second ? steps : [0]) {
    const row: number[] = [];
    const base = second ? moved(w, y, second) : w;
    for (const x of steps) {
      row.push(await surface.loss(moved(base, x, first)));
      each();
    }
    loss.push(row);
  }
  return { steps, loss };
}
