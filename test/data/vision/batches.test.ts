import { expect } from "chai";
import { rmSync } from "node:fs";
import type { Batch, InputSpec } from "../../../src/data/batch.js";
import type { Augmentation } from "../../../src/data/vision/augment.js";
import { ImageBatches, type ImageBatchOptions } from "../../../src/data/vision/batches.js";
import { imageAt } from "../../../src/data/vision/images.js";
import { BatchPool } from "../../../src/data/vision/pool.js";
import { readImages } from "../../../src/data/vision/read.js";
import { recipeOf, type Recipe } from "../../../src/data/vision/recipe.js";
import { must } from "../../../src/util/assert.js";
import { pictures, writeClassFolders } from "../../support/images.js";
import { refusal } from "../../support/refusal.js";
import { temporaryFolder } from "../../support/temp.js";

const statistics = { mean: [0.5, 0.4, 0.3], std: [0.2, 0.25, 0.5] };
const inputs = { x: { dtype: "float32", shape: ["batch", 3, 8, 8] } } satisfies Record<string, InputSpec>;
const classes = { labels: { dtype: "int64", shape: ["batch"] } } satisfies Record<string, InputSpec>;
const soft = { labels: { dtype: "float32", shape: ["batch", 3] } } satisfies Record<string, InputSpec>;
const everything: Augmentation = { flip: true, crop: 1, randAugment: { operations: 1, magnitude: 9 }, mixup: 0.4 };

const set = pictures(20);
const recipe = (augmentation: Augmentation = {}, targets: Record<string, InputSpec> = soft) =>
  recipeOf(set, inputs, targets, { statistics, augmentation });
const open = (augmentation: Augmentation, options: Partial<ImageBatchOptions> = {}) =>
  new ImageBatches(set, recipe(augmentation), { batchSize: 6, shuffle: true, seed: 3, ...options });

async function take(source: ImageBatches, calls: number): Promise<(Batch | null)[]> {
  const batches: (Batch | null)[] = [];
  while (batches.length < calls) batches.push(await source.next());
  return batches;
}
const data = (batch: Batch | null | undefined, name: string): number[] =>
  Array.from(must(batch?.feeds[name], name).data, Number);

