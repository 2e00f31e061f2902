import {
  closeSync,
  existsSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmSync,
  writeSync,
} from "node:fs";
import { dirname } from "node:path";
import { UserError } from "./assert.js";

const reasons: Record<string, string> = {
  ENOSPC: "the disk is full; free some space",
  EDQUOT: "the disk quota is used up; free some space",
  EFBIG: "the file system does not take a file that large",
  EACCES: "permission denied; choose a folder that you may write to",
  EPERM: "permission denied; choose a folder that you may write to",
  EROFS: "the file system is read-only; choose another folder",
  ENOENT: "no such file or folder",
  ENOTDIR: "a part of the path is not a folder",
  EISDIR: "it is a folder, not a file",
  EEXIST: "it exists already",
  EMFILE: "too many files are open",
  ENAMETOOLONG: "the name is too long",
};

const codeOf = (error: unknown): string | undefined =>
  error instanceof Error && "code" in error && typeof error.code === "string" ? error.code : undefined;

/** Whether `error` says that a file or folder is not there. */
export const isAbsent = (error: unknown): boolean => codeOf(error) === "ENOENT";

/** `error` as one line about `path` where the operating system gave it; anything else comes back as it is. */
export function fileError(error: unknown, path: string, action: "read" | "write"): unknown {
  const code = codeOf(error);
  if (code === undefined || error instanceof UserError) return error;
  return new UserError(`${path}: cannot ${action}: ${reasons[code] ?? code}`);
}

/** Runs `body`, turning errors of the operating system into one line about `path`. */
export function onFile<T>(path: string, action: "read" | "write", body: () => T): T {
  try {
    return body();
  } catch (error) {
    throw fileError(error, path, action);
  }
}

/** Fills `target` with the file's bytes from `offset` on; where the file ends before, throws a `UserError` of `ended(byte)`. */
export function readFully(fd: number, target: Uint8Array, offset: number, ended: (byte: number) => string): void {
  for (let done = 0; done < target.byteLength;) {
    const n = readSync(fd, target, done, Math.min(target.byteLength - done, 1 << 30), offset + done);
    if (n === 0) throw new UserError(ended(offset + done));
    done += n;
  }
}

/** Writes all of `bytes` at the file's current position. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  for (let done = 0; done < bytes.byteLength;) {
    done += writeSync(fd, bytes, done, Math.min(bytes.byteLength - done, 1 << 30));
  }
}

/**
 * Gives `write` a temporary file beside `path`, then renames it to `path`: whoever reads `path` sees the old file or the
 * new one, never a part. On an error the temporary file is removed and nothing has changed.
 */
export function writeAtomically(path: string, write: (fd: number) => void): void {
  const temporary = `${path}.tmp-${process.pid}`;
  onFile(path, "write", () => {
    const fd = openSync(temporary, "w");
    let complete = false;
    try {
      try {
        write(fd);
        fsyncSync(fd);
      } finally {
        closeSync(fd);
      }
      renameSync(temporary, path);
      complete = true;
    } finally {
      if (!complete) rmSync(temporary, { force: true });
    }
  });
}

/** Makes the folder `path` and those above it, where they are not there yet. */
export function makeFolder(path: string): void {
  onFile(path, "write", () => {
    try {
      mkdirSync(path, { recursive: true });
    } catch (error) {
      // Node calls a file system that is read-only absent, when it makes several: asked for one folder, it says what is the matter.
      if (isAbsent(error)) mkdirSync(firstMissing(path));
      throw error;
    }
  });
}

function firstMissing(path: string): string {
  const above = dirname(path);
  return existsSync(above) ? path : firstMissing(above);
}

/** Makes what was created or renamed in a folder last through a loss of power. Windows has no such thing for folders. */
export function syncFolder(path: string): void {
  if (process.platform === "win32") return;
  const fd = openSync(path, "r");
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Writes a file whole or not at all (see `writeAtomically`). */
export const writeFileAtomically = (path: string, content: string | Uint8Array): void =>
  writeAtomically(path, (fd) => writeAll(fd, typeof content === "string" ? Buffer.from(content) : content));
