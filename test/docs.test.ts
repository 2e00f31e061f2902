import { expect } from "chai";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { cliReference } from "../scripts/docs/cli.js";
import { optimizerReference } from "../scripts/docs/optimizers.js";
import { root } from "./support/root.js";

const read = (...path: string[]): string => readFileSync(join(root, ...path), "utf8");

describe("the documentation", () => {
  it("has the command line and the optimizers as they are", () => {
    const advice = 'is not current: run "npm run docs"';
    expect(read("docs", "CLI.md") === cliReference(), `docs/CLI.md ${advice}`).to.equal(true);
    const optimizers = read("docs", "OPTIMIZERS.md");
    expect(optimizers === optimizerReference(optimizers), `docs/OPTIMIZERS.md ${advice}`).to.equal(true);
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
