import { expect } from "chai";
import { didYouMean, nearMisses } from "../../src/util/suggest.js";

describe("suggestions for misspelt names", () => {
  it("takes a swap of two letters for one mistake, as a letter too many, too few or wrong", () => {
    const bases = ["sgd", "adamw", "adahessian", "sassha", "shampoo", "kfac"];
    for (const wrong of ["admaw", "adaw", "adammw", "adamv"])
      expect(nearMisses(wrong, bases), wrong).to.include("adamw");
    expect(nearMisses("sdg", bases)).to.deep.equal(["sgd"]);
    expect(nearMisses("kafc", bases)).to.deep.equal(["kfac"]);
  });

  it("names the nearest first, three at most, and nothing that is far", () => {
    expect(nearMisses("rho", ["roh", "rho_min", "rh", "tho", "who"])).to.deep.equal(["roh", "rh", "tho"]);
    expect(nearMisses("lookahead", ["looksam", "gsam", "plain"])).to.deep.equal([]);
    expect(didYouMean("SMA", ["sam"])).to.equal('; did you mean "sam"?');
    expect(didYouMean("lion", ["sam"])).to.equal("");
  });
});
