import { readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { check } from "./assert.js";
import { isAbsent, onFile } from "./files.js";

/** Who holds a folder. */
export interface LockHolder {
  pid: number;
  host: string;
  /** When the process began, as its system counts it: a later process of the same number is another one. Null where unknown. */
  began: string | null;
  /** When it took the folder. */
  since: string;
}

/**
 * One process at a time in a folder: a file `.<name>.lock` that says which. It is removed at `release`, and when the process ends by
 * itself; one that a killed process of this machine left is recognised and taken over.
 */
export class FolderLock {
  private readonly onExit = (): void => this.release();
  private held = true;

  private constructor(private readonly file: string) {
    process.once("exit", this.onExit);
  }

  /** Throws a UserError that names the process which has the folder. */
  static take(folder: string, name: string): FolderLock {
    const file = fileOf(folder, name);
    const self: LockHolder = {
      ...{ pid: process.pid, host: hostname(), began: beganAt(process.pid) },
      since: new Date().toISOString(),
    };
    onFile(file, "write", () => {
      for (;;) {
        try {
          writeFileSync(file, `${JSON.stringify(self)}\n`, { flag: "wx" });
          return;
        } catch (error) {
          if (!isTaken(error)) throw error;
        }
        refuseHolder(folder, file);
        removeStale(folder, file);
      }
    });
    return new FolderLock(file);
  }

  release(): void {
    process.removeListener("exit", this.onExit);
    if (this.held) rmSync(this.file, { force: true });
    this.held = false;
  }
}

const fileOf = (folder: string, name: string): string => join(folder, `.${name}.lock`);

const isTaken = (error: unknown): boolean => error instanceof Error && "code" in error && error.code === "EEXIST";

/** The process that has the folder; null where none has, or where it is known to be gone. */
export function lockHolder(folder: string, name: string): LockHolder | null {
  const holder = read(fileOf(folder, name));
  return holder && isAlive(holder) ? holder : null;
}

/** Throws a UserError where another process has the folder. */
export const refuseLocked = (folder: string, name: string): void => refuseHolder(folder, fileOf(folder, name));

function refuseHolder(folder: string, file: string): void {
  const holder = read(file);
  if (!holder || !isAlive(holder)) return;
  const { pid, host, since } = holder;
  check(
    false,
    `${folder}: process ${pid} on ${host} has worked here since ${since}; choose another folder or wait for it` +
      (host === hostname() ? "" : `; if it is gone, remove ${file}`),
  );
}

/** Takes a lock of no one away; where another process was faster and its lock is there by now, that is put back. */
function removeStale(folder: string, file: string): void {
  const aside = `${file}-${process.pid}`;
  try {
    renameSync(file, aside);
  } catch (error) {
    if (isAbsent(error)) return;
    throw error;
  }
  const holder = read(aside);
  if (holder && isAlive(holder)) renameSync(aside, file);
  else rmSync(aside, { force: true });
  refuseHolder(folder, file);
}

/** Null where there is none, or where it tells nothing: its process was killed as it wrote it. */
function read(file: string): LockHolder | null {
  try {
    const { pid, host, began, since } = JSON.parse(readFileSync(file, "utf8")) as Partial<LockHolder>;
    return Number.isInteger(pid) && typeof host === "string"
      ? { pid: pid ?? 0, host, began: began ?? null, since: since ?? "some time ago" }
      : null;
  } catch {
    return null;
  }
}

/** Processes of another machine cannot be looked at, and count as alive. */
function isAlive({ pid, host, began }: LockHolder): boolean {
  if (host !== hostname()) return true;
  try {
    process.kill(pid, 0);
  } catch (error) {
    // Only a process that is there can refuse a signal.
    return error instanceof Error && "code" in error && error.code === "EPERM";
  }
  return began === null || began === beganAt(pid);
}

/** The machine's start and the process's, where Linux tells. */
function beganAt(pid: number): string | null {
  try {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const stat = readFileSync(`/proc/${pid}/stat`, "utf8");
    // The name of the program, in parentheses, may hold anything: fields are counted behind it. The start is field 22.
    return `${boot} ${stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19] ?? ""}`;
  } catch {
    return null;
  }
}
