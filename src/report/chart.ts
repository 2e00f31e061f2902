import { check } from "../util/assert.js";
import { drawSpec, style, svgOf, type Drawing, type Theme } from "./draw.js";

/** A curve: points in the order of x. A y that is not finite breaks the line. */
export interface Series {
  name: string;
  points: readonly (readonly [x: number, y: number])[];
  /** Draws the points pale and, over them, their running mean with this weight of the past (0 < smooth < 1), for noisy curves. */
  smooth?: number;
}

export interface Axis {
  title: string;
  /** Stands in brackets behind the title. */
  unit?: string;
  /** Default: linear. On a log axis, points at 0 or below are left out. */
  scale?: "linear" | "log";
  /** Whether the axis must show 0 (default false). */
  zero?: boolean;
}

export interface Panel {
  x: Axis;
  y: Axis;
  series: readonly Series[];
}

export interface LineChart extends Panel {
  title: string;
  subtitle?: string;
  /** Size of each panel's plotting area in pixels (default 640 × 320). */
  width?: number;
  height?: number;
}

export interface Figure extends Omit<LineChart, keyof Panel> {
  /** Drawn below each other. */
  panels: readonly Panel[];
}

/** Okabe and Ito's colours without yellow, which is faint on white: told apart with any colour vision, and grey for black. */
const colours: Readonly<Record<Theme, readonly string[]>> = {
  light: ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#808080"],
  // The same hues, those that a dark ground swallows lighter.
  dark: ["#56B4E9", "#E69F00", "#2FC79B", "#CC79A7", "#7A9CFF", "#FF8A5B", "#A0A0A0"],
};
/** Lines differ in their dashes too, for print without colour. */
const dashes = [
  [1, 0],
  [6, 3],
  [2, 2],
  [9, 3, 2, 3],
  [4, 2],
  [12, 4],
  [1, 3],
];
const mostPoints = 600;
/** Up to so many points, each is marked. */
const mostMarked = 30;

interface Row {
  x: number;
  y: number | null;
  series: string;
}

const axisTitle = ({ title, unit }: Axis): string => (unit === undefined ? title : `${title} (${unit})`);

/** Every n-th point, the last included, so that a long run stays a small file. */
function thin<T>(points: readonly T[]): readonly T[] {
  const step = Math.ceil(points.length / mostPoints);
  return step <= 1 ? points : points.filter((_, i) => i % step === 0 || i === points.length - 1);
}

/** Running mean mₖ = s·mₖ₋₁ + (1 − s)·yₖ, bias-corrected so that it starts at the first value; what is not finite is passed over. */
export function smoothed(points: Series["points"], weight: number): [number, number][] {
  let mean = 0;
  let total = 0;
  return points.map(([x, y]) => {
    if (!Number.isFinite(y)) return [x, NaN];
    mean = weight * mean + (1 - weight) * y;
    total = weight * total + (1 - weight);
    return [x, mean / total];
  });
}

function rows(series: Series, points: Series["points"], { x, y }: Panel): Row[] {
  const shown = (value: number, axis: Axis): boolean => Number.isFinite(value) && (axis.scale !== "log" || value > 0);
  return thin(points)
    .filter((point) => shown(point[0], x))
    .map((point) => ({ x: point[0], y: shown(point[1], y) ? point[1] : null, series: series.name }));
}

/** `nice`: whether the axis goes on to round numbers. */
function encode(axis: Axis, nice: boolean): object {
  return {
    type: "quantitative",
    title: axisTitle(axis),
    scale: axis.scale === "log" ? { type: "log", nice: false } : { type: "linear", zero: axis.zero ?? false, nice },
    axis: { format: axis.scale === "log" ? "~g" : ".4~r", tickCount: 6 },
  };
}

/** How many entries of a legend stand beside each other in `width` pixels. */
function legendColumns(names: readonly string[], width: number): number {
  const longest = Math.max(...names.map(({ length }) => length));
  return Math.max(1, Math.min(names.length, Math.floor(width / (60 + 7 * longest))));
}

function panelSpec(panel: Panel, width: number, height: number, theme: Theme): object {
  const names = panel.series.map(({ name }) => name);
  const encoding = {
    x: { field: "x", ...encode(panel.x, false) },
    y: { field: "y", ...encode(panel.y, true) },
    color: {
      field: "series",
      type: "nominal",
      title: null,
      scale: { domain: names, range: names.map((_, i) => colours[theme][i % colours[theme].length]) },
      legend:
        names.length > 1
          ? {
              ...{ symbolType: "stroke", symbolSize: 400, symbolStrokeWidth: 2.5, symbolOpacity: 1 },
              columns: legendColumns(names, width),
            }
          : null,
    },
  };
  const strokeDash = {
    field: "series",
    type: "nominal",
    title: null,
    scale: { domain: names, range: names.map((_, i) => dashes[i % dashes.length]) },
    legend: names.length > 1 ? { columns: legendColumns(names, width) } : null,
  };
  const pale = panel.series.filter(({ smooth }) => smooth !== undefined);
  const lines = panel.series.flatMap((each) =>
    rows(each, each.smooth === undefined ? each.points : smoothed(each.points, each.smooth), panel),
  );
  const paleLayer = {
    data: { values: pale.flatMap((each) => rows(each, each.points, panel)) },
    mark: { type: "line", strokeWidth: 1, opacity: 0.3 },
    encoding,
  };
  const few = panel.series.every(({ points }) => points.length <= mostMarked);
  const point = few ? { filled: true, size: 45 } : false;
  const layer = [
    ...(pale.length > 0 ? [paleLayer] : []),
    { data: { values: lines }, mark: { type: "line", strokeWidth: 2.5, point }, encoding: { ...encoding, strokeDash } },
  ];
  return { width, height, layer };
}

function figureSpec({ title, subtitle, panels, width = 640, height = 320 }: Figure, theme: Theme): object {
  return {
    description: subtitle === undefined ? title : `${title}: ${subtitle}`,
    title: { text: title, ...(subtitle === undefined ? {} : { subtitle }) },
    vconcat: panels.map((panel) => panelSpec(panel, width, height, theme)),
    spacing: 28,
    resolve: { scale: { color: "independent", strokeDash: "independent" } },
    ...style,
  };
}

/** Draws panels below each other. Text needs no font of the system: the figure brings its own. */
export const drawFigure = async (figure: Figure, theme: Theme = "light"): Promise<Drawing> =>
  drawSpec(checkedSpec(figure, theme), theme);

/** The SVG of a figure alone, for pages. */
export const figureSvg = async (figure: Figure, theme: Theme): Promise<string> =>
  svgOf(checkedSpec(figure, theme), theme);

function checkedSpec(figure: Figure, theme: Theme): object {
  for (const { y, series } of figure.panels) {
    const drawn = series.some(({ points }) =>
      points.some(([, value]) => Number.isFinite(value) && (y.scale !== "log" || value > 0)),
    );
    check(drawn, `chart "${figure.title}": nothing to draw for "${y.title}": no finite points`);
    const names = series.map(({ name }) => name);
    check(
      new Set(names).size === names.length,
      `chart "${figure.title}": two series have one name: ${names.join(", ")}`,
    );
  }
  return figureSpec(figure, theme);
}

/** Draws one panel with lines: SVG text, and a PNG of twice its size in pixels. */
export function lineChart({ x, y, series, ...frame }: LineChart): Promise<Drawing> {
  return drawFigure({ ...frame, panels: [{ x, y, series }] });
}
