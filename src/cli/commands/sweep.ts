import { Command, InvalidArgumentError } from "commander";
import type { CommandBuilder } from "../context.js";
import { integer } from "../parse.js";
import type { SweepFlags } from "../sweep/sweep.js";
import { command as glue } from "./glue.js";
import { command as graph } from "./graph.js";
import { command as train } from "./train.js";
import { command as vision } from "./vision.js";

const help = `
The file says what to run, over what, and what counts:

  program: glue                  # or graph, train, vision; base's keys are its options
  base: {task_name: cola, model: minilm-2.onnx, tokenizer: tokenizer.json, data_dir: glue, do_train: true, do_eval: true}
  grid:                          # every combination; a list of grids searches each
    - {optimizer: [none], learning_rate: [2e-5, 5e-5]}
    - {optimizer: [sam, curvsam], learning_rate: [2e-5, 5e-5], rho: [0.02, 0.05]}
  seeds: [1, 2, 3]
  metric: eval_matthews_correlation

docs/SWEEP.md tells the rest: random search, what a line of the results holds, a job array.

A finished run is never repeated, one that was stopped goes on from its last checkpoint: after Ctrl-C, a time limit
or a crash the same command goes on.

Examples:
  $ curvsam sweep cola.yaml --jobs 2 --threads 1 --time-limit 2h
  $ curvsam sweep cola.yaml --table
  $ sbatch --array=0-$(($(curvsam sweep cola.yaml --count) - 1)) job.sh    # job.sh: curvsam sweep cola.yaml --only $SLURM_ARRAY_TASK_ID`;

/** `90`, `90s`, `45m`, `2h`, `1h30m`: in seconds. */
function seconds(text: string): number {
  const [, hours, minutes, rest] = /^(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?$/.exec(text) ?? [];
  const total = 3600 * Number(hours ?? 0) + 60 * Number(minutes ?? 0) + Number(rest ?? 0);
  if (!(total > 0)) throw new InvalidArgumentError("expected a time such as 90s, 45m or 1h30m");
  return total;
}

export const command: CommandBuilder = (context) =>
  new Command("sweep")
    .helpGroup("Tasks:")
    .summary("run glue, graph, train or vision over a grid or random draws of their options")
    .description("Runs a program over options and seeds, several processes at a time; can be stopped and gone on with.")
    .argument("<file>", "the YAML file of the sweep")
    .option("--jobs <n>", "processes at a time", integer({ min: 1 }), 1)
    .option("--threads <n>", "threads of each (default: the cores shared out)", integer({ min: 1 }))
    .option("--time-limit <time>", "save, stop and report after this: 90s, 45m, 1h30m", seconds)
    .option("--count", "print how many runs there are, and run nothing")
    .option("--list", "print the runs, and run nothing")
    .option("--only <i>", "do this run alone, from 0, as a job of an array does", integer({ min: 0 }))
    .option("--table", "print the table of what is finished, and run nothing")
    .option("--retry", "repeat runs that failed")
    .option("--json", "print one JSON document")
    .addHelpText("after", help)
    .action(async (file: string, flags: SweepFlags) => {
      const { runSweep } = await import("../sweep/sweep.js");
      await runSweep(context, file, flags, (name) => ({ glue, graph, train, vision })[name](context));
    });
