import { realpathSync, statSync } from "node:fs";
import { dirname, join, sep } from "node:path";
import type { ExternalBytes } from "../ir/tensor.js";
import type { Source } from "./context.js";
import { quote, type Entry } from "./proto.js";

const inside = (file: string, folder: string): boolean =>
  file.startsWith(folder.endsWith(sep) ? folder : `${folder}${sep}`);

/**
 * The file behind an external-data location. It must stay in the model's folder, links followed; where the model itself
 * is a link (a download cache), the folder of its target counts as well.
 */
function locate(source: Source, location: string, what: string): { file: string; size: number } {
  const known = source.external.get(location);
  if (known) return known;
  source.check(source.folder !== null, () => `${what} lies in ${quote(location)}, but the model came without a folder`);
  const parts = location.split(/[\\/]/);
  source.check(
    location !== "" && !/^([\\/]|[A-Za-z]:)/.test(location) && !parts.includes("..") && !location.includes("\0"),
    () => `${what} points to ${quote(location)}, outside of the model's folder; refused`,
  );
  let file: string;
  let size: number;
  const folders: string[] = [];
  try {
    file = realpathSync(join(source.folder, location));
    folders.push(realpathSync(source.folder));
    if (source.file !== null) folders.push(dirname(realpathSync(source.file)));
    const stat = statSync(file);
    source.check(stat.isFile(), () => `${what} points to ${quote(location)}, which is not a file`);
    size = stat.size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === undefined) throw error;
    source.fail(`${what} points to ${quote(location)}, which cannot be read (${(error as { code: string }).code})`);
  }
  source.check(
    folders.some((folder) => inside(file, folder)),
    () => `${what} points to ${quote(location)}, a link that leaves the model's folder; refused`,
  );
  const found = { file, size };
  source.external.set(location, found);
  return found;
}

/** Where the `expected` bytes of a tensor lie, checked against the file's size, without reading them. */
export function readExternal(source: Source, entries: readonly Entry[], expected: number, what: string): ExternalBytes {
  const fields = new Map(entries.map((e) => [e.key, e.value]));
  const { file, size } = locate(source, fields.get("location") ?? "", what);
  const number = (key: string): number | null => {
    const text = fields.get(key);
    if (text === undefined) return null;
    const value = /^\d{1,16}$/.test(text) ? Number(text) : NaN;
    source.check(
      Number.isSafeInteger(value),
      () => `${what} has the external ${key} ${quote(text)}; a size is expected`,
    );
    return value;
  };
  const offset = number("offset") ?? 0;
  const length = number("length") ?? size - offset;
  source.check(
    length === expected,
    () => `${what} has ${length} bytes of external data; its shape and type need ${expected}`,
  );
  source.check(
    offset + length <= size,
    () =>
      `${what} lies at bytes ${offset} to ${offset + length} of ${quote(fields.get("location") ?? "")}, which ends at ${size}`,
  );
  return { file, offset, length };
}
