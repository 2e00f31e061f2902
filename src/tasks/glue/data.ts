import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { readExamples, type Examples } from "../../data/examples.js";
import { check, UserError } from "../../util/assert.js";
import { onFile } from "../../util/files.js";
import type { Columns, GlueTask, Part } from "./tasks.js";

/** Where a part of a task lies: an official TSV file, or the hub's Parquet file of the split. */
interface Found {
  path: string;
  columns: Columns;
  parquet: boolean;
}

/**
 * Finds a part below `root`, which holds the tasks' folders as GLUE's download has them (`CoLA/dev.tsv`) or as the hub has them
 * (`cola/validation-00000-of-00001.parquet`), or is one task's own folder.
 */
export function findPart(root: string, task: GlueTask, part: Part, labelled: boolean): Found {
  check(
    existsSync(root),
    `${root}: no such folder; name the folder of the GLUE data with --data_dir, or give --download`,
  );
  const folders = [join(root, task.folder), join(root, task.name), join(root, task.title.toLowerCase()), root];
  for (const folder of folders) {
    const tsv = join(folder, part.file);
    if (existsSync(tsv)) {
      return { path: tsv, columns: labelled ? task.tsv.labelled : task.tsv.unlabelled, parquet: false };
    }
    const parquet = parquetFile(folder, part.split);
    if (parquet !== null) {
      const { label, ...texts } = task.hub;
      return { path: parquet, columns: labelled ? { ...texts, label } : texts, parquet: true };
    }
  }
  const { text, pair, label } = labelled ? task.tsv.labelled : task.tsv.unlabelled;
  const names = [text, pair, label].filter((name) => name !== undefined);
  throw new UserError(
    `${join(root, task.folder, part.file)}: no such file, and no ${part.split}-*.parquet beside it; ` +
      `${task.title} needs it, with the columns ${names.join(", ")}`,
  );
}

function parquetFile(folder: string, split: string): string | null {
  if (!existsSync(folder)) return null;
  const names = onFile(folder, "read", () => readdirSync(folder)).filter(
    (name) => name.endsWith(".parquet") && name.startsWith(`${split}-`),
  );
  check(
    names.length <= 1,
    `${folder}: ${split} lies in ${names.length} Parquet files; the tasks of GLUE have one a split`,
  );
  return names[0] === undefined ? null : join(folder, names[0]);
}

/** Reads a part; the first `most` examples where it is given. Of a part to predict, labels are not looked at. */
export async function readPart(
  root: string,
  task: GlueTask,
  part: Part,
  { labelled, most }: { labelled: boolean; most?: number | undefined },
): Promise<Examples> {
  const { path, columns, parquet } = findPart(root, task, part, labelled);
  const { text, pair, label, headless } = columns;
  const { labels } = task;
  const examples = await readExamples(path, {
    text,
    ...(pair !== undefined && { pair }),
    ...(labelled && label !== undefined && { label }),
    labels: labels
      ? { kind: "class", count: labels.length, ...(task.named && !parquet && { names: labels }) }
      : { kind: "float" },
    ...(headless && { header: false }),
  });
  return most === undefined ? examples : take(examples, most);
}

/** The first `n` examples. */
export function take(examples: Examples, n: number): Examples {
  const { texts, pairs, labels } = examples;
  return {
    texts: texts.slice(0, n),
    pairs: pairs?.slice(0, n) ?? null,
    labels:
      labels?.kind === "float"
        ? { ...labels, values: labels.values.slice(0, n * labels.width) }
        : labels && { ...labels, ids: labels.ids.slice(0, n) },
  };
}
