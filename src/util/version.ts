import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function packageVersion(folder: string): string {
  const file = join(folder, "package.json");
  if (!existsSync(file)) return packageVersion(dirname(folder));
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

/** This package's version, from its package.json. */
export const version: string = packageVersion(dirname(fileURLToPath(import.meta.url)));
