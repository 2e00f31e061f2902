import sharp from "sharp";
import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { augment, drawMixup, mirror, randomCrop, symmetricBeta } from "../../../src/data/vision/augment.js";
import { resizePart } from "../../../src/data/vision/decode.js";
import type { Image } from "../../../src/data/vision/images.js";
import { operations, randAugment, strongest } from "../../../src/data/vision/rand_augment.js";
import { drawBox, type Box, type ResizedCrop } from "../../../src/data/vision/resized_crop.js";
import { must } from "../../../src/util/assert.js";
import { sha256Of } from "../../../src/util/hash.js";
import { Rng } from "../../../src/util/rng.js";
import { root } from "../../support/root.js";

interface Case {
  operation: keyof typeof operations;
  level: number;
  sign: number;
  /** Of the pixels that it makes. */
  sha256: string;
}
const fixture = JSON.parse(readFileSync(join(root, "test", "fixtures", "augmentations.json"), "utf8")) as {
  height: number;
  width: number;
  pixels: string;
  cases: Case[];
  crops: (ResizedCrop & { height: number; width: number; draws: number[]; box: Box })[];
  resized: { box: Box; size: number; pixels: string }[];
};
const pixels = Uint8Array.from(Buffer.from(fixture.pixels, "base64"));
const photo: Image = { height: fixture.height, width: fixture.width, pixels };

/** An image whose red is the number of the row, from 1, and whose green is that of the column. */
function numbered(height: number, width: number): Image {
  const pixels = Array.from({ length: height * width }, (_, k) => [Math.trunc(k / width) + 1, (k % width) + 1, 9]);
  return { height, width, pixels: Uint8Array.from(pixels.flat()) };
}
const red = ({ pixels }: Image): number[] => [...pixels].filter((_, k) => k % 3 === 0);
const green = ({ pixels }: Image): number[] => [...pixels].filter((_, k) => k % 3 === 1);

describe("augmentation", () => {
  for (const name of Object.keys(operations).filter((each) => each !== "identity")) {
    it(`${name} is torchvision's, bit for bit`, () => {
      const cases = fixture.cases.filter(({ operation }) => operation === name);
      for (const { operation, level, sign, sha256 } of cases) {
        const made = operations[operation].apply(photo, level / strongest, sign);
        expect(sha256Of(made.pixels), `level ${level}, sign ${sign}`).to.equal(sha256);
      }
      expect(cases.some(({ sha256 }) => sha256 !== sha256Of(photo.pixels))).to.equal(true);
    });
  }

  it("sees the parts of images that torchvision's RandomResizedCrop sees, by the same draws", () => {
    for (const { height, width, scale, ratio, draws, box } of fixture.crops) {
      let taken = 0;
      const uniform = (): number => must(draws[taken++], "a draw");
      const int = (n: number): number => Math.floor(uniform() * n);
      const drawn = drawBox({ height, width }, { scale, ratio }, { uniform, int });
      expect(drawn, `${height} x ${width}`).to.deep.equal(box);
      expect(taken).to.equal(draws.length);
    }
    const fallbacks = fixture.crops.filter(({ draws }) => draws.length === 20);
    expect(new Set(fallbacks.map(({ box }) => Math.sign(box.left - box.top))).size).to.equal(2);
  });

  it("resizes what is seen as torchvision does: shrunk, to two levels; enlarged, to a fraction of a pixel's place", async () => {
    for (const { box, size, pixels: expected } of fixture.resized) {
      const made = await resizePart(sharp(photo.pixels, { raw: { ...photo, channels: 3 } }), box, size, size);
      const levels = Buffer.from(expected, "base64");
      const apart = Array.from(levels, (level, k) => Math.abs(level - must(made[k], "a level")));
      const isShrunk = size <= box.height;
      expect(Math.max(...apart), `${box.width} x ${box.height} to ${size}`).to.be.at.most(isShrunk ? 2 : 12);
      expect(apart.reduce((sum, x) => sum + x, 0) / apart.length).to.be.at.most(isShrunk ? 0.5 : 4);
    }
  });

  it("mirrors rows", () => {
    const made = mirror(numbered(2, 3));
    expect(red(made)).to.deep.equal([1, 1, 1, 2, 2, 2]);
    expect(green(made)).to.deep.equal([3, 2, 1, 3, 2, 1]);
  });

  it("crops every place of the padded image, each about as often", () => {
    const counts = new Map<string, number>();
    const rng = new Rng("crop");
    for (let i = 0; i < 900; i++) {
      const made = randomCrop(numbered(3, 3), 1, rng);
      const middle = `${red(made)[4]},${green(made)[4]}`;
      counts.set(middle, (counts.get(middle) ?? 0) + 1);
      const [row, column] = [must(red(made)[4], "row"), must(green(made)[4], "column")];
      expect(red(made)[0]).to.equal(row === 1 || column === 1 ? 0 : row - 1);
      expect(green(made)[8]).to.equal(row === 3 || column === 3 ? 0 : column + 1);
    }
    expect(counts.size).to.equal(9);
    // 100 each; the standard error is 9.4.
    for (const count of counts.values()) expect(count).to.be.within(60, 140);
  });

  it("gives the same image for the same key, and leaves its input as it was", () => {
    const before = photo.pixels.slice();
    const all = { flip: true, crop: 2, randAugment: { operations: 2, magnitude: 9 } } as const;
    const once = augment(photo, all, new Rng(1, "augment", 0, 5));
    expect(augment(photo, all, new Rng(1, "augment", 0, 5))).to.deep.equal(once);
    expect(augment(photo, all, new Rng(1, "augment", 1, 5))).to.not.deep.equal(once);
    expect(photo.pixels).to.deep.equal(before);
    expect(augment(photo, {}, new Rng(1))).to.equal(photo);
  });

  it("flips half of the images", () => {
    const rng = new Rng("flip");
    const flips = Array.from({ length: 1000 }, () => augment(photo, { flip: true }, rng) !== photo);
    // 500; the standard error is 16.
    expect(flips.filter(Boolean).length).to.be.within(440, 560);
  });

  it("draws every operation of RandAugment, and as many as asked", () => {
    const rng = new Rng("operations");
    const kinds = new Set(
      Array.from({ length: 400 }, () =>
        Buffer.from(randAugment(photo, { operations: 1, magnitude: 9 }, rng).pixels).toString("base64"),
      ),
    );
    // Eight have a sign, five have none.
    expect(kinds.size).to.equal(2 * 8 + 5);
  });

  it("mixes by a Beta distribution: mean ½, variance 1 / (8α + 4)", () => {
    for (const alpha of [0.2, 1, 2]) {
      const rng = new Rng("beta", alpha);
      const draws = Array.from({ length: 4000 }, () => symmetricBeta(alpha, rng));
      const mean = draws.reduce((sum, x) => sum + x, 0) / draws.length;
      const variance = draws.reduce((sum, x) => sum + (x - 0.5) ** 2, 0) / draws.length;
      const expected = 1 / (8 * alpha + 4);
      expect(Math.abs(mean - 0.5)).to.be.below(4 * Math.sqrt(expected / draws.length));
      // κ < 3 is the kurtosis of a Beta distribution of this kind: the relative standard error is below √(2 / 4000) = 2.2 %.
      expect(variance / expected).to.be.within(0.93, 1.07);
    }
    expect(symmetricBeta(1e-4, new Rng(0))).to.be.within(0, 1);
    expect([...drawMixup(5, 1, new Rng(0)).partners].sort()).to.deep.equal([0, 1, 2, 3, 4]);
  });
});