describe("batches of images", () => {
  const folder = temporaryFolder();

  it("are normalised channel by channel, with the classes of their images", async () => {
    const source = new ImageBatches(set, recipe({}, classes), { batchSize: 2, examples: Int32Array.of(7, 4) });
    const batch = await source.next();
    expect(batch?.feeds["x"]?.dims).to.deep.equal([2, 3, 8, 8]);
    expect(data(batch, "labels")).to.deep.equal([1, 1]);
    const { pixels } = imageAt(set, 4);
    const blue = data(batch, "x").slice((3 + 2) * 64);
    blue.forEach((value, k) => expect(value).to.be.closeTo((pixels[3 * k + 2]! / 255 - 0.3) / 0.5, 1e-6));
    expect(await source.next()).to.equal(null);
  });

  it("mix images and probabilities by the same share with the same partners", async () => {
    const plain = data(await open({}).next(), "x");
    const own = data(await open({}).next(), "labels");
    const batch = await open({ mixup: 1 }).next();
    const [x, labels] = [data(batch, "x"), data(batch, "labels")];
    const pixels = (values: number[], i: number): number[] => values.slice(192 * i, 192 * (i + 1));
    const likely = (values: number[], i: number): number[] => values.slice(3 * i, 3 * (i + 1));
    const shares = new Set<string>();
    for (let i = 0; i < 6; i++) {
      // The partner and the share that explain the image explain its label.
      const explained = [0, 1, 2, 3, 4, 5].flatMap((j) => {
        const [a, b, mixed] = [pixels(plain, i), pixels(plain, j), pixels(x, i)];
        const norm = a.reduce((sum, v, k) => sum + (v - b[k]!) ** 2, 0);
        const share = norm === 0 ? 1 : a.reduce((sum, v, k) => sum + (mixed[k]! - b[k]!) * (v - b[k]!), 0) / norm;
        const error = mixed.reduce((sum, v, k) => sum + Math.abs(v - share * a[k]! - (1 - share) * b[k]!), 0);
        return error < 1e-3 ? [{ j, share }] : [];
      });
      const [{ j, share }] = explained as [{ j: number; share: number }];
      expect(explained).to.have.length(1);
      if (j !== i) shares.add(share.toFixed(4));
      likely(labels, i).forEach((p, c) =>
        expect(p).to.be.closeTo(share * likely(own, i)[c]! + (1 - share) * likely(own, j)[c]!, 1e-5),
      );
    }
    expect(shares.size).to.equal(1);
  });

  it("are the same from worker threads as from this one, whatever their number", async () => {
    const here = await take(open(everything), 11);
    for (const size of [1, 3]) {
      const pool = new BatchPool({ set, recipe: recipe(everything) }, size);
      try {
        expect(await take(open(everything, { pool }), 11)).to.deep.equal(here);
      } finally {
        await pool.close();
      }
    }
    expect(here[4]).to.equal(null);
    expect(data(here[5], "x")).to.not.deep.equal(data(here[0], "x"));
  });

  it("go on from a saved position with the same bits, also where batches were made ahead", async () => {
    const pool = new BatchPool({ set, recipe: recipe(everything) }, 2);
    try {
      const source = open(everything, { pool });
      await take(source, 6);
      const state = JSON.parse(JSON.stringify(source.state())) as ReturnType<typeof source.state>;
      const rest = await take(source, 5);
      for (const other of [open(everything, { seed: 8 }), open(everything, { pool })]) {
        await other.next();
        other.restore(state);
        expect(other.state()).to.deep.equal(state);
        expect(await take(other, 5)).to.deep.equal(rest);
      }
    } finally {
      await pool.close();
    }
  });

  it("see other parts of an image's file in each epoch, the same ones in whichever thread", async () => {
    await writeClassFolders(folder.path, ["ant", "bee", "cat"], 4);
    const { train } = await readImages(folder.path, { size: 8 });
    const parts = (scale: readonly [number, number]): Recipe =>
      recipeOf(train, inputs, classes, {
        statistics,
        augmentation: { resizedCrop: { scale, ratio: [1, 1] } },
      });
    const from = (recipe: Recipe, options: Partial<ImageBatchOptions> = {}) =>
      new ImageBatches(train, recipe, { batchSize: 12, ...options });
    const here = await take(from(parts([0.1, 0.5])), 3);
    expect(data(here[2], "x")).to.not.deep.equal(data(here[0], "x"));
    const pool = new BatchPool({ set: train, recipe: parts([0.1, 0.5]) }, 2);
    try {
      expect(await take(from(parts([0.1, 0.5]), { pool }), 3)).to.deep.equal(here);
      // All of an image, as an evaluation sees it.
      const plain = new ImageBatches(train, recipeOf(train, inputs, classes, { statistics, augmentation: {} }), {
        batchSize: 12,
      });
      expect(await from(parts([1, 1])).next()).to.deep.equal(await plain.next());
      rmSync(must(train.files?.[3], "a file"));
      for (const source of [from(parts([0.1, 0.5])), from(parts([0.1, 0.5]), { pool })])
        expect(await refusal(source.next())).to.match(/ant\/3\.JPEG: Input file is missing/);
    } finally {
      await pool.close();
    }
  });

  it("pass on what a worker fails with", async () => {
    const broken = { ...recipe(), target: { name: "labels", spec: { dtype: "string", shape: ["batch"] } } } as const;
    const pool = new BatchPool({ set, recipe: broken }, 1);
    const error = await open({}, { pool }).next().then(String, String);
    expect(error).to.match(/"labels" is string/);
    await pool.close();
  });

  it("refuse what does not fit", async () => {
    const refused = (of: () => unknown): Promise<string> => refusal(Promise.resolve().then(of));
    const size = { x: { dtype: "float32", shape: ["batch", 3, 16, 16] } } satisfies Record<string, InputSpec>;
    const settings = { statistics, augmentation: {} };
    expect(await refused(() => recipeOf(set, size, soft, settings))).to.match(
      /"x" is float32 \[batch, 3, 16, 16\]; images of pictures are float32 \[batch, 3, 8, 8\]/,
    );
    expect(await refused(() => recipeOf(set, { ...inputs, y: inputs.x }, soft, settings))).to.match(/has 2 inputs/);
    expect(await refused(() => recipe({ mixup: 1 }, classes))).to.match(/patch with --loss soft-cross-entropy/);
    expect(await refused(() => open({}).restore(open({ flip: true }).state()))).to.match(
      /augmented by {"flip":true}, these are by {}/,
    );
  });
});
