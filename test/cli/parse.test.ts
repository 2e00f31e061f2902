import { expect } from "chai";
import { InvalidArgumentError } from "commander";
import { integer, list, number, numbers } from "../../src/cli/parse.js";

describe("option values", () => {
  it("reads numbers, and refuses what is none", () => {
    expect(number()("1e-3")).to.equal(0.001);
    for (const text of ["", " ", "1,5", "five", "NaN", "Infinity", "1e999", "0x"]) {
      expect(() => number()(text), text).to.throw(InvalidArgumentError, "expected a number");
    }
  });

  it("holds numbers to their range", () => {
    expect(number({ min: 0, max: 1 })("1")).to.equal(1);
    expect(() => number({ min: 0, max: 1 })("1.01")).to.throw("expected a number from 0 to 1");
    expect(() => number({ min: 0, above: true })("0")).to.throw("expected a number > 0");
    expect(number({ min: 0 })("0")).to.equal(0);
  });

  it("reads whole numbers only where they are whole", () => {
    expect(integer()("-100")).to.equal(-100);
    for (const text of ["1.5", "1e3", "99999999999999999999", "", "3 "]) {
      expect(() => integer()(text), text).to.throw("expected a whole number");
    }
    expect(() => integer({ min: 1 })("0")).to.throw("expected a whole number >= 1");
  });

  it("reads lists, and collects repeated options", () => {
    expect(numbers({ min: 0 })("1,0.5")).to.deep.equal([1, 0.5]);
    expect(() => numbers()("1,,2")).to.throw("expected a number");
    expect(list("a,b", list("c", undefined))).to.deep.equal(["c", "a", "b"]);
    expect(() => list("a,,b", undefined)).to.throw("expected names");
  });
});
