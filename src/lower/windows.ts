import type { Node } from "../ir/graph.js";
import { isStatic } from "../util/shape.js";

/** How the kernel of a convolution moves over its spatial axes. */
export interface Windows {
  strides: readonly number[];
  dilations: readonly number[];
  before: readonly number[];
  after: readonly number[];
  input: readonly number[];
  kernel: readonly number[];
  /** Size that the kernel spans. */
  extent: readonly number[];
}

export const at = (values: readonly number[], i: number): number => values[i] ?? 0;

/** What a convolution, or a transposed one, in float32 without groups does; null where a size is not known. */
export function windowsOf(node: Node): Windows | null {
  const [input, kernel] = [node.input(0).shape?.slice(2), node.input(1).shape?.slice(2)];
  if (!input || !kernel || !isStatic(input) || !isStatic(kernel) || node.input(0).dtype !== "float32") return null;
  if (node.int("group", 1) !== 1 || node.string("auto_pad", "NOTSET") !== "NOTSET") return null;
  const rank = kernel.length;
  const ones = kernel.map(() => 1);
  const pads = node.ints("pads") ?? [...kernel, ...kernel].map(() => 0);
  const dilations = node.ints("dilations") ?? ones;
  return {
    strides: node.ints("strides") ?? ones,
    dilations,
    before: pads.slice(0, rank),
    after: pads.slice(rank),
    input,
    kernel,
    extent: dilations.map((d, i) => (at(kernel, i) - 1) * d + 1),
  };
}

/** Where the kernel lies, along each axis: how often. */
export const positionsOf = (g: Windows): number[] =>
  g.input.map((n, i) => Math.floor((n + at(g.before, i) + at(g.after, i) - at(g.extent, i)) / at(g.strides, i) + 1));
