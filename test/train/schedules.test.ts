import { expect } from "chai";
import { schedule } from "../../src/train/schedules.js";
import { UserError } from "../../src/util/assert.js";

describe("schedules", () => {
  const at = (f: ReturnType<typeof schedule>, total: number, steps: number[]) => steps.map((t) => f(t, total));

  it("constant, linear and cosine, as their formulas say", () => {
    expect(at(schedule("constant"), 10, [0, 5, 9, 20])).to.deep.equal([1, 1, 1, 1]);
    expect(at(schedule("linear"), 10, [0, 5, 10, 20])).to.deep.equal([1, 0.5, 0, 0]);
    const cosine = at(schedule("cosine", { end: 0.1 }), 8, [0, 2, 4, 8]);
    [1, 0.1 + 0.45 * (1 + Math.SQRT1_2), 0.55, 0.1].forEach((v, i) => expect(cosine[i]).to.be.closeTo(v, 1e-12));
  });

  it("polynomial falls by the power of what is left, after its warm-up", () => {
    const f = schedule("polynomial", { power: 3, end: 0.2, warmup: 2 });
    const want = [1 / 3, 2 / 3, 1, 0.2 + 0.8 * 0.75 ** 3, 0.2 + 0.8 / 8, 0.2];
    at(f, 10, [0, 1, 2, 4, 6, 10]).forEach((v, i) => expect(v).to.be.closeTo(want[i]!, 1e-12));
    expect(at(schedule("polynomial"), 10, [0, 3, 10])).to.deep.equal(at(schedule("linear"), 10, [0, 3, 10]));
  });

  it("warm up over steps or a fraction of them, and decay over the rest", () => {
    const f = schedule("linear", { warmup: 3 });
    expect(at(f, 11, [0, 1, 2, 3, 7, 11])).to.deep.equal([0.25, 0.5, 0.75, 1, 0.5, 0]);
    expect(at(schedule("linear", { warmup: 0.25 }), 12, [0, 2, 3])).to.deep.equal([0.25, 0.75, 1]);
    expect(schedule("constant", { warmup: 3 })(1, 10)).to.equal(0.5);
    expect(schedule("linear", { warmup: 5 })(5, 5)).to.equal(1);
  });

  it("refuse what makes no sense", () => {
    expect(() => schedule("cosin" as "cosine")).to.throw(UserError, "one of constant, linear, cosine");
    expect(() => schedule("linear", { warmup: -1 })).to.throw(UserError, "warm-up of -1");
    expect(() => schedule("linear", { warmup: 1.5 })).to.throw(UserError, "warm-up of 1.5");
    expect(() => schedule("polynomial", { power: 0 })).to.throw(UserError, "power 0");
    expect(() => schedule("linear", { end: NaN })).to.throw(UserError, "ends at NaN");
  });
});
