import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function find(folder: string): string {
  const file = join(folder, "package.json");
  if (existsSync(file) && (JSON.parse(readFileSync(file, "utf8")) as { name?: string }).name === "curvsam")
    return folder;
  return find(dirname(folder));
}

/** The repository's root. */
export const root: string = find(dirname(fileURLToPath(import.meta.url)));

/** A file of the shared data beside the repository, or null where that is absent: then tests skip. */
export function shared(path: string): string | null {
  const file = join(root, "..", "shared", "data", path);
  return existsSync(file) ? file : null;
}
