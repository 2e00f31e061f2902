import { Command, Option } from "commander";
import { splitNames, type SplitName } from "../../data/graph/graphs.js";
import type { SamplerOptions } from "../../data/sampler.js";
import type { Manifest } from "../../format/manifest.js";
import type { CommandBuilder } from "../context.js";
import { evaluatePackage } from "../evaluate_run.js";
import { UsageError } from "../failure.js";
import { addTrainOptions, trainPackage, type TrainFlags } from "../train_run.js";

const help = `
--data is a folder of the Open Graph Benchmark (raw/*.csv.gz and split/), with labels of graphs or of nodes, or a
citation graph of Planetoid as one JSON object: numNodes, numFeatures, numClasses, features (of each node, the numbers
of those that it has), labels, edges (each once), train, val, test.

Inputs of the model go by name: x [nodes, features], edge_index [2, edges], edge_attr [edges, features], batch [nodes]
(each node's graph within the batch) and graph_sizes [graphs]. Metrics are the benchmark's: rocauc and ap for --loss
bce-with-logits, rmse for mse, acc for cross-entropy; where nodes have the labels, patch with --ignore-index -1.

Training evaluates on the split "valid" and in the end measures the best checkpoint on "test".

Examples:
  $ curvsam graph out --data ogbg_molbbbp --epochs 20 --batch-size 32 --metric rocauc
  $ curvsam graph out --data cora.json --epochs 200 --eval-every 10 --metric acc
  $ curvsam graph out --data ogbg_molbbbp --evaluate test --weights out/run/checkpoints/checkpoint-510`;

interface Flags extends TrainFlags {
  data: string;
  split?: string;
  directed?: true;
  /** Of --no-normalise: true where it is not given. */
  normalise: boolean;
  evaluate?: SplitName;
  weights?: string;
}

export const command: CommandBuilder = (context) => {
  const command = new Command("graph")
    .helpGroup("Tasks:")
    .summary("train and evaluate a package on graphs")
    .description("Trains a package on a data set of graphs, or on the nodes of one, and evaluates it.")
    .argument("<package>", "a folder that curvsam patch wrote")
    .requiredOption("--data <path>", "a folder of the Open Graph Benchmark, or a citation graph as JSON")
    .option("--split <kind>", "the kind of split, where the folder has several: scaffold, say")
    .option("--directed", "Open Graph Benchmark: take edges as they are, without their opposites")
    .option("--no-normalise", "citation graphs: leave features at 1, instead of a sum of 1 for each node")
    .addOption(new Option("--evaluate <split>", "only evaluate, on this split").choices(splitNames))
    .option("--weights <path>", "--evaluate: safetensors or a checkpoint to take (default: the run's)");
  return addTrainOptions(command, { batchSize: 32 })
    .addHelpText("after", help)
    .action(async (folder: string, flags: Flags) => {
      const { evaluate: only, weights, batchSize, seed } = flags;
      if (weights !== undefined && only === undefined)
        throw new UsageError("--weights belongs to --evaluate, which is missing; --init starts from other weights");
      if (only !== undefined) {
        return evaluatePackage(context, folder, { ...flags, run: flags.output, weights }, async ({ manifest }) => {
          const { evaluationOn } = await openData(manifest, flags);
          return evaluationOn(only);
        });
      }
      return trainPackage(context, folder, flags, true, async ({ manifest }) => {
        const { batchesOf, evaluationOn } = await openData(manifest, flags);
        return {
          train: batchesOf("train", { batchSize, seed, shuffle: true, dropLast: flags.dropLast ?? false }),
          measured: batchesOf("train", { batchSize }),
          evaluation: evaluationOn("valid"),
          test: evaluationOn("test"),
        };
      });
    });
};

/** The data set, as batches of a split and as evaluations on one. */
async function openData(manifest: Manifest, flags: Flags) {
  const { data, split: kind, directed, normalise } = flags;
  const [{ isOgb, readOgb }, { readPlanetoid }, { GraphBatches }, { graphMeasure }] = await Promise.all([
    import("../../data/graph/ogb.js"),
    import("../../data/graph/planetoid.js"),
    import("../../data/graph/batches.js"),
    import("../../tasks/graph/measure.js"),
  ]);
  const set = isOgb(data) ? await readOgb(data, { split: kind, directed }) : await readPlanetoid(data, { normalise });
  const { ignoreIndex } = manifest.loss;
  const ignored = typeof ignoreIndex === "number" ? { ignoreIndex } : {};
  const batchesOf = (split: SplitName, sampling: SamplerOptions) =>
    new GraphBatches(set, manifest.inputs, manifest.targets, { split, ...ignored, ...sampling });
  const measure = graphMeasure(manifest);
  const evaluationOn = (split: SplitName) => ({ source: batchesOf(split, { batchSize: flags.batchSize }), measure });
  return { batchesOf, evaluationOn };
}
