import { InvalidArgumentError } from "commander";
import type { Augmentation } from "../data/vision/augment.js";
import { strongest } from "../data/vision/rand_augment.js";
import { integer, number } from "./parse.js";

/** The number at a place of an item, or its usual value. */
type Numbers = (place: number, parse: (text: string) => number, usual: number) => number;

interface Kind {
  /** How many numbers it takes. */
  most: number;
  read(numbers: Numbers): Augmentation;
}

const kinds = new Map<string, Kind>([
  ["flip", { most: 0, read: () => ({ flip: true }) }],
  ["crop", { most: 1, read: (numbers) => ({ crop: numbers(0, integer({ min: 1 }), 4) }) }],
  ["mixup", { most: 1, read: (numbers) => ({ mixup: numbers(0, number({ min: 0.01, max: 4 }), 0.2) }) }],
  [
    "randaugment",
    {
      most: 2,
      read: (numbers) => ({
        randAugment: {
          operations: numbers(0, integer({ min: 1 }), 2),
          magnitude: numbers(1, integer({ min: 0, max: strongest }), 9),
        },
      }),
    },
  ],
  [
    "resizedcrop",
    {
      most: 4,
      read: (numbers) => {
        const least = numbers(0, number({ min: 0.001, max: 1 }), 0.08);
        const narrowest = numbers(2, number({ min: 0.01, max: 100 }), 3 / 4);
        return {
          resizedCrop: {
            scale: [least, numbers(1, number({ min: least, max: 1 }), 1)],
            ratio: [narrowest, numbers(3, number({ min: narrowest, max: 100 }), Math.max(narrowest, 4 / 3))],
          },
        };
      },
    },
  ],
]);

/** `flip,crop:4,randaugment:2:9,mixup:0.2`: each augmentation with its numbers, which have usual values. */
export function augmentation(text: string): Augmentation {
  const result: Augmentation = {};
  for (const item of text.split(",")) {
    const [name = "", ...given] = item.split(":");
    const kind = kinds.get(name);
    if (!kind) throw new InvalidArgumentError(`"${name}" is not known; use ${[...kinds.keys()].join(", ")}`);
    if (given.length > kind.most)
      throw new InvalidArgumentError(`"${item}" has more numbers than the ${kind.most} of ${name}`);
    Object.assign(
      result,
      kind.read((place, parse, usual) => (given[place] === undefined ? usual : parse(given[place]))),
    );
  }
  if (result.crop !== undefined && result.resizedCrop)
    throw new InvalidArgumentError("crop and resizedcrop both choose what is seen of an image; use one of them");
  return result;
}
