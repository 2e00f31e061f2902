import { expect } from "chai";
import { cpSync, mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import sharp from "sharp";
import { holdOut, imageAt } from "../../../src/data/vision/images.js";
import { readImages } from "../../../src/data/vision/read.js";
import { picture, writeCifar10, writeCifar100, writeClassFolders } from "../../support/images.js";
import { refusal } from "../../support/refusal.js";
import { shared } from "../../support/root.js";
import { temporaryFolder } from "../../support/temp.js";

describe("data sets of images", () => {
  const folder = temporaryFolder();
  const at = (...names: string[]): string => join(folder.path, ...names);
  const classes = ["ant", "bee", "cat"];

  before(async () => {
    writeCifar10(at("cifar10"), 20, 4);
    writeCifar100(at("cifar100"));
    await writeClassFolders(at("folders"), classes, 40);
  });

  it("are read from CIFAR-10's binary files, pixel by pixel", async () => {
    const { train, test } = await readImages(at("cifar10"), { size: 8 });
    expect(train.labels).to.have.length(24);
    expect([...train.labels.slice(18)]).to.deep.equal([8, 9, 2, 3, 4, 5]);
    expect(imageAt(train, 13).pixels).to.deep.equal(picture(3, 32, 13));
    expect(imageAt(test, 1).pixels).to.deep.equal(picture(1, 32, 1001));
    expect(train.classes[3]).to.equal("cat");
  });

  it("are read from CIFAR-100's, with the fine labels and their names where they are", async () => {
    const plain = await readImages(at("cifar100"), { size: 8 });
    expect([...plain.train.labels]).to.deep.equal([42]);
    expect(plain.train.classes[42]).to.equal("42");
    const names = Array.from({ length: 100 }, (_, i) => `name ${i}`);
    cpSync(at("cifar100"), at("named"), { recursive: true });
    writeFileSync(at("named", "fine_label_names.txt"), `${names.join("\n")}\n`);
    expect((await readImages(at("named"), { size: 8 })).test.classes).to.deep.equal(names);
  });

  it("are read from folders of classes: decoded, resized and cut to a square", async () => {
    const { train, test } = await readImages(at("folders"), { size: 12 });
    expect(train.classes).to.deep.equal(classes);
    expect([...train.labels]).to.deep.equal([0, 1, 2].flatMap((label) => new Array<number>(40).fill(label)));
    const first = train.labels.indexOf(1);
    expect(imageAt(train, first).pixels).to.deep.equal(picture(1, 12, 0));
    expect(test.labels).to.have.length(120);
    const small = await readImages(at("folders"), { size: 6 });
    expect(imageAt(small.train, 0).pixels).to.have.length(6 * 6 * 3);
  });

  it("are cut out of the middle of what is resized to more than their size", async () => {
    const { train } = await readImages(at("folders"), { size: 8, resize: 12 });
    const whole = picture(0, 12, 0);
    const rows = [2, 3, 4, 5, 6, 7, 8, 9].flatMap((y) => [...whole.subarray(3 * (12 * y + 2), 3 * (12 * y + 10))]);
    expect([...imageAt(train, 0).pixels]).to.deep.equal(rows);
  });

  it("take grey, transparent and other shapes of images", async () => {
    cpSync(at("folders"), at("shapes"), { recursive: true });
    const grey = sharp({ create: { width: 20, height: 10, channels: 3, background: "#808080" } });
    await grey
      .clone()
      .greyscale()
      .png()
      .toFile(at("shapes", "train", "ant", "00.png"));
    await grey
      .clone()
      .ensureAlpha(0.5)
      .webp({ lossless: true })
      .toFile(at("shapes", "train", "ant", "01.webp"));
    const { train } = await readImages(at("shapes"), { size: 8 });
    for (const i of [1, 2]) for (const level of imageAt(train, i).pixels) expect(level).to.be.closeTo(0x80, 1);
  });

  it("leave out an image that does not decode, and count it", async () => {
    cpSync(at("folders"), at("damaged"), { recursive: true });
    const broken = at("damaged", "train", "bee", "1.JPEG");
    truncateSync(broken, 300);
    const { train } = await readImages(at("damaged"), { size: 12 });
    expect(train.skipped.map(({ path }) => path)).to.deep.equal([broken]);
    expect(train.labels.filter((label) => label === 1)).to.have.length(39);
    const whole = await readImages(at("folders"), { size: 12 });
    expect(imageAt(train, 118).pixels).to.deep.equal(imageAt(whole.train, 119).pixels);
  });

  it("are limited to a choice that depends on nothing else", async () => {
    const limits = { size: 8, maxTrain: 7, maxTest: 2 };
    const { train, test } = await readImages(at("cifar10"), limits);
    expect(train.labels).to.have.length(7);
    expect(test.labels).to.have.length(2);
    expect((await readImages(at("cifar10"), limits)).train.labels).to.deep.equal(train.labels);
    expect(new Set(train.labels).size).to.be.above(3);
    const { kept, held } = holdOut("data", 10, 3);
    expect([...kept, ...held].sort((a, b) => a - b)).to.deep.equal([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect(held).to.have.length(3);
    expect(holdOut("data", 10, 0).kept).to.have.length(10);
  });

  it("are read from the shared mirror", async function () {
    const path = shared("cifar10");
    if (path === null) return this.skip();
    const { train, test } = await readImages(path, { size: 8, maxTrain: 60, maxTest: 100 });
    expect(train.skipped).to.have.length(0);
    expect(test.labels).to.have.length(100);
    expect(new Set(test.labels).size).to.equal(10);
    const mean = train.pixels.reduce((sum, level) => sum + level, 0) / train.pixels.length / 255;
    expect(mean).to.be.within(0.4, 0.55);
  });

  describe("refuse", () => {
    const changed = (source: string, name: string, change: (path: string) => void): string => {
      cpSync(at(source), at(name), { recursive: true });
      change(at(name));
      return at(name);
    };
    const cases: Record<string, [() => string, RegExp, number?]> = {
      "a folder that is not there": [() => at("nowhere"), /nowhere: no such folder/],
      "a folder without a data set": [
        () => changed("cifar100", "other", (path) => rmSync(join(path, "train.bin"))),
        /other: no data set of images is there; expected data_batch_1\.bin, .* or a folder train/,
      ],
      "a file of another length": [
        () => changed("cifar10", "short", (path) => truncateSync(join(path, "data_batch_1.bin"), 5000)),
        /data_batch_1\.bin: 5000 bytes, expected a multiple of 3073/,
      ],
      "a missing file": [
        () => changed("cifar10", "missing", (path) => rmSync(join(path, "test_batch.bin"))),
        /test_batch\.bin: no such file/,
      ],
      "a label out of range": [
        () =>
          changed("cifar10", "label", (path) => {
            const file = join(path, "test_batch.bin");
            writeFileSync(file, readFileSync(file).fill(10, 3073, 3074));
          }),
        /test_batch\.bin image 1: label 10, expected 0 to 9/,
      ],
      "packed JPEGs that are cut off": [
        () =>
          changed("cifar100", "packed", (path) => {
            rmSync(join(path, "train.bin"));
            const bytes = [2, 0, 0, 0, 1, 0, 0, 0, 0xff, 3, 1, 0, 4, 9, 0, 0xd8, 0xff];
            writeFileSync(join(path, "train.c10j"), Buffer.concat([Buffer.from("C10J"), Buffer.from(bytes)]));
          }),
        /train\.c10j: it ends within image 1 of 2/,
      ],
      "images that are resized to less than their size": [
        () => at("folders"),
        /folders: images resized to 6 pixels have no 8x8 to cut out; give a larger --resize/,
        6,
      ],
      "a size to resize to where images have one": [
        () => at("cifar10"),
        /cifar10: --resize is for images of class folders, and cifar10 has none/,
        12,
      ],
      "no classes": [
        () =>
          changed("folders", "none", (path) =>
            classes.forEach((c) => rmSync(join(path, "train", c), { recursive: true })),
          ),
        /train: no classes; expected a folder with images for each/,
      ],
      "a class without images": [
        () =>
          changed("folders", "empty", (path) => {
            rmSync(join(path, "val", "bee"), { recursive: true });
            mkdirSync(join(path, "val", "bee"));
          }),
        /bee: no images; expected JPEG, PNG or WebP files/,
      ],
      "a class to test that is not there to train on": [
        () => changed("folders", "unknown", (path) => rmSync(join(path, "train", "bee"), { recursive: true })),
        /val: class "bee" is not among those to train on: "ant", "cat"/,
      ],
      "more than 1 % of images that do not decode": [
        () =>
          changed("folders", "broken", (path) => {
            for (const name of ["0.png", "2.png"]) writeFileSync(join(path, "train", "ant", name), "not an image");
          }),
        /train: 2 of 120 images do not decode, more than 1 %; the first is \S*ant\/0\.png: \w+/,
      ],
    };
    for (const [name, [path, message, resize]] of Object.entries(cases)) {
      it(name, async () => {
        expect(await refusal(readImages(path(), { size: 8, resize }))).to.match(message);
      });
    }
  });
});
