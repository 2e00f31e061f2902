import { int, ints, type Graph, type Node, type Value } from "../ir/graph.js";
import { isStatic, sizeOf, type Dim } from "../util/shape.js";
import { Replacement, replace } from "./replacement.js";
import { usesOf } from "./uses.js";
import { at, positionsOf, windowsOf, type Windows } from "./windows.js";

/** At fewer positions of the kernel than this an image makes too few columns of a matrix. */
const fewPositions = 256;
/** Elements of a kernel beyond which turning it over costs more than the convolution gains. */
const largestTurned = 160_000;
/** Spatial axes that the runtime unfolds into a matrix. */
const mostAxes = 3;

/**
 * A convolution whose kernel lies at few positions: of small images, or that of x with dy which is the gradient of a kernel. The
 * runtime would multiply by a matrix of few columns for each image; all images side by side make one of many. Where only a
 * Transpose reads it that exchanges rows and filters, as gradients of kernels do, the result comes so.
 */
export function joinImages(graph: Graph): { modified: boolean } {
  const exchanged = exchangedConvolutions(graph);
  const exchanges = new Set(exchanged.values());
  return replace(graph, (node) => {
    const convolution = exchanged.get(node) ?? node;
    const isConvolution = convolution.op === "Conv" && convolution.domain === "";
    const g = isConvolution ? windowsOf(convolution) : null;
    if (!g) return null;
    const made = new Replacement(graph, node);
    const [images, kernel, bias] = [convolution.input(0), convolution.input(1), convolution.inputs[2] ?? null];
    if (sizeOf(positionsOf(g)) === 1 && !bias) multiplyOnce(made, images, kernel, g, convolution !== node);
    else if (areJoined(images, g)) {
      const result = convolve(made, join(made, images), kernel, bias, g, images.shape?.[0]);
      if (convolution === node) separate(made, result, positionsOf(g));
      else exchange(made, result, positionsOf(g), Number(images.shape?.[0]));
    } else return null;
    return exchanges.has(node) ? [] : made.done();
  });
}

/** For each Transpose that exchanges rows and filters of a convolution, and alone reads it, that convolution. */
function exchangedConvolutions(graph: Graph): Map<Node, Node> {
  const uses = usesOf(graph);
  const found = new Map<Node, Node>();
  for (const node of graph.nodes) {
    const convolution = node.op === "Transpose" && node.domain === "" ? node.input(0).producer : null;
    const isExchange = node.ints("perm")?.every((p, i) => p === (i < 2 ? 1 - i : i));
    const hasRows = typeof convolution?.inputs[0]?.shape?.[0] === "number";
    if (convolution?.op === "Conv" && hasRows && isExchange && uses.get(node.input(0)) === 1)
      found.set(node, convolution);
  }
  return found;
}

/**
 * A transposed convolution without strides as the convolution with the kernel turned over, which the runtime does in half the
 * time. Turning a large kernel over would take longer; small images, which are joined, are turned over instead, and back.
 */
export function turnTransposedConvolutions(graph: Graph): { modified: boolean } {
  return replace(graph, (node) => {
    if (node.op !== "ConvTranspose" || node.domain !== "") return null;
    const g = node.inputs.length === 2 && !node.ints("output_shape") ? windowsOf(node) : null;
    const [images, kernel] = [node.input(0), node.input(1)];
    const channels = kernel.shape?.slice(0, 2);
    if (!g || !channels || !isStatic(channels) || g.strides.some((s) => s !== 1)) return null;
    if (node.ints("output_padding")?.some((p) => p !== 0) === true) return null;
    const rest = (pads: readonly number[]): number[] => g.extent.map((e, i) => e - 1 - at(pads, i));
    const [before, after] = [rest(g.before), rest(g.after)];
    if (sizeOf(g.kernel) === 1 || [...before, ...after].some((p) => p < 0)) return null;
    const made = new Replacement(graph, node);
    const swap = (k: Value): Value => made.transpose(k, [1, 0, ...g.kernel.map((_, i) => i + 2)]);
    if (areJoined(images, { ...g, before, after })) {
      const turned = { ...g, before: after, after: before };
      const result = convolve(
        made,
        turnOver(made, join(made, images), [0], g.input, [-1]),
        swap(kernel),
        null,
        turned,
        images.shape?.[0],
      );
      separate(made, turnOver(made, result, [0], positionsOf(turned), [-1]), positionsOf(turned));
    } else if (sizeOf(channels) * sizeOf(g.kernel) <= largestTurned) {
      conv(made, [images, swap(turnOver(made, kernel, [0, 0], g.kernel))], { ...g, before, after });
    } else return null;
    return made.done();
  });
}

/** Whether images that a kernel lies on at few positions can be joined. */
function areJoined(images: Value, g: Windows): boolean {
  const rows = images.shape?.[0];
  if (rows === 1 || sizeOf(g.kernel) === 1 || sizeOf(positionsOf(g)) >= fewPositions) return false;
  return g.kernel.length + Number(!isWide(g, rows)) <= mostAxes;
}

