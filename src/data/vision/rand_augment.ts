import type { Rng } from "../../util/rng.js";
import type { Image } from "./images.js";
import {
  adjustBrightness,
  adjustColor,
  adjustContrast,
  autoContrast,
  equalize,
  posterize,
  solarize,
} from "./pixel_operations.js";
import { rotate, shear, translate } from "./warps.js";

export interface RandAugmentOptions {
  /** How many operations an image gets, drawn with replacement. */
  operations: number;
  /** Their strength, 0 to 30. */
  magnitude: number;
}

/** The largest magnitude. */
export const strongest = 30;

interface Operation {
  /** What it does with an image at strength `m`, 0 to 1; `sign` is −1 or 1. */
  apply(image: Image, m: number, sign: number): Image;
  /** Whether the sign is drawn. */
  signed: boolean;
}

const plain = (apply: Operation["apply"]): Operation => ({ apply, signed: false });
const signed = (apply: Operation["apply"]): Operation => ({ apply, signed: true });

/** The operations with torchvision's strengths; its sharpness is left out. */
export const operations = {
  identity: plain((image) => image),
  shearX: signed((image, m, sign) => shear(image, sign * 0.3 * m, 0)),
  shearY: signed((image, m, sign) => shear(image, 0, sign * 0.3 * m)),
  translateX: signed((image, m, sign) => translate(image, sign * Math.trunc((150 / 331) * image.width * m), 0)),
  translateY: signed((image, m, sign) => translate(image, 0, sign * Math.trunc((150 / 331) * image.height * m))),
  rotate: signed((image, m, sign) => rotate(image, sign * 30 * m)),
  brightness: signed((image, m, sign) => adjustBrightness(image, 1 + sign * 0.9 * m)),
  color: signed((image, m, sign) => adjustColor(image, 1 + sign * 0.9 * m)),
  contrast: signed((image, m, sign) => adjustContrast(image, 1 + sign * 0.9 * m)),
  posterize: plain((image, m) => posterize(image, 8 - Math.round(4 * m))),
  solarize: plain((image, m) => solarize(image, 255 * (1 - m))),
  autoContrast: plain(autoContrast),
  equalize: plain(equalize),
} satisfies Record<string, Operation>;

const all: readonly Operation[] = Object.values(operations);

/** Random operations of one strength, one after another. Cubuk et al. 2020, RandAugment, as torchvision has it. */
export function randAugment(image: Image, { operations: count, magnitude }: RandAugmentOptions, rng: Rng): Image {
  let result = image;
  for (let k = 0; k < count; k++) {
    const operation = all[rng.int(all.length)];
    const sign = operation?.signed && rng.int(2) === 1 ? -1 : 1;
    result = operation?.apply(result, magnitude / strongest, sign) ?? result;
  }
  return result;
}
