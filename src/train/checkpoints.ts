import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import type { PackageRuntime } from "../runtime/runtime.js";
import { check, UserError } from "../util/assert.js";
import { fileError, makeFolder, onFile, syncFolder, writeFileAtomically } from "../util/files.js";
import { sha256Of, sha256OfFile } from "../util/hash.js";
import { FolderLock, refuseLocked } from "../util/lock.js";

const trainerFile = "trainer.json";
/** Parameters and optimizer state, in a checkpoint's folder. */
export const stateFile = "state.safetensors";
const format = "curvsam-trainer-state";
/** Names of the locks on a folder of checkpoints, and on the whole folder of a run that writes more there than `fit` does. */
export const checkpointsLock = "checkpoints";
export const runLock = "run";

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
const trainerSchema = stateSchema.extend({
  format: z.literal(format),
  version: z.literal(1),
  /** SHA-256 of `state.safetensors`, and of all of this file but itself; checkpoints of before have neither. */
  stateSha256: z.string().optional(),
  sha256: z.string().optional(),
});

export type TrainerState = z.output<typeof stateSchema>;

const replaced = (name: string): string => `.${name}-old`;

/** Checkpoints in `folder`, by step, oldest first. One that was being replaced when its process was killed is there too. */
export function listCheckpoints(folder: string): { step: number; path: string }[] {
  if (!existsSync(folder)) return [];
  const names = onFile(folder, "read", () => readdirSync(folder));
  const steps = names.flatMap((name) => /^\.?checkpoint-(\d+)(-old)?$/.exec(name)?.[1] ?? []);
  return [...new Set(steps)]
    .flatMap((step) => {
      const name = [`checkpoint-${step}`, replaced(`checkpoint-${step}`)].find((each) => names.includes(each));
      return name === undefined ? [] : [{ step: Number(step), path: join(folder, name) }];
    })
    .sort((a, b) => a.step - b.step);
}

/** Refuses a folder that has checkpoints, for a run that goes on with none. */
export function refuseCheckpoints(folder: string): void {
  check(
    listCheckpoints(folder).length === 0,
    `${folder}: it holds the checkpoints of an earlier run; resume from it, or choose another folder`,
  );
}

/**
 * The checkpoints of a run: folders `checkpoint-<step>/` with `state.safetensors` (parameters, optimizer and curvature state,
 * counters) and `trainer.json`, with checksums of both. Each is written under another name, then renamed, so that one that is
 * there is whole; it is read back before an older one goes. Random numbers need no state: each step draws from its own stream of the seed.
 *
 * The folder is this process's until `close`.
 */
export class Checkpoints {
  private readonly lock: FolderLock;

