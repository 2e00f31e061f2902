import { check } from "../util/assert.js";
import { drawSpec, style, type Drawing } from "./draw.js";

/** A grid of values in colour: `values[j][i]` at `x.at[i]`, `y.at[j]`. */
export interface HeatMap {
  title: string;
  subtitle?: string;
  x: { title: string; at: readonly number[] };
  y: { title: string; at: readonly number[] };
  /** Title of the colour scale. */
  value: string;
  values: readonly (readonly number[])[];
  scale?: "linear" | "log";
  /** Side of the plotting area in pixels (default 420). */
  size?: number;
}

/** Draws a heat map with contour-like colour steps, which the eye reads better than a smooth ramp. */
export function drawHeatMap({
  title,
  subtitle,
  x,
  y,
  value,
  values,
  scale = "linear",
  size = 420,
}: HeatMap): Promise<Drawing> {
  const half = (at: readonly number[]): number => ((at[1] ?? 1) - (at[0] ?? 0)) / 2;
  const [dx, dy] = [half(x.at), half(y.at)];
  const cells = y.at.flatMap((v, j) =>
    x.at.flatMap((u, i) => {
      const z = values[j]?.[i] ?? NaN;
      return Number.isFinite(z) && (scale === "linear" || z > 0)
        ? [{ x: u - dx, x2: u + dx, y: v - dy, y2: v + dy, z }]
        : [];
    }),
  );
  check(cells.length > 0, `chart "${title}": nothing to draw: no finite values`);
  const axis = (name: string) => ({ type: "quantitative", title: name, scale: { zero: false, nice: false } });
  return drawSpec({
    ...style,
    description: title,
    title: { text: title, ...(subtitle === undefined ? {} : { subtitle }) },
    width: size,
    height: size,
    data: { values: cells },
    mark: { type: "rect", strokeWidth: 0 },
    encoding: {
      x: { field: "x", ...axis(x.title) },
      x2: { field: "x2" },
      y: { field: "y", ...axis(y.title) },
      y2: { field: "y2" },
      color: {
        field: "z",
        type: "quantitative",
        title: value,
        scale: { scheme: "viridis", type: scale, nice: false, ...(scale === "linear" && { zero: false }) },
        legend: { orient: "right", direction: "vertical", gradientLength: size / 2, labelOffset: 6 },
      },
    },
  });
}
