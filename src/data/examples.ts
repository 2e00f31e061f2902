import { check } from "../util/assert.js";
import { readClasses, readNumbers, some, type Labels, type LabelSpec } from "./labels.js";
import { at, type Table } from "./cells.js";
import { readTable, type TableOptions } from "./table.js";

/** A text data set in memory: row i is `texts[i]`, `pairs?.[i]` and label i. */
export interface Examples {
  texts: readonly string[];
  pairs: readonly string[] | null;
  labels: Labels | null;
}

export interface ExampleOptions extends TableOptions {
  /** The column of the text. */
  text: string;
  /** The column of the second text, for tasks over pairs. */
  pair?: string;
  /** The column of the label; several columns for a model with several numbers as target. */
  label?: string | readonly string[];
  /** How to read the labels; default: class ids or class names. */
  labels?: LabelSpec;
}

/** Reads a TSV, CSV, JSON lines or Parquet file; throws `UserError` with one line for whatever does not fit. */
export async function readExamples(path: string, options: ExampleOptions): Promise<Examples> {
  const { text, pair, label = [], labels: spec = { kind: "class" } } = options;
  const labelNames = typeof label === "string" ? [label] : label;
  const wanted = [...new Set([text, ...(pair === undefined ? [] : [pair]), ...labelNames])];
  const table = await readTable(path, wanted, options);
  return {
    texts: textColumn(table, text),
    pairs: pair === undefined ? null : textColumn(table, pair),
    labels: labelNames.length === 0 ? null : readLabels(table, labelNames, spec),
  };
}

function textColumn(table: Table, name: string): string[] {
  return (table.columns.get(name) ?? []).map((cell, i) => {
    check(
      typeof cell === "string",
      () => `${at(table.path, table.lines[i], table.unit)}: ${JSON.stringify(name)} is a ${typeof cell}; expected text`,
    );
    return cell;
  });
}

function readLabels(table: Table, names: readonly string[], spec: LabelSpec): Labels {
  const columns = names.map((name) => ({
    path: table.path,
    unit: table.unit,
    name,
    lines: table.lines,
    cells: table.columns.get(name) ?? [],
  }));
  if (spec.kind === "float") return readNumbers(columns);
  const [column, ...more] = columns;
  check(column !== undefined && more.length === 0, `class labels stand in one column; ${names.length} are given`);
  const classes = table.classes?.get(column.name);
  if (classes && spec.count !== undefined) {
    check(
      classes.length === spec.count,
      `${table.path}: column ${JSON.stringify(column.name)} has ${classes.length} classes (${some(classes)}), but the model has ${spec.count}; ` +
        `export it with ${classes.length} labels`,
    );
  }
  return readClasses(column, spec);
}