  /** `keep`: how many of the last stay; those of the state's ranking stay beside them. A run that resumes nothing needs a folder without any. */
  constructor(
    readonly folder: string,
    private readonly keep: number,
    resuming: boolean,
  ) {
    refuseLocked(folder, checkpointsLock);
    if (!resuming) refuseCheckpoints(folder);
    check(Number.isInteger(keep) && keep >= 1, `checkpoints to keep: ${keep}; a whole number from 1 on expected`);
    makeFolder(folder);
    this.lock = FolderLock.take(folder, checkpointsLock);
    try {
      this.clear();
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Lets another process have the folder. */
  close(): void {
    this.lock.release();
  }

  /** Writes the checkpoint of `state.step` and returns its path. */
  async save(runtime: PackageRuntime, state: TrainerState): Promise<string> {
    const name = `checkpoint-${state.step}`;
    const path = join(this.folder, name);
    const temporary = join(this.folder, `.${name}`);
    try {
      rmSync(temporary, { recursive: true, force: true });
      mkdirSync(temporary);
      const stateSha256 = await runtime.saveState(join(temporary, stateFile));
      writeFileAtomically(join(temporary, trainerFile), trainerText({ format, version: 1, ...state, stateSha256 }));
      syncFolder(temporary);
      await verify(temporary).catch(() => {
        throw new UserError(
          `${path}: what was written does not read back; the checkpoint before it is kept, look at the disk`,
        );
      });
      // Rename cannot replace a folder that is not empty.
      const old = join(this.folder, replaced(name));
      if (existsSync(path)) renameSync(path, old);
      renameSync(temporary, path);
      syncFolder(this.folder);
      rmSync(old, { recursive: true, force: true });
    } catch (error) {
      rmSync(temporary, { recursive: true, force: true });
      throw fileError(error, path, "write");
    }
    this.prune(state);
    return path;
  }

  /** Removes what a process that was killed left half-done, and puts back what it was about to replace. */
  private clear(): void {
    onFile(this.folder, "write", () => {
      for (const { step, path } of listCheckpoints(this.folder)) {
        const shown = join(this.folder, `checkpoint-${step}`);
        if (path !== shown) renameSync(path, shown);
      }
      for (const name of readdirSync(this.folder)) {
        if (name.startsWith(".checkpoint-")) rmSync(join(this.folder, name), { recursive: true });
      }
    });
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

function trainerText(trainer: Omit<z.input<typeof trainerSchema>, "sha256">): string {
  return `${JSON.stringify({ ...trainer, sha256: sha256Of(JSON.stringify(trainer)) }, null, 2)}\n`;
}

/** A checkpoint as read. */
export interface ReadCheckpoint {
  path: string;
  statePath: string;
  state: TrainerState;
  /** What is wrong with later checkpoints, which were passed over for this one. */
  damaged: string[];
}

/**
 * Reads `trainer.json` of the checkpoint at `path`, or of the last sound one in the folder `path`, and holds its files to their
 * checksums. Throws a UserError that names the file where the checkpoint, or every one of the folder, is damaged.
 */
export async function readCheckpoint(path: string): Promise<ReadCheckpoint> {
  const all = listCheckpoints(path).reverse();
  if (all.length === 0) {
    const isOne = existsSync(join(path, trainerFile)) || /(^|[\\/])checkpoint-\d+[\\/]?$/.test(path);
    check(
      isOne && existsSync(path),
      `${path}: no checkpoint is there; name a folder checkpoint-<step>, or the one that holds them`,
    );
    return { ...(await verifyOne(path)), damaged: [] };
  }
  const damaged: string[] = [];
  for (const { path } of all) {
    try {
      return { ...(await verify(path)), damaged };
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      damaged.push(error.message);
    }
  }
  throw new UserError(`${damaged[0] ?? path}; ${path} has no sound checkpoint`);
}

/** `verify`, which says to whom named one checkpoint which other there is. */
async function verifyOne(path: string): Promise<Omit<ReadCheckpoint, "damaged">> {
  try {
    return await verify(path);
  } catch (error) {
    const step = Number(/(\d+)[\\/]?$/.exec(path)?.[1] ?? 0);
    const before = listCheckpoints(dirname(resolve(path))).findLast((each) => each.step < step);
    if (!before || !(error instanceof UserError)) throw error;
    throw new UserError(`${error.message}; the one before it is ${before.path}`);
  }
}

/** Reads the checkpoint at `path`; refuses one whose files are not what was written. */
async function verify(path: string): Promise<Omit<ReadCheckpoint, "damaged">> {
  const [file, statePath] = [join(path, trainerFile), join(path, stateFile)];
  const text = onFile(file, "read", () => readFileSync(file, "utf8"));
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    throw new UserError(`${file}: it is not JSON; the checkpoint is damaged`);
  }
  const result = trainerSchema.safeParse(json);
  if (!result.success) {
    const issue = result.error.issues[0];
    throw new UserError(`${file}: ${issue?.path.join(".") ?? ""}: ${issue?.message ?? "not valid"}`);
  }
  const { sha256, stateSha256 } = result.data;
  const altered = "it is not what was written: its checksum differs; the checkpoint is damaged";
  const rest = Object.fromEntries(Object.entries(json as Record<string, unknown>).filter(([key]) => key !== "sha256"));
  check(sha256 === undefined || sha256Of(JSON.stringify(rest)) === sha256, `${file}: ${altered}`);
  check(existsSync(statePath), `${statePath}: it is missing; the checkpoint is damaged`);
  check(stateSha256 === undefined || (await hashOf(statePath)) === stateSha256, `${statePath}: ${altered}`);
  return { path, statePath, state: stateSchema.parse(result.data) };
}

async function hashOf(path: string): Promise<string> {
  try {
    return await sha256OfFile(path);
  } catch (error) {
    throw fileError(error, path, "read");
  }
}
