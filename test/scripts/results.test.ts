import { readFileSync } from "node:fs";
import { expect } from "chai";
import { pairedTest } from "../../scripts/results/paired.js";
import { resultsFile, withTables } from "../../scripts/results/tables.js";

describe("the tables of results", () => {
  it("are what the committed runs give, to the byte", () => {
    const text = readFileSync(resultsFile, "utf8");
    expect(withTables(text), "run node build/scripts/results/tables.js").to.equal(text);
  });

  it("test pairs as scipy.stats.ttest_rel does", () => {
    const { difference, p } = pairedTest([0.31, 0.28, 0.35, 0.3, 0.33], [0.29, 0.27, 0.3, 0.31, 0.28]);
    expect(difference).to.be.closeTo(0.024, 1e-12);
    expect(p).to.be.closeTo(0.10870095132492358, 1e-9);
    expect(pairedTest([1, 2], [1, 2]).p).to.equal(1);
  });
});
