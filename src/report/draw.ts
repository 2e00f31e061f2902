import { fileURLToPath } from "node:url";
import type { TopLevelSpec } from "vega-lite";

/** A picture: SVG text, and a PNG of twice its size in pixels. */
export interface Drawing {
  svg: string;
  png: Buffer;
}

const fonts = "Arimo, Liberation Sans, Helvetica, Arial, sans-serif";
const pixelRatio = 2;

export type Theme = "light" | "dark";

/** What every picture has in common: the schema, the ground, fonts and lines. */
export const style = {
  $schema: "https://vega.github.io/schema/vega-lite/v6.json",
  background: "white",
  padding: 16,
  config: {
    font: fonts,
    title: {
      anchor: "start",
      frame: "bounds",
      fontSize: 18,
      fontWeight: "bold",
      subtitleFontSize: 13,
      subtitleColor: "#444",
      offset: 14,
    },
    axis: {
      labelFontSize: 12,
      titleFontSize: 13,
      titleFontWeight: "normal",
      titlePadding: 10,
      labelFlush: false,
      labelColor: "#222",
      titleColor: "#222",
      gridColor: "#E3E3E3",
      domainColor: "#888",
      tickColor: "#888",
    },
    axisY: { minExtent: 48 },
    legend: {
      orient: "top",
      direction: "horizontal",
      labelFontSize: 13,
      labelLimit: 320,
      columnPadding: 24,
      offset: 8,
    },
    line: { strokeJoin: "round", invalid: "break-paths-show-domains" },
    view: { stroke: null },
  },
};

/** The same picture on a dark ground: what is near black becomes near white. */
const dark = {
  background: "#161B22",
  config: {
    ...style.config,
    title: { ...style.config.title, color: "#E6EDF3", subtitleColor: "#A0AAB4" },
    axis: {
      ...style.config.axis,
      labelColor: "#D0D7DE",
      titleColor: "#D0D7DE",
      gridColor: "#30363D",
      domainColor: "#6E7681",
      tickColor: "#6E7681",
    },
    legend: { ...style.config.legend, labelColor: "#D0D7DE", titleColor: "#D0D7DE" },
  },
};

/** Draws a Vega-Lite specification. Text needs no font of the system: the picture brings its own. */
export async function drawSpec(spec: object, theme: Theme = "light"): Promise<Drawing> {
  const svg = await svgOf(spec, theme);
  return { svg, png: await rasterize(svg) };
}

/** The SVG alone, for pages. */
export async function svgOf(given: object, theme: Theme = "light"): Promise<string> {
  const spec = theme === "dark" ? { ...given, ...dark } : given;
  // Loaded when first drawn: together they take longer to load than most commands to run.
  const [vega, vegaLite] = await Promise.all([import("vega"), import("vega-lite")]);
  const compiled = vegaLite.compile(spec as TopLevelSpec).spec;
  const view = new vega.View(vega.parse(compiled), { renderer: "none" });
  const svg = await view.toSVG();
  view.finalize();
  return svg;
}

async function rasterize(svg: string): Promise<Buffer> {
  const { Resvg } = await import("@resvg/resvg-js");
  const fontFiles = [
    import.meta.resolve("@expo-google-fonts/arimo/400Regular/Arimo_400Regular.ttf"),
    import.meta.resolve("@expo-google-fonts/arimo/700Bold/Arimo_700Bold.ttf"),
  ].map((url) => fileURLToPath(url));
  const font = { loadSystemFonts: false, fontFiles, defaultFontFamily: "Arimo", sansSerifFamily: "Arimo" };
  return new Resvg(svg, { font, fitTo: { mode: "zoom", value: pixelRatio } }).render().asPng();
}