/** Whether the rows of the batch can lie within the last spatial axis. */
const isWide = (g: Windows, rows: Dim | undefined): rows is number =>
  typeof rows === "number" && g.strides.at(-1) === 1;

/** [rows, channels, …] as [channels, …, rows]. */
function join(made: Replacement, images: Value): Value {
  const perm = images.dims.map((_, i) => (i + 1) % images.dims.length);
  return made.transpose(images, perm);
}

/** [filters, …, rows] as [rows, filters, …]. */
function separate(made: Replacement, joined: Value, counts: readonly number[]): void {
  const flat = made.reshape(joined, [0, sizeOf(counts), -1]);
  made.reshape(made.transpose(flat, [2, 0, 1]), [0, 0, ...counts]);
}

/**
 * [filters, …, rows] as [filters, rows, …], position by position. The runtime's optimizer would move a Transpose on into both readers
 * of a gradient, the descent and the norm.
 */
function exchange(made: Replacement, joined: Value, counts: readonly number[], rows: number): void {
  const parts = made.split(made.reshape(joined, [0, -1]), 1, sizeOf(counts));
  const columns = parts.map((part) => made.reshape(part, [-1, 1]));
  made.reshape(made.op("Concat", columns, { axis: int(1) }), [-1, rows, ...counts]);
}

/**
 * The convolution of images [channels, …, rows], as [filters, …, rows]: of one image, on whose last axis the pixels of all
 * rows lie side by side, with the kernel dilated by their number; or with the rows on an axis of their own.
 */
function convolve(made: Replacement, joined: Value, kernel: Value, bias: Value | null, g: Windows, rows?: Dim): Value {
  const last = g.kernel.length - 1;
  if (isWide(g, rows)) {
    const widened = (values: readonly number[]): number[] => values.map((v, i) => (i === last ? v * rows : v));
    const [dilations, before, after] = [widened(g.dilations), widened(g.before), widened(g.after)];
    const image = made.reshape(joined, [1, -1, ...widened(g.input)]);
    const result = conv(made, [image, kernel, bias], { ...g, dilations, before, after });
    return made.reshape(result, [-1, ...positionsOf(g), rows]);
  }
  const image = made.op("Unsqueeze", [joined, made.int64s([0])]);
  const deeper = made.op("Unsqueeze", [kernel, made.int64s([last + 3])]);
  const one = (values: readonly number[], value: number): number[] => [...values, value];
  const result = conv(made, [image, deeper, bias], {
    strides: one(g.strides, 1),
    dilations: one(g.dilations, 1),
    before: one(g.before, 0),
    after: one(g.after, 0),
  });
  return made.op("Squeeze", [result, made.int64s([0])]);
}

function conv(
  made: Replacement,
  inputs: (Value | null)[],
  g: Pick<Windows, "strides" | "dilations" | "before" | "after">,
): Value {
  return made.op("Conv", inputs.at(-1) === null ? inputs.slice(0, -1) : inputs, {
    strides: ints([...g.strides]),
    dilations: ints([...g.dilations]),
    pads: ints([...g.before, ...g.after]),
  });
}

/** The axes of `sizes` in the opposite direction, those that `lead` stands for before them and `tail` after. */
function turnOver(
  made: Replacement,
  x: Value,
  lead: readonly number[],
  sizes: readonly number[],
  tail: readonly number[] = [],
): Value {
  const count = sizeOf(sizes);
  const order = made.int64s(Array.from({ length: count }, (_, i) => count - 1 - i));
  const flat = made.reshape(x, [...lead, count, ...tail]);
  return made.reshape(made.op("Gather", [flat, order], { axis: int(lead.length) }), [...lead, ...sizes, ...tail]);
}

/** A kernel that lies at one position: what it covers times the kernel. */
function multiplyOnce(made: Replacement, images: Value, kernel: Value, g: Windows, isExchanged: boolean): void {
  const isPadded = [...g.before, ...g.after].some((p) => p !== 0);
  const padded = isPadded ? made.op("Pad", [images, made.int64s([0, 0, ...g.before, 0, 0, ...g.after])]) : images;
  const isWhole = g.kernel.every((k, i) => k === at(g.input, i) + at(g.before, i) + at(g.after, i));
  const axes = g.kernel.map((_, i) => i + 2);
  const starts = g.kernel.map(() => 0);
  const covered = isWhole
    ? padded
    : made.op("Slice", [padded, ...[starts, g.extent, axes, g.dilations].map((values) => made.int64s(values))]);
  const rows = (x: Value): Value => made.reshape(x, [0, -1]);
  const factors = [rows(covered), rows(kernel)];
  const ordered = isExchanged ? factors.reverse() : factors;
  const product = made.op("FusedMatMul", ordered, { transB: int(1) }, "com.microsoft");
  made.reshape(product, [0, 0, ...g.kernel.map(() => 1)]);
}
