import { Option, type Command } from "commander";
import { tableFormats } from "../data/cells.js";
import type { EngineOptions } from "../runtime/options.js";
import type { ChunkOption } from "../train/chunks.js";
import { integer, list } from "./parse.js";

/** The options that say how a text file is read. */
export const addDataOptions = (command: Command): Command =>
  command
    .addOption(
      new Option("--format <name>", "of the files: tsv, csv, jsonl or parquet (default: by their names)").choices(
        tableFormats,
      ),
    )
    .option("--no-header", "tsv, csv: the first line is data; columns go by number from 0")
    .option("--tokenizer <path>", "tokenizer.json, vocab.json beside merges.txt, vocab.txt, or their folder")
    .option("--text <column>", "the column of the text")
    .option("--text-pair <column>", "the column of the second text")
    .option("--label <columns>", "the column of the label", list)
    .option("--label-names <names>", "names of the classes, in the order of their ids", list)
    .option("--max-length <n>", "longest text in tokens; the rest is cut off (default: 128)", integer({ min: 1 }));

export interface RuntimeFlags {
  threads?: number;
  provider?: string;
}

/** The options that say what computes. */
export const addRuntimeOptions = (command: Command): Command =>
  command
    .option("--threads <n>", "threads of the runtime (default: all cores)", integer({ min: 1 }))
    .option("--provider <name>", "cpu, cuda, dml, webgpu or training-wasm (default: cpu)");

const chunk = (text: string): ChunkOption => (text === "auto" || text === "off" ? text : integer({ min: 1 })(text));

/** How many steps are one run of the runtime, for commands that train. */
export const chunkOption = (): Option =>
  new Option("--chunk <n>", "steps in one run of the runtime: a number, auto or off").argParser(chunk).default("auto");

export const runtimeOptions = ({ threads, provider }: RuntimeFlags): EngineOptions => ({ threads, provider });
