import { style, type Theme } from "./draw.js";
import type { LayerTable } from "./layers.js";

/** How long a name may be in a picture of this width. */
const labelLength = (width: number): number => (width < 500 ? 23 : 44);

/** The number of the layer and the end of the name, which tell tensors apart. */
function shortened(name: string, length: number): string {
  if (name.length <= length) return name;
  const end = name.slice(1 - length);
  const number = /(?:^|[._/])(\d+)(?=[._/])/.exec(name)?.[1] ?? "";
  return new RegExp(`[._/]${number}[._/]`).test(end) ? `…${end}` : `${number}…${end.slice(number.length)}`;
}

/** An expression of the picture's own language: the label of the value `datum.value` among `values`. */
const labelsOf = (values: readonly (string | number)[], labels: readonly string[]): string =>
  `(${JSON.stringify(labels)})[indexof(${JSON.stringify(values)}, datum.value)]`;

const rowHeight = 16;

/** A heat map of a quantity of each layer over time: a row a layer, in colours on a log scale. `width`: of the plotting area, in pixels. */
export function layerMap(title: string, value: string, { steps, layers, values }: LayerTable, width: number): object {
  // A cell reaches a little under the next, so that no ground shows between them.
  const overlap = ((steps.at(-1) ?? 0) - (steps[0] ?? 0)) / 300;
  const cells = layers.flatMap((layer, j) =>
    steps.flatMap((step, i) => {
      const z = values[j]?.[i] ?? NaN;
      // A cell reaches back to the line before it.
      const to = i + 1 < steps.length ? step + overlap : step;
      return z > 0 && Number.isFinite(z) ? [{ layer, from: steps[i - 1] ?? 0, to, z }] : [];
    }),
  );
  return {
    ...style,
    description: title,
    title,
    width,
    height: rowHeight * layers.length,
    data: { values: cells },
    mark: { type: "rect", strokeWidth: 0, aria: false },
    encoding: {
      x: {
        field: "from",
        type: "quantitative",
        title: "Step",
        scale: { nice: false, zero: false },
        axis: { tickCount: 6 },
      },
      x2: { field: "to" },
      y: {
        field: "layer",
        type: "nominal",
        title: null,
        scale: { domain: layers, padding: 0 },
        axis: {
          labelExpr: labelsOf(
            layers,
            layers.map((name) => shortened(name, labelLength(width))),
          ),
          labelLimit: 0,
          labelFontSize: 11,
          ticks: false,
          grid: false,
        },
      },
      color: {
        field: "z",
        type: "quantitative",
        title: value,
        scale: { type: "log", scheme: "viridis", nice: false },
        legend: { gradientLength: Math.min(300, width), tickCount: 4, format: "~g" },
      },
    },
  };
}

/** Beyond so many classes the cells have no numbers, and beyond so many the axes no names. */
const mostNumbers = 12;
const mostNames = 40;
const largestCell = 72;

/**
 * A confusion matrix: examples of the row's class that were taken for the column's, coloured by their share of the row. `width`: of the
 * plotting area at most, in pixels.
 */
export function confusionSpec(
  { counts, names, subtitle }: { counts: readonly (readonly number[])[]; names: readonly string[]; subtitle: string },
  theme: Theme,
  width: number,
): object {
  const side = Math.min(width, largestCell * counts.length);
  const cells = counts.flatMap((row, i) => {
    const total = row.reduce((sum, count) => sum + count, 0);
    return row.map((count, j) => ({ i, j, count, share: total === 0 ? 0 : count / total }));
  });
  const ids = counts.map((_, i) => i);
  const labels = ids.map((i) => names[i] ?? String(i));
  const length = labelLength(width);
  const longest = Math.min(length, Math.max(...labels.map((label) => label.length)));
  const upright = 7 * longest < side / counts.length;
  const axis = (title: string, more: object) => ({
    type: "ordinal",
    title,
    scale: { domain: ids, padding: 0 },
    axis: {
      ...{ grid: false, ticks: false, domain: false, labels: counts.length <= mostNames, ...more },
      labelExpr: `truncate(${labelsOf(ids, labels)}, ${length}, 'right', '…')`,
    },
  });
  const [ground, full, onGround, onFull] =
    theme === "dark" ? ["#1C2530", "#56B4E9", "#D0D7DE", "#0D1117"] : ["#EEF3F8", "#0072B2", "#222222", "#FFFFFF"];
  const numbers = {
    mark: { type: "text", fontSize: 13 },
    encoding: {
      text: { field: "count", type: "quantitative", format: ",d" },
      color: { condition: { test: "datum.share > 0.55", value: onFull }, value: onGround },
    },
  };
  return {
    ...style,
    description: "Confusion matrix",
    title: { text: "Confusion matrix", subtitle },
    width: side,
    height: side,
    data: { values: cells },
    encoding: {
      x: { field: "j", ...axis("predicted class", { labelAngle: upright ? 0 : -45 }) },
      y: { field: "i", ...axis("true class", {}) },
    },
    layer: [
      {
        mark: { type: "rect", stroke: theme === "dark" ? "#161B22" : "white", strokeWidth: 1 },
        encoding: {
          color: {
            field: "share",
            type: "quantitative",
            scale: { domain: [0, 1], range: [ground, full] },
            legend: null,
          },
        },
      },
      ...(counts.length <= mostNumbers ? [numbers] : []),
    ],
  };
}
