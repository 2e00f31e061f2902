import { fork, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { checkpointsLock, listCheckpoints, runLock } from "../../train/checkpoints.js";
import { lockHolder, type LockHolder } from "../../util/lock.js";
import { exitCodes } from "../failure.js";
import type { SweepFile } from "./file.js";
import { argumentsOf, type SweepRun } from "./runs.js";

const main = fileURLToPath(new URL("../main.js", import.meta.url));

/** How a run's process ended, and the JSON document that it printed; `interrupted` ones go on later. */
export type Outcome =
  { kind: "finished"; printed: string } | { kind: "interrupted" } | { kind: "failed" | "killed"; message: string };

/** A run of a sweep in a process of its own, with a fixed number of threads. */
export class RunProcess {
  readonly started = Date.now();
  readonly ended: Promise<Outcome>;
  private readonly child: ChildProcess;
  private stdout = "";
  private stderr = "";

  constructor(
    readonly run: SweepRun,
    file: SweepFile,
    threads: number,
  ) {
    const args = [file.program, ...argumentsOf(run), ...placeOf(file, run), `--threads=${threads}`, "--json"];
    // In a process group of its own Ctrl-C reaches it once, from here: two would end it without a checkpoint.
    this.child = fork(main, args, { silent: true, detached: true, execArgv: [] });
    const kill = (): void => void this.child.kill("SIGKILL");
    process.once("exit", kill);
    this.child.stdout?.setEncoding("utf8").on("data", (text: string) => (this.stdout += text));
    this.child.stderr
      ?.setEncoding("utf8")
      .on("data", (text: string) => (this.stderr = (this.stderr + text).slice(-4096)));
    this.ended = new Promise((resolve, reject) => {
      this.child.on("error", reject);
      this.child.on("close", (code, signal) => {
        process.removeListener("exit", kill);
        resolve(this.outcome(code, signal));
      });
    });
  }

  /** Lets it save a checkpoint and end. */
  interrupt(): void {
    this.child.kill("SIGINT");
  }

  private outcome(code: number | null, signal: string | null): Outcome {
    if (code === exitCodes.success) return { kind: "finished", printed: this.stdout };
    if (code === exitCodes.interrupted) return { kind: "interrupted" };
    if (code === null) return { kind: "killed", message: `its process was ended by ${signal ?? "a signal"}` };
    const last = this.stderr.trimEnd().split("\n").at(-1) ?? "";
    return { kind: "failed", message: last.replace(/^curvsam: /, "") || `its process ended with code ${code}` };
  }
}

/** The process that works on the run already, a job of an array say. */
export const workerOf = ({ program }: SweepFile, { folder }: SweepRun): LockHolder | null =>
  program === "glue" ? lockHolder(folder, runLock) : lockHolder(join(folder, "checkpoints"), checkpointsLock);

/** Where the run's files go, and whether it goes on from a checkpoint that is there. */
function placeOf({ program }: SweepFile, { folder }: SweepRun): string[] {
  if (program !== "glue") {
    const resumes = listCheckpoints(join(folder, "checkpoints")).length > 0;
    return [`--output=${folder}`, ...(resumes ? ["--resume"] : [])];
  }
  const resumes = existsSync(join(folder, "package")) && listCheckpoints(folder).length > 0;
  return [`--output_dir=${folder}`, resumes ? "--resume_from_checkpoint" : "--overwrite_output_dir"];
}
