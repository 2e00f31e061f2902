import { InvalidArgumentError } from "commander";
import type { Augmentation } from "../data/vision/augment.js";
import { strongest } from "../data/vision/rand_augment.js";
import { integer, number } from "./parse.js";

/** `flip,crop:4,randaugment:2:9,mixup:0.2`: each augmentation with its numbers, which have usual values. */
export function augmentation(text: string): Augmentation {
  const result: Augmentation = {};
  for (const item of text.split(",")) {
    const [name = "", first, second, ...others] = item.split(":");
    const most = { flip: 0, crop: 1, mixup: 1, randaugment: 2 }[name];
    const given = [first, second, ...others].filter((each) => each !== undefined).length;
    if (most === undefined)
      throw new InvalidArgumentError(`"${name}" is not known; use flip, crop, randaugment and mixup`);
    if (given > most) throw new InvalidArgumentError(`"${item}" has more numbers than the ${most} of ${name}`);
    if (name === "flip") result.flip = true;
    if (name === "crop") result.crop = integer({ min: 1 })(first ?? "4");
    if (name === "mixup") result.mixup = number({ min: 0.01, max: 4 })(first ?? "0.2");
    if (name === "randaugment") {
      const operations = integer({ min: 1 })(first ?? "2");
      result.randAugment = { operations, magnitude: integer({ min: 0, max: strongest })(second ?? "9") };
    }
  }
  return result;
}
