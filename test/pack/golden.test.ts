import { expect } from "chai";
import { readFileSync } from "node:fs";
import { relative } from "node:path";
import { goldenListings } from "../support/golden.js";
import { root } from "../support/root.js";

describe("golden listings of the emitted graphs", () => {
  it("are as in graphs/ (otherwise look at the change, and run build/scripts/golden_graphs.js)", async () => {
    const listings = await goldenListings();
    expect(listings.size).to.be.above(10);
    for (const [path, text] of listings) {
      const golden = readFileSync(path, "utf8").split("\n");
      const now = text.split("\n");
      const line = now.findIndex((l, i) => l !== golden[i]);
      expect(
        line === -1 && golden.length === now.length,
        `${relative(root, path)} differs from line ${line + 1} on`,
      ).to.equal(true);
    }
  });
});
