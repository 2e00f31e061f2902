import { expect } from "chai";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { cliReference } from "../scripts/docs/cli.js";
import { idea, ideaPictures } from "../scripts/docs/idea.js";
import { optimizerReference } from "../scripts/docs/optimizers.js";
import { readmeResults } from "../scripts/docs/results.js";
import { root } from "./support/root.js";

const read = (...path: string[]): string => readFileSync(join(root, ...path), "utf8");

describe("the documentation", () => {
  it("has the command line and the optimizers as they are", () => {
    const advice = 'is not current: run "npm run docs"';
    expect(read("docs", "CLI.md") === cliReference(), `docs/CLI.md ${advice}`).to.equal(true);
    const optimizers = read("docs", "OPTIMIZERS.md");
    expect(optimizers === optimizerReference(optimizers), `docs/OPTIMIZERS.md ${advice}`).to.equal(true);
  });

  it("has the results in README that docs/RESULTS.md has", () => {
    const [readme, results] = [read("README.md"), read("docs", "RESULTS.md")];
    expect(readmeResults(readme, results) === readme, 'README.md is not current: run "npm run docs"').to.equal(true);
    expect(readme).to.match(/\| \[CoLA\]\(docs\/RESULTS\.md#cola-minilm\), MiniLM +\| Matthews ↑ +\|/);
  });

  it("draws the idea from the definitions: each step on its boundary, along the gradient in its own norm", async () => {
    const { gradient, d, radius, sam, curvsam } = idea();
    const sum = (term: (i: number) => number): number => term(0) + term(1);
    expect(sum((i) => d[i]! * curvsam[i]! ** 2)).to.be.closeTo(radius ** 2, 1e-12);
    expect(Math.hypot(...curvsam)).to.be.closeTo(Math.hypot(...sam), 1e-12);
    // No other point of the ellipse has a larger ⟨g, ε⟩.
    const best = sum((i) => gradient[i]! * curvsam[i]!);
    for (let angle = 0; angle < 6.3; angle += 0.01) {
      const [x, y] = [Math.cos(angle), Math.sin(angle)].map((v, i) => (radius * v) / Math.sqrt(d[i]!));
      expect(gradient[0]! * x! + gradient[1]! * y!).to.be.below(best + 1e-12);
    }
    for (const [name, svg] of Object.entries(await ideaPictures())) {
      expect(read("docs", name) === svg, `docs/${name} is not current: run "npm run docs"`).to.equal(true);
    }
  });

  it("links to files, and to headings within a file, that are there", () => {
    const pages = ["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].concat(
      readdirSync(join(root, "docs"))
        .filter((name) => name.endsWith(".md"))
        .map((name) => join("docs", name)),
    );
    for (const page of pages) {
      const text = read(page);
      const places = anchors([...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) => title!));
      for (const [, id] of text.matchAll(/<a id="([^"]+)">/g)) places.add(id!);
      for (const [, path, fragment] of text.matchAll(/\]\(([^)#\s]*)(?:#([^)\s]+))?\)/g)) {
        if (path!.includes("://")) continue;
        if (path !== "") expect(existsSync(join(root, dirname(page), path!)), `${page}: ${path}`).to.equal(true);
        else expect(places.has(fragment!), `${page}: #${fragment}`).to.equal(true);
      }
    }
  });
});

/** The fragments that headings are reached by; equal ones are numbered. */
function anchors(titles: readonly string[]): Set<string> {
  const counts = new Map<string, number>();
  const all = titles.map((title) => {
    const plain = title
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
    const count = counts.get(plain) ?? 0;
    counts.set(plain, count + 1);
    return count === 0 ? plain : `${plain}-${count}`;
  });
  return new Set(all);
}
