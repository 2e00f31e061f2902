import { expect } from "chai";
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { costsFile, golden, type Golden } from "../support/golden.js";
import { root } from "../support/root.js";

describe("the emitted graphs of the golden models", () => {
  let now: Golden;
  before(async function () {
    this.timeout(20_000);
    now = await golden();
  });

  it("are as listed in graphs/ (otherwise look at the change, and run build/scripts/golden_graphs.js)", () => {
    expect(now.listings.size).to.be.above(10);
    for (const [path, text] of now.listings) {
      const listed = readFileSync(path, "utf8").split("\n");
      const lines = text.split("\n");
      const line = lines.findIndex((l, i) => l !== listed[i]);
      expect(
        line === -1 && listed.length === lines.length,
        `${relative(root, path)} differs from line ${line + 1} on`,
      ).to.equal(true);
    }
  });

  it("cost what graphs/costs.json says", () => {
    const pinned = numbersOf(JSON.parse(readFileSync(costsFile, "utf8")));
    const counted = numbersOf(now.costs);
    const changes = [...new Set([...pinned.keys(), ...counted.keys()])].flatMap((name) => {
      const [was, is] = [pinned.get(name), counted.get(name)];
      return was === is ? [] : [`${name}: ${is ?? "nothing"}, ${was ?? "nothing"} before`];
    });
    const advice = "if that is wanted, run build/scripts/golden_graphs.js and commit graphs/costs.json";
    expect(changes, `costs changed; ${advice}\n${changes.join("\n")}\n`).to.deep.equal([]);
  });
});

/** Every number within `value`, by its path: `encoder step flops pass1`. */
function numbersOf(value: unknown, path = ""): Map<string, number> {
  if (typeof value === "number") return new Map([[path, value]]);
  return new Map(
    Object.entries(value as Record<string, unknown>).flatMap(([key, v]) => [
      ...numbersOf(v, path ? `${path} ${key}` : key),
    ]),
  );
}
