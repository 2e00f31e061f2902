import { Command, Option } from "commander";
import type { CommandBuilder } from "../context.js";
import { augmentation } from "../augmentation.js";
import { addPartOptions } from "../optimizer.js";
import { integer, number } from "../parse.js";
import { addTrainOptions } from "../train_run.js";
import type { VisionFlags } from "../vision.js";
import { addImageOptions } from "../image_options.js";

const help = `
--data is a folder with CIFAR-10 or CIFAR-100 in their binary form, or with train/ and val/ (or test/) that have a folder
for each class, with JPEG, PNG and WebP files; these are resized to the model's size and held in memory. An image that
does not decode is named and left out; more than 1 % of them is an error.

--model is an ONNX classifier of float32 images [batch, 3, height, width], of which a package is made in --output with
the options of the optimizer, or a package that curvsam patch made: then the optimizer is the package's.

--augment takes, with commas between them: flip; crop:4, of the image padded by 4 pixels; randaugment:2:9, two of
RandAugment's operations at magnitude 9; mixup:0.2, whose labels are probabilities; resizedcrop:0.08:1:0.75:1.3333, a part with
8 to 100 % of the area of the image in its file, of a width 0.75 to 1.3333 times its height, resized to the image size. What is drawn depends on the seed, the
epoch and the image alone: neither on --workers nor on where a run was stopped and resumed.

Training evaluates on the test images, or on the --hold-out ones; then the best checkpoint is measured on the test images.

Examples:
  $ curvsam vision --model resnet.onnx --data cifar-10-batches-bin --augment flip,crop:4 --optimizer curvsam --lr 0.1 --momentum 0.9 --rho 0.05 --epochs 20 --output run
  $ curvsam vision --model resnet.onnx --data cifar-10-batches-bin --augment flip,crop:4 --epochs 20 --output run --resume
  $ curvsam vision --model out --data imagenette --resize 256 --augment resizedcrop,flip --batch-size 64 --lr 0.01 --metric accuracy
  $ curvsam vision --model resnet.onnx --data cifar-10-batches-bin --output run --evaluate test`;

export const command: CommandBuilder = (context) => {
  const command = new Command("vision")
    .helpGroup("Tasks:")
    .summary("train and evaluate an image classifier")
    .description("Trains an image classifier on CIFAR or on folders of images, and evaluates it.")
    .requiredOption("--model <path>", "an ONNX file, or a folder that curvsam patch wrote")
    .requiredOption("--data <folder>", "the images")
    .addOption(
      new Option("--format <name>", "of the data (default: by what is in the folder)").choices([
        "cifar10",
        "cifar100",
        "cifar10-jpeg",
        "folder",
      ]),
    );
  addImageOptions(command)
    .option("--max-train <n>", "a random choice of so many training images, always the same", integer({ min: 1 }))
    .option("--max-test <n>", "a random choice of so many test images, always the same", integer({ min: 1 }))
    .option("--hold-out <n>", "training images to evaluate on instead of the test images", integer({ min: 0 }), 0)
    .option(
      "--augment <list>",
      "what is done to training images, e.g. flip,crop:4,randaugment:2:9,mixup:0.2",
      augmentation,
    )
    .option("--label-smoothing <e>", "share of the target spread over all classes", number({ min: 0, max: 1 }))
    .option("--workers <n>", "threads that make batches ahead; 0: none", integer({ min: 0 }), 1)
    .addOption(new Option("--evaluate <split>", "only evaluate, on this split").choices(["train", "valid", "test"]))
    .option("--weights <path>", "--evaluate: safetensors or a checkpoint to take (default: the run's)");
  const before = new Set(command.options);
  addPartOptions(command);
  const parts = command.options.filter((option) => !before.has(option) || option.long === "--label-smoothing");
  return addTrainOptions(command, { batchSize: 128 })
    .addHelpText("after", help)
    .action(async (flags: VisionFlags) => {
      const { runVision } = await import("../vision.js");
      const chosen = parts.filter((option) => command.getOptionValueSource(option.attributeName()) === "cli");
      await runVision(
        context,
        flags,
        chosen.map(({ long }) => long ?? ""),
      );
    });
};
