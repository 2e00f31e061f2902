import { Command, Option } from "commander";
import { splitNames, type SplitName } from "../../data/graph/graphs.js";
import type { CommandBuilder } from "../context.js";
import { evaluatePackage } from "../evaluate_run.js";
import { UsageError } from "../failure.js";
import { openGraphs } from "../graph_data.js";
import { addGraphOptions, type GraphFlags } from "../graph_options.js";
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

interface Flags extends TrainFlags, GraphFlags {
  data: string;
  evaluate?: SplitName;
  weights?: string;
}

export const command: CommandBuilder = (context) => {
  const command = new Command("graph")
    .helpGroup("Tasks:")
    .summary("train and evaluate a package on graphs")
    .description("Trains a package on a data set of graphs, or on the nodes of one, and evaluates it.")
    .argument("<package>", "a folder that curvsam patch wrote")
    .requiredOption("--data <path>", "a folder of the Open Graph Benchmark, or a citation graph as JSON");
  addGraphOptions(command)
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
          const { evaluationOn } = await openGraphs(manifest, flags);
          return evaluationOn(only, batchSize);
        });
      }
      return trainPackage(context, folder, flags, true, async ({ manifest }) => {
        const { batchesOf, evaluationOn } = await openGraphs(manifest, flags);
        return {
          train: batchesOf("train", { batchSize, seed, shuffle: true, dropLast: flags.dropLast ?? false }),
          measured: batchesOf("train", { batchSize }),
          evaluation: evaluationOn("valid", batchSize),
          test: evaluationOn("test", batchSize),
        };
      });
    });
};
