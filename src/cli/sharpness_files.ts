import { existsSync } from "node:fs";
import { join } from "node:path";
import type { Sharpness } from "../analysis/sharpness.js";
import { smoothedDensity } from "../analysis/density.js";
import { lineChart } from "../report/chart.js";
import type { Drawing } from "../report/draw.js";
import { drawHeatMap } from "../report/heat_map.js";
import { writeFileAtomically } from "../util/files.js";
import { writeFolderAtomically } from "../util/folder.js";

const reportFile = "sharpness.json";

/** Writes a report's folder, whole or not at all: `sharpness.json`, tables as CSV, and the pictures that it has data for. */
export async function writeSharpness(result: Sharpness, folder: string, force: boolean): Promise<void> {
  const mayReplace = force ? (existing: string) => existsSync(join(existing, reportFile)) : undefined;
  await writeFolderAtomically(folder, mayReplace, async (temporary) => {
    const write = (name: string, data: string | Uint8Array): void => writeFileAtomically(join(temporary, name), data);
    const picture = ({ svg, png }: Drawing, name: string): void => {
      write(`${name}.svg`, svg);
      write(`${name}.png`, png);
    };
    write(reportFile, `${JSON.stringify(result, null, 2)}\n`);
    const { eigenvalues, radii, layers, density, landscape } = result;
    const pairs = [...eigenvalues.largest, eigenvalues.smallest];
    write(
      "eigenvalues.csv",
      csv(
        ["value", "residual"],
        pairs.map(({ value, residual }) => [value, residual]),
      ),
    );
    write(
      "radii.csv",
      csv(
        ["radius", "uniform", "uniform_se", "ellipsoid", "ellipsoid_se"],
        radii.map(({ radius, uniform: u, ellipsoid: e }) => [radius, u.mean, u.standardError, e.mean, e.standardError]),
      ),
    );
    write(
      "layers.csv",
      csv(
        ["tensor", "elements", "trace", "trace_se", "largest_eigenvalue"],
        layers.map(({ name, elements, trace, largest }) => [
          name,
          elements,
          trace.mean,
          trace.standardError,
          largest?.value ?? "",
        ]),
      ),
    );
    if (density) {
      const curve = smoothedDensity(density);
      write(
        "density.csv",
        csv(
          ["eigenvalue", "density"],
          curve.map(({ value, density: d }) => [value, d]),
        ),
      );
      picture(
        await lineChart({
          title: "Spectral density of the Hessian",
          subtitle: "stochastic Lanczos quadrature, Gaussian smoothing of 1 % of the extent",
          x: { title: "eigenvalue" },
          y: { title: "density", scale: "log" },
          // One eigenvalue of n weighs 1/n, and less as probes happen to see it; what is far below is the tail of the smoothing.
          series: [
            {
              name: "density",
              points: cutBelow(
                curve.map(({ value, density: d }) => [value, d]),
                0.01 / result.parameters,
              ),
            },
          ],
        }),
        "density",
      );
    }
    if (landscape) {
      const { steps, loss } = landscape;
      write(
        "landscape.csv",
        csv(
          ["second \\ first", ...steps],
          loss.map((row, j) => [loss.length > 1 ? (steps[j] ?? 0) : 0, ...row]),
        ),
      );
      picture(await landscapePicture(steps, loss), "landscape");
    }
  });
}

function landscapePicture(steps: readonly number[], loss: readonly (readonly number[])[]): Promise<Drawing> {
  const title = "Loss landscape";
  const subtitle = "along random filter-normalised directions; 0 is the weights";
  if (loss.length > 1) {
    const [x, y] = [
      { title: "first direction", at: steps },
      { title: "second direction", at: steps },
    ];
    const positive = loss.flat().every((v) => !(v <= 0));
    return drawHeatMap({ title, subtitle, x, y, value: "loss", values: loss, scale: positive ? "log" : "linear" });
  }
  const points = steps.map((step, i) => [step, loss[0]?.[i] ?? NaN] as const);
  return lineChart({
    title,
    subtitle,
    x: { title: "step along the direction" },
    y: { title: "loss" },
    series: [{ name: "loss", points }],
  });
}

function cutBelow(points: readonly (readonly [number, number])[], share: number): (readonly [number, number])[] {
  const peak = Math.max(...points.map(([, y]) => y));
  return points.map(([x, y]) => [x, y < share * peak ? NaN : y] as const);
}

const cell = (value: string | number): string =>
  typeof value === "string" && /[",\n]/.test(value) ? `"${value.replaceAll('"', '""')}"` : String(value);

const csv = (header: readonly (string | number)[], rows: readonly (readonly (string | number)[])[]): string =>
  [header, ...rows].map((row) => `${row.map(cell).join(",")}\n`).join("");
