import { expect } from "chai";
import { bfloatToNumber, halfToNumber, numberToBfloat, numberToHalf } from "../../src/util/half.js";

/** Bits of every number that a format of 16 bits has, without what is no number. */
const bitsOf = (toNumber: (h: number) => number): number[] =>
  Array.from({ length: 65536 }, (_, h) => h).filter((h) => !Number.isNaN(toNumber(h)));

for (const { name, toNumber, fromNumber, infinity } of [
  { name: "float16", toNumber: halfToNumber, fromNumber: numberToHalf, infinity: 0x7c00 },
  { name: "bfloat16", toNumber: bfloatToNumber, fromNumber: numberToBfloat, infinity: 0x7f80 },
])
  describe(name, () => {
    it("takes every number that it has as it is", () => {
      expect(bitsOf(toNumber).filter((h) => fromNumber(toNumber(h)) !== h)).to.deep.equal([]);
    });

    it("takes the nearest of two, and the even one from halfway", () => {
      const wrong = bitsOf(toNumber).filter((h) => {
        const next = h + 1;
        if ((h & 0x7fff) >= infinity - 1) return false;
        const [low, high] = [toNumber(h), toNumber(next)];
        const at = (share: number): number => fromNumber(low + (high - low) * share);
        return at(0.25) !== h || at(0.75) !== next || at(0.5) !== (h % 2 === 0 ? h : next);
      });
      expect(wrong).to.deep.equal([]);
    });

    it("has infinities, and something that is no number", () => {
      expect([fromNumber(Infinity), fromNumber(-1e300)]).to.deep.equal([infinity, infinity + 0x8000]);
      expect(toNumber(fromNumber(NaN))).to.be.NaN;
    });
  });
