import type { Command } from "commander";
import { UsageError } from "./failure.js";
import { counted } from "./format.js";
import { integer, numbers } from "./parse.js";

/** The options that say how images are read. */
export interface ImageFlags {
  imageSize?: number;
  resize?: number;
  mean?: number[];
  std?: number[];
}

export const addImageOptions = (command: Command): Command =>
  command
    .option("--image-size <n>", "folders: height and width of the images (default: the model's)", integer({ min: 1 }))
    .option(
      "--resize <n>",
      "folders: pixels of the shorter side before the middle is cut out (default: the image size)",
      integer({ min: 1 }),
    )
    .option("--mean <r,g,b>", "what pixels from 0 to 1 are normalised with (default: the data set's)", numbers())
    .option(
      "--std <r,g,b>",
      "the same: standard deviations (default: the data set's)",
      numbers({ min: 0, above: true }),
    );

export function checkImageFlags({ mean, std }: ImageFlags): void {
  for (const [flag, values] of Object.entries({ "--mean": mean, "--std": std })) {
    if (values !== undefined && values.length !== 3)
      throw new UsageError(`${flag}: ${counted(values.length, "number")}; expected three, of red, green and blue`);
  }
}
