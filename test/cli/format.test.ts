import { expect } from "chai";
import { bytes, columns, counted } from "../../src/cli/format.js";

describe("text of the command line", () => {
  it("writes sizes as people read them", () => {
    expect([0, 1, 999, 1000, 17_600_000, 2.83e9].map(bytes)).to.deep.equal([
      "0 bytes",
      "1 byte",
      "999 bytes",
      "1.0 kB",
      "17.6 MB",
      "2.8 GB",
    ]);
  });

  it("counts with a plural and grouped digits", () => {
    expect(counted(1, "tensor")).to.equal("1 tensor");
    expect(counted(1234567, "tensor")).to.equal("1,234,567 tensors");
  });

  it("aligns columns without trailing blanks", () => {
    expect(
      columns([
        ["a", "long", "x"],
        ["bcd", "e"],
      ]),
    ).to.deep.equal(["  a    long  x", "  bcd  e"]);
  });
});
