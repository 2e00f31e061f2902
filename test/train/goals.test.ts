import { expect } from "chai";
import { goalName, rank, resolveGoal, watch } from "../../src/train/goals.js";

describe("goals", () => {
  it("less is better of losses and errors, more of everything else, unless told", () => {
    expect(goalName(resolveGoal(undefined))).to.equal("lowest loss");
    expect(resolveGoal({ metric: "mse" }).mode).to.equal("min");
    expect(resolveGoal({ metric: "matthews" }).mode).to.equal("max");
    expect(resolveGoal({ metric: "mse", mode: "max" }).mode).to.equal("max");
  });

  it("rank best first, of equals the earlier, and leave out what is not finite", () => {
    const all = [3, 1, NaN, 1, 2, Infinity].map((value, step) => ({ step, value }));
    const least = all.reduce<typeof all>((ranking, entry) => rank(ranking, entry, "min", 3), []);
    expect(least.map(({ step }) => step)).to.deep.equal([1, 3, 4]);
    const most = all.reduce<typeof all>((ranking, entry) => rank(ranking, entry, "max", 2), []);
    expect(most.map(({ step }) => step)).to.deep.equal([0, 4]);
  });

  it("count what is not better by more than the delta, and NaN, as stale", () => {
    let patience = { by: "", best: null as number | null, stale: 0 };
    const seen = [NaN, 1, 0.95, 0.8, 0.75, NaN].map((value) => {
      patience = watch(patience, value, "min", 0.1);
      return patience.stale;
    });
    expect(seen).to.deep.equal([1, 0, 1, 0, 1, 2]);
    expect(patience.best).to.equal(0.8);
  });
});
