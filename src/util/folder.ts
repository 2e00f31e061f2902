import { existsSync, lstatSync, mkdirSync, readdirSync, renameSync, rmSync, rmdirSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { check } from "./assert.js";
import { isAbsent, onFile } from "./files.js";

/** What is at `path` now: nothing (or an empty folder), a folder with contents, or something else. */
function occupant(path: string): "nothing" | "folder" | "other" {
  return onFile(path, "read", () => {
    try {
      if (!lstatSync(path).isDirectory()) return "other";
    } catch (error) {
      if (isAbsent(error)) return "nothing";
      throw error;
    }
    return readdirSync(path).length === 0 ? "nothing" : "folder";
  });
}

/**
 * Gives `write` a temporary folder beside `path`, and renames it to `path` once `write` is done: `path` is whole or it is
 * not there. On an error the temporary folder goes and nothing has changed. What stands at `path` already is
 * replaced only where `replace` says that it may be (given its path), so that a slip of the pen deletes no one's home.
 */
export async function writeFolderAtomically<T>(
  path: string,
  replace: ((existing: string) => boolean) | undefined,
  write: (folder: string) => Promise<T>,
): Promise<T> {
  const target = resolve(path);
  const found = occupant(target);
  check(found !== "other", `${path}: it exists and is not a folder; choose another name`);
  if (found === "folder") {
    check(replace, `${path}: the folder exists already; choose another name, or replace it with --force`);
    check(
      replace(target),
      `${path}: the folder holds other things than a package, so it is not replaced; choose another name`,
    );
  }
  const beside = (word: string): string => join(dirname(target), `.${basename(target)}.${word}-${process.pid}`);
  const temporary = beside("tmp");
  onFile(path, "write", () => mkdirSync(temporary));
  try {
    const result = await write(temporary);
    onFile(path, "write", () => {
      if (found === "nothing") {
        // An empty folder may stand there; one that has been filled meanwhile makes this fail.
        if (existsSync(target)) rmdirSync(target);
        return renameSync(temporary, target);
      }
      const old = beside("old");
      renameSync(target, old);
      try {
        renameSync(temporary, target);
      } catch (error) {
        renameSync(old, target);
        throw error;
      }
      rmSync(old, { recursive: true, force: true });
    });
    return result;
  } catch (error) {
    rmSync(temporary, { recursive: true, force: true });
    throw error;
  }
}
