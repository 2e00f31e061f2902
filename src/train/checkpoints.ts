import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { PackageRuntime } from "../runtime/runtime.js";
import { check, UserError } from "../util/assert.js";
import { fileError, onFile } from "../util/files.js";

const trainerFile = "trainer.json";
/** Parameters and optimizer state, in a checkpoint's folder. */
export const stateFile = "state.safetensors";
const format = "curvsam-trainer-state";

const count = z.int().nonnegative();

/** What a checkpoint keeps beside parameters and optimizer state. */
const stateSchema = z.object({
  /** Steps taken, and epochs completed. */
  step: count,
  epoch: count,
  skipped: count,
  skippedInRow: count,
  seed: z.int(),
  threads: count,
  /** The training data's position, as the batch source gave it. */
  source: z.json(),
  /** Losses of the current epoch so far. */
  running: z.object({ loss: z.number(), steps: count }),
  /** Step of the last evaluation; −1 before the first. */
  evaluatedAt: z.int(),
  /** Whether the run was interrupted where an evaluation was to follow. */
  evaluationDue: z.boolean(),
  /** The best evaluations so far, best first, and the goal that they were ranked by. */
  ranking: z.array(z.object({ step: count, value: z.number() })).default([]),
  rankedBy: z.string().default(""),
  /** What early stopping remembers. */
  patience: z
    .object({ by: z.string(), best: z.number().nullable(), stale: count })
    .default({ by: "", best: null, stale: 0 }),
  /** Where a dynamic scale of the loss stands. */
  lossScale: z.object({ scale: z.number().positive(), good: count }).nullable().default(null),
  /** Seconds trained so far, over every run. */
  seconds: z.number().nonnegative(),
  /** Length of the event log. */
  logBytes: count,
});
const trainerSchema = stateSchema.extend({ format: z.literal(format), version: z.literal(1) });

export type TrainerState = z.output<typeof stateSchema>;

/** Checkpoints that are complete in `folder`, by step, oldest first. */
export function listCheckpoints(folder: string): { step: number; path: string }[] {
  if (!existsSync(folder)) return [];
  return onFile(folder, "read", () => readdirSync(folder))
    .flatMap((name) => {
      const [, step] = /^checkpoint-(\d+)$/.exec(name) ?? [];
      return step === undefined ? [] : [{ step: Number(step), path: join(folder, name) }];
    })
    .sort((a, b) => a.step - b.step);
}

/**
 * The checkpoints of a run: folders `checkpoint-<step>/` with `state.safetensors` (parameters, optimizer state, counters) and
 * `trainer.json`. Each is written under another name and then renamed, so that one that is there is whole.
 */
export class Checkpoints {
  /** `keep`: how many of the last stay; those of the state's ranking stay beside them. A run that resumes nothing needs a folder without any. */
  constructor(
    readonly folder: string,
    private readonly keep: number,
    resuming: boolean,
  ) {
    check(
      resuming || listCheckpoints(folder).length === 0,
      `${folder}: it holds the checkpoints of an earlier run; resume from it, or choose another folder`,
    );
    check(Number.isInteger(keep) && keep >= 1, `checkpoints to keep: ${keep}; a whole number from 1 on expected`);
    onFile(folder, "write", () => {
      mkdirSync(folder, { recursive: true });
      for (const name of readdirSync(folder)) {
        if (name.startsWith(".checkpoint-")) rmSync(join(folder, name), { recursive: true });
      }
    });
  }

  /** Writes the checkpoint of `state.step` and returns its path. */
  async save(runtime: PackageRuntime, state: TrainerState): Promise<string> {
    const name = `checkpoint-${state.step}`;
    const path = join(this.folder, name);
    const temporary = join(this.folder, `.${name}`);
    try {
      rmSync(temporary, { recursive: true, force: true });
      mkdirSync(temporary);
      await runtime.saveState(join(temporary, stateFile));
      writeFileSync(join(temporary, trainerFile), `${JSON.stringify({ format, version: 1, ...state }, null, 2)}\n`);
      // Rename cannot replace a folder that is not empty.
      const old = join(this.folder, `.${name}-old`);
      if (existsSync(path)) renameSync(path, old);
      renameSync(temporary, path);
      rmSync(old, { recursive: true, force: true });
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw fileError(error, path, "write");
    }
    this.prune(state);
    return path;
  }

  private prune({ step: now, ranking }: TrainerState): void {
    const best = new Set(ranking.map(({ step }) => step));
    // Later ones are of a run that was abandoned for an older checkpoint of it: not ours to remove.
    const ours = listCheckpoints(this.folder).filter(({ step }) => step <= now);
    for (const { step, path } of ours.slice(0, -this.keep)) {
      if (!best.has(step)) onFile(path, "write", () => rmSync(path, { recursive: true }));
    }
  }
}

/** Reads `trainer.json` of the checkpoint at `path`, or of the last one in the folder `path`. */
export function readCheckpoint(path: string): { path: string; statePath: string; state: TrainerState } {
  const found = existsSync(join(path, trainerFile)) ? path : listCheckpoints(path).at(-1)?.path;
  check(
    found !== undefined,
    `${path}: no checkpoint is there; name a folder checkpoint-<step>, or the one that holds them`,
  );
  const file = join(found, trainerFile);
  const text = onFile(file, "read", () => readFileSync(file, "utf8"));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new UserError(`${file}: it is not JSON; the checkpoint is damaged, use another`);
  }
  const result = trainerSchema.safeParse(json);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new UserError(`${file}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not valid"}`);
  }
  return { path: found, statePath: join(found, stateFile), state: stateSchema.parse(result.data) };
}
