import { curvatureScale, ellipsoidStep } from "../../src/analysis/radius.js";
import { norm } from "../../src/analysis/vector.js";
import { style, svgOf, type Theme } from "../../src/report/draw.js";

/** L(x, y) = ½ (a x² + b y²): flat along x, sharp along y. */
const hessian = Float64Array.of(0.15, 6);
const w = Float64Array.of(1.9, 0.42);
/** SAM's radius. */
const rho = 0.62;

export interface Idea {
  gradient: Float64Array;
  /** CurvSAM's scale of each coordinate, and the radius of its ellipsoid. */
  d: Float64Array;
  radius: number;
  /** The perturbations of SAM and of CurvSAM, of one length. */
  sam: Float64Array;
  curvsam: Float64Array;
}

/** Both perturbations at w, by their definitions; CurvSAM's radius is the one at which ‖ε‖₂ is SAM's. */
export function idea(): Idea {
  const gradient = w.map((x, i) => (hessian[i] ?? 0) * x);
  const d = curvatureScale(hessian, 0.01) as Float64Array;
  const sam = gradient.map((g) => (rho * g) / norm(gradient));
  const radius = rho / norm(ellipsoidStep(gradient, d, 1));
  return { gradient, d, radius, sam, curvsam: ellipsoidStep(gradient, d, radius) as Float64Array };
}

const [left, right, bottom, top] = [-0.7, 3.9, -1.05, 1.45] as const;
const pixels = 170;

interface Point {
  x: number;
  y: number;
}

/** Points around (x, y) on the ellipse with these half axes. */
const ellipse = ([x, y]: readonly [number, number], [rx, ry]: readonly [number, number]): Point[] =>
  Array.from({ length: 181 }, (_, i) => {
    const angle = (i * Math.PI) / 90;
    return { x: x + rx * Math.cos(angle), y: y + ry * Math.sin(angle) };
  });

const levels = [0.04, 0.15, 0.35, 0.65, 1.1, 1.7, 2.5, 3.5, 4.7, 6.1];

/** The picture of the idea as a Vega-Lite specification. */
function ideaSpec(theme: Theme): object {
  const { d, radius, sam, curvsam } = idea();
  const dark = theme === "dark";
  const [blue, orange] = dark ? ["#56B4E9", "#F2A33A"] : ["#0072B2", "#C44E00"];
  const [ink, quiet, faint] = dark ? ["#E6EDF3", "#A0AAB4", "#3D4854"] : ["#1F2328", "#59636E", "#CBD3DB"];
  const at = ([x = 0, y = 0]: Float64Array): [number, number] => [x, y];
  const here = at(w);
  const end = (step: Float64Array): [number, number] => at(w.map((x, i) => x + (step[i] ?? 0)));
  const x = { field: "x", type: "quantitative", scale: { domain: [left, right], nice: false }, axis: null };
  const y = { field: "y", type: "quantitative", scale: { domain: [bottom, top], nice: false }, axis: null };
  const curve = (values: Point[], colour: string, width: number, more: object = {}): object => ({
    data: { values: values.map((point, order) => ({ ...point, order })) },
    mark: { type: "line", color: colour, strokeWidth: width, clip: true, ...more },
    encoding: { x, y, order: { field: "order" } },
  });
  const dot = ([u, v]: [number, number], colour: string, size: number): object => ({
    data: { values: [{ x: u, y: v }] },
    mark: { type: "point", filled: true, size, color: colour, opacity: 1 },
    encoding: { x, y },
  });
  const step = (of: Float64Array, colour: string): object[] => {
    const [u, v] = end(of);
    const way = [
      { x: here[0], y: here[1] },
      { x: u, y: v },
    ];
    return [curve(way, colour, 3), dot([u, v], colour, 130)];
  };
  const ground = dark ? "#161B22" : "#FFFFFF";
  /** Text with a rim of the ground's colour, so that contours do not cross it. */
  const text = ([u, v]: readonly [number, number], label: string, colour: string, more: object = {}): object[] =>
    [{ stroke: ground, strokeWidth: 6, strokeJoin: "round" }, {}].map((rim) => ({
      data: { values: [{ x: u, y: v }] },
      mark: { type: "text", text: label, color: colour, fontSize: 15, align: "left", ...more, ...rim },
      encoding: { x, y },
    }));
  const contours = levels.map((level) =>
    curve(ellipse([0, 0], at(hessian.map((h) => Math.sqrt((2 * level) / h)))), faint, 1.3),
  );
  const [u, v] = [end(sam), end(curvsam)];
  return {
    ...style,
    description: "The loss around a minimum, flat along one direction and sharp along another, with the perturbations of SAM and of CurvSAM",
    title: {
      text: "Where the second gradient is taken",
      subtitle: "½ (0.15 x² + 6 y²) by its contours; from w both perturbations by their formulas, of equal length",
    },
    // Contours go on beyond the picture; what they would need in room is not asked.
    autosize: "none",
    padding: { left: 16, right: 16, top: 68, bottom: 16 },
    width: pixels * (right - left),
    height: pixels * (top - bottom),
    layer: [
      ...contours,
      curve(ellipse(here, [rho, rho]), blue, 2, { strokeDash: [6, 4] }),
      curve(ellipse(here, at(d.map((scale) => radius / Math.sqrt(scale)))), orange, 2, { strokeDash: [6, 4] }),
      ...step(sam, blue),
      ...step(curvsam, orange),
      dot([0, 0], quiet, 40),
      dot(here, ink, 90),
      ...text([0.07, -0.09], "minimum", quiet, { fontSize: 13 }),
      ...text(here, "w", ink, { dx: -8, dy: 16, fontSize: 17, fontStyle: "italic", align: "right" }),
      ...text(u, "SAM: the circle ‖ε‖ = ρ", blue, { dx: -12, dy: -16, align: "right", fontWeight: "bold" }),
      ...text(v, "CurvSAM: the ellipse εᵀDε = ρ²", orange, { dx: 14, dy: -14, fontWeight: "bold" }),
      ...text([left + 0.03, bottom + 0.06], "flat direction →", quiet, { fontSize: 13 }),
      ...text([left + 0.03, bottom + 0.13], "sharp direction →", quiet, { fontSize: 13, angle: 270 }),
    ],
  };
}

/** The picture as it stands in docs/, on a light and on a dark ground. */
export const ideaPictures = async (): Promise<Record<string, string>> => ({
  "idea.svg": await svgOf(ideaSpec("light"), "light"),
  "idea-dark.svg": await svgOf(ideaSpec("dark"), "dark"),
});
