import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

function packageVersion(folder: string): string {
  const file = join(folder, "package.json");
  if (!existsSync(file)) return packageVersion(dirname(folder));
  return (JSON.parse(readFileSync(file, "utf8")) as { version: string }).version;
}

/** The version of the installed package that `name` is imported from. */
export const versionOf = (name: string): string => packageVersion(dirname(fileURLToPath(import.meta.resolve(name))));

/** This package's version, from its package.json. */
export const version: string = packageVersion(dirname(fileURLToPath(import.meta.url)));
