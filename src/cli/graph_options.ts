import type { Command } from "commander";

/** The options that say how graphs are read. */
export interface GraphFlags {
  split?: string;
  directed?: true;
  /** Of --no-normalise: true where it is not given. */
  normalise: boolean;
}

export const addGraphOptions = (command: Command): Command =>
  command
    .option("--split <kind>", "the kind of split, where the folder has several: scaffold, say")
    .option("--directed", "Open Graph Benchmark: take edges as they are, without their opposites")
    .option("--no-normalise", "citation graphs: leave features at 1, instead of a sum of 1 for each node");
