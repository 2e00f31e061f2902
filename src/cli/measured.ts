import type { Command, Option } from "commander";
import type { Batch, BatchSource } from "../data/batch.js";
import type { Manifest } from "../format/manifest.js";
import type { Context } from "./context.js";
import type { DataFlags } from "./dataset.js";
import { UsageError } from "./failure.js";
import { addGraphOptions, type GraphFlags } from "./graph_options.js";
import { addImageOptions, checkImageFlags, type ImageFlags } from "./image_options.js";
import { addDataOptions } from "./options.js";
import type { DataSettings } from "./run.js";

type Kind = "texts" | "images" | "graphs";

/** The options of a command that reads any data set, of texts, images or graphs. */
export interface MeasuredFlags extends DataFlags, ImageFlags, GraphFlags {
  data: string;
  on?: "train" | "valid" | "test";
  batchSize: number;
  batches: number;
  seed: number;
}

/** The options on the command line that belong to one kind of data. */
export type GivenOptions = Readonly<Record<Kind, string[]>>;

const adders: Readonly<Record<Kind, (command: Command) => Command>> = {
  texts: addDataOptions,
  images: addImageOptions,
  graphs: addGraphOptions,
};

/** Adds the options of every kind of data. Returns which were given of those that belong to one kind, by the kind. */
export function addMeasuredOptions(command: Command): () => GivenOptions {
  const added = (kind: Kind): readonly Option[] => {
    const before = command.options.length;
    adders[kind](command);
    return command.options.slice(before);
  };
  const options = { texts: added("texts"), images: added("images"), graphs: added("graphs") };
  const given = (kind: Kind): string[] =>
    options[kind]
      .filter((option) => command.getOptionValueSource(option.attributeName()) === "cli")
      .map(({ long }) => long ?? "");
  return () => ({ texts: given("texts"), images: given("images"), graphs: given("graphs") });
}

/** What the model takes, by its inputs. */
function kindOf({ inputs }: Manifest): Kind {
  if ("edge_index" in inputs) return "graphs";
  const [first] = Object.values(inputs);
  return first?.dtype === "float32" && first.shape.length === 4 ? "images" : "texts";
}

/**
 * The first `batches` batches of a data set, as `manifest`'s model takes them. Throws `UsageError` for options of another kind of data than
 * the model's. `given`: those on the command line; `before`: how a run before read its texts.
 */
export async function measuredBatches(
  context: Context,
  manifest: Manifest,
  flags: MeasuredFlags,
  given: GivenOptions,
  before: Partial<DataSettings>,
): Promise<Batch[]> {
  const kind = kindOf(manifest);
  for (const other of ["texts", "images", "graphs"] as const) {
    const [option] = given[other];
    if (other !== kind && option !== undefined)
      throw new UsageError(`${option} is for ${other}, and the model takes ${kind}; leave it out`);
  }
  if (kind === "texts" && flags.on !== undefined)
    throw new UsageError("--on is for images and graphs; of texts, name the file of the split");
  const source = await open[kind](context, manifest, flags, before);
  const batches = [];
  for (let batch = await source.next(); batch && batches.length < flags.batches; batch = await source.next()) {
    batches.push(batch);
  }
  return batches;
}

type Open = (
  context: Context,
  manifest: Manifest,
  flags: MeasuredFlags,
  before: Partial<DataSettings>,
) => Promise<BatchSource>;

const open: Readonly<Record<Kind, Open>> = {
  texts: async (_, manifest, flags, before) => {
    const dataset = await import("./dataset.js");
    const settings = dataset.dataSettings(manifest, flags, before);
    const tokenizer = await dataset.openTokenizer(manifest, settings);
    const examples = await dataset.openExamples(manifest, flags.data, settings, flags.format);
    return dataset.batches(manifest, examples, tokenizer, { batchSize: flags.batchSize });
  },
  images: async (context, manifest, flags) => {
    const { on = "train" } = flags;
    if (on === "valid") throw new UsageError("--on valid is for graphs; images have train and test");
    checkImageFlags(flags);
    const { VisionData } = await import("./vision_data.js");
    // As many images as are measured on, so that no others are decoded.
    const count = flags.batchSize * flags.batches;
    const images = await VisionData.open(context, manifest, {
      ...flags,
      format: undefined,
      maxTrain: count,
      maxTest: count,
    });
    return images.mixed(on, { batchSize: flags.batchSize, seed: flags.seed });
  },
  graphs: async (_, manifest, flags) => {
    const { openGraphs } = await import("./graph_data.js");
    return (await openGraphs(manifest, flags)).batchesOf(flags.on ?? "train", { batchSize: flags.batchSize });
  },
};
