import { expect } from "chai";
import { drawFigure, lineChart, smoothed, type LineChart } from "../../src/report/chart.js";
import { rejects } from "../support/rejects.js";

const chart: LineChart = {
  title: "Loss of a run",
  subtitle: "ρ = 0.05",
  x: { title: "Step" },
  y: { title: "Cross-entropy", unit: "nats" },
  series: [
    {
      name: "at w",
      points: [
        [0, 1],
        [1, 0.5],
        [2, 0.25],
      ],
      smooth: 0.5,
    },
    {
      name: "at w + ε",
      points: [
        [0, 2],
        [1, 1],
        [2, 0.5],
      ],
    },
  ],
  width: 200,
  height: 100,
};
const texts = (svg: string): string[] => [...svg.matchAll(/<text[^>]*>([^<]*)<\/text>/g)].map((match) => match[1]!);
const pixels = (png: Buffer): [number, number] => [png.readUInt32BE(16), png.readUInt32BE(20)];

describe("lineChart", () => {
  it("draws title, units and legend, a line each, and a pale one under a smoothed", async () => {
    const { svg, png } = await lineChart(chart);
    expect(texts(svg)).to.include.members([
      "Loss of a run",
      "ρ = 0.05",
      "Step",
      "Cross-entropy (nats)",
      "at w",
      "at w + ε",
    ]);
    expect([...svg.matchAll(/aria-roledescription="line mark"/g)]).to.have.length(3);
    expect(svg).to.include("#0072B2").and.to.include("#D55E00").and.to.include("stroke-dasharray");
    expect(png.subarray(1, 4).toString()).to.equal("PNG");
    const [width, height] = pixels(png);
    const size = /width="(\d+(?:\.\d+)?)" height="(\d+(?:\.\d+)?)"/.exec(svg)!;
    expect(width).to.be.closeTo(2 * Number(size[1]), 2);
    expect(height).to.be.closeTo(2 * Number(size[2]), 2);
  });

  it("draws text into the PNG from its own fonts, Greek too", async () => {
    const titled = async (title: string) => (await lineChart({ ...chart, title })).png;
    const latin = await titled("run A");
    expect(latin.equals(await titled("run A"))).to.equal(true);
    expect(latin.equals(await titled("run B"))).to.equal(false);
    expect((await titled("run ρ")).equals(await titled("run ε"))).to.equal(false);
  });

  it("breaks a line at what is not finite, and on a log axis at 0", async () => {
    const paths = async (points: [number, number][], scale: "linear" | "log") => {
      const { svg } = await lineChart({ ...chart, y: { title: "y", scale }, series: [{ name: "a", points }] });
      const path =
        /aria-roledescription="line mark"[^>]* d="([^"]*)"/.exec(svg) ??
        / d="([^"]*)"[^>]*aria-roledescription="line mark"/.exec(svg);
      return (path?.[1] ?? "").split("M").length - 1;
    };
    expect(
      await paths(
        [
          [0, 1],
          [1, 2],
          [2, 3],
          [3, 4],
        ],
        "linear",
      ),
    ).to.equal(1);
    expect(
      await paths(
        [
          [0, 1],
          [1, 2],
          [2, NaN],
          [3, 4],
          [4, 5],
        ],
        "linear",
      ),
    ).to.equal(2);
    expect(
      await paths(
        [
          [0, 1],
          [1, 2],
          [2, 0],
          [3, 4],
          [4, 5],
        ],
        "log",
      ),
    ).to.equal(2);
  });

  it("stacks panels and keeps the file of a long run small", async () => {
    const points = Array.from({ length: 50_000 }, (_, i) => [i, Math.sin(i / 1000)] as const);
    const { svg } = await drawFigure({
      title: "long",
      panels: [{ x: { title: "Step" }, y: { title: "a" }, series: [{ name: "s", points }] }, { ...chart }],
    });
    expect(texts(svg)).to.include.members(["long", "a", "Cross-entropy (nats)"]);
    expect(svg.length).to.be.below(200_000);
  });

  it("says what cannot be drawn", async () => {
    await rejects(
      () => lineChart({ ...chart, series: [{ name: "a", points: [[0, NaN]] }] }),
      '"Loss of a run"',
      "no finite points",
    );
    const twice = { name: "a", points: [[0, 1]] as [number, number][] };
    await rejects(() => lineChart({ ...chart, series: [twice, twice] }), "two series have one name");
  });
});

describe("smoothed", () => {
  it("starts at the first value, stays at a constant and passes over NaN", () => {
    expect(
      smoothed(
        [
          [0, 4],
          [1, 4],
          [2, NaN],
          [3, 4],
        ],
        0.9,
      ).map(([, y]) => y),
    ).to.deep.equal([4, 4, NaN, 4]);
    expect(
      smoothed(
        [
          [0, 0],
          [1, 3],
        ],
        0.5,
      )[1],
    ).to.deep.equal([1, 2]);
  });
});
