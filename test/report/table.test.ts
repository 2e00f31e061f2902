import { expect } from "chai";
import { formatNumber, markdownTable } from "../../src/report/table.js";

describe("markdownTable", () => {
  it("aligns numbers to the right and escapes what would break it", () => {
    const table = markdownTable(
      ["optimizer", "accuracy", "note"],
      [
        ["SAM|x", 0.912345, "a\nb"],
        ["CurvSAM", null, 3],
      ],
    );
    expect(table.split("\n")).to.deep.equal([
      "| optimizer | accuracy | note   |",
      "| --------- | -------: | ------ |",
      "| SAM\\|x    |   0.9123 | a<br>b |",
      "| CurvSAM   |        – | 3      |",
      "",
    ]);
  });

  it("writes numbers shortly", () => {
    expect([0, 3, 123456, 0.1 + 0.2, 1 / 3, 12.3456, -2.5].map((x) => formatNumber(x))).to.deep.equal([
      "0",
      "3",
      "123456",
      "0.3",
      "0.3333",
      "12.35",
      "-2.5",
    ]);
    expect([1e-5, 1.23456e7, 2e6, NaN, Infinity].map((x) => formatNumber(x))).to.deep.equal([
      "1e-5",
      "1.235e+7",
      "2e+6",
      "NaN",
      "∞",
    ]);
    expect(formatNumber(0.123456, 2)).to.equal("0.12");
  });
});
