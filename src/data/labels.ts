import { check } from "../util/assert.js";
import { didYouMean } from "../util/suggest.js";
import { at, type Cell, type Table } from "./cells.js";

/** How a label column is to be read. */
export type LabelSpec =
  | {
      kind: "class";
      /** Class names in the order of their ids; default: integers are ids, anything else is a name and the sorted names are numbered. */
      names?: readonly string[];
      /** The number of classes of the model; default: not checked. */
      count?: number;
      /** A class id that the loss leaves out (-100 in many data sets). */
      ignore?: number;
    }
  | { kind: "float" };

/** Targets of a data set: class ids, or rows of `width` numbers. */
export type Labels =
  | { kind: "class"; ids: Int32Array; names: readonly string[] | null }
  | { kind: "float"; values: Float32Array; width: number };

/** Where a label stands in its file, for messages. */
export interface LabelColumn {
  path: string;
  unit: Table["unit"];
  name: string;
  lines: readonly number[];
  cells: readonly Cell[];
}

const integer = /^[+-]?\d+$/;
/** The first names of a list, in quotes. */
export const some = (names: readonly string[], most = 5): string =>
  names
    .slice(0, most)
    .map((name) => JSON.stringify(name))
    .join(", ") + (names.length > most ? ", …" : "");

const shown = (cell: Cell | undefined): string => JSON.stringify(cell ?? "");

/** Reads class labels; `UserError` names the line of a label that is no class id or no known class. */
export function readClasses(column: LabelColumn, spec: LabelSpec & { kind: "class" }): Labels {
  const texts = column.cells.map((cell) => String(cell).trim());
  const where = (i: number): string =>
    `${at(column.path, column.lines[i], column.unit)}: label ${shown(column.cells[i])}`;
  if (spec.names === undefined && integer.test(texts[0] ?? "")) return readIds(texts, where, spec);

  const names = spec.names ?? [...new Set(texts)].sort();
  const { count } = spec;
  if (count !== undefined) {
    const source = spec.names ? "given" : `in column ${JSON.stringify(column.name)} of ${column.path}`;
    check(
      spec.names ? names.length === count : names.length <= count,
      `${names.length} class names ${source} (${some(names)}), but the model has ${count} classes`,
    );
  }
  const idOf = new Map(names.map((name, id) => [name, id]));
  check(idOf.size === names.length, `a class name is given twice: ${names.join(", ")}`);
  const ids = Int32Array.from(texts, (text, i) => {
    const id = idOf.get(text);
    const listed = names.slice(0, 20).join(", ") + (names.length > 20 ? ", …" : "");
    check(id !== undefined, () => `${where(i)} is not one of the classes ${listed}${didYouMean(text, names)}`);
    check(text !== "", () => `${where(i)} is empty; expected a class name`);
    return id;
  });
  return { kind: "class", ids, names };
}

function readIds(texts: readonly string[], where: (i: number) => string, spec: LabelSpec & { kind: "class" }): Labels {
  const { count, ignore } = spec;
  const last = count === undefined ? 2 ** 31 - 1 : count - 1;
  const range = (): string => {
    if (count === undefined) return "expected a class id from 0 up";
    const most = texts.reduce((max, text) => Math.max(max, integer.test(text) ? Number(text) : 0), 0);
    return (
      `the model has classes 0..${last}` +
      (most > last ? `; labels run to ${most} here: export the model with ${most + 1} labels, or give its data` : "")
    );
  };
  const ids = Int32Array.from(texts, (text, i) => {
    check(integer.test(text), () => `${where(i)} is not an integer, as the labels before it are`);
    const id = Number(text);
    check(id === ignore || (id >= 0 && id <= last), () => `${where(i)} is out of range; ${range()}`);
    return id;
  });
  return { kind: "class", ids, names: null };
}

/** Reads numbers, one column for each output of the model; `UserError` names the line of what is no finite number. */
export function readNumbers(columns: readonly LabelColumn[]): Labels {
  const width = columns.length;
  const values = new Float32Array(width * (columns[0]?.cells.length ?? 0));
  columns.forEach((column, j) => {
    column.cells.forEach((cell, i) => {
      const value = typeof cell === "string" && cell.trim() === "" ? NaN : Number(cell);
      check(
        Number.isFinite(value),
        () =>
          `${at(column.path, column.lines[i], column.unit)}: label ${shown(cell)} is not a number (column ${JSON.stringify(column.name)})`,
      );
      values[i * width + j] = value;
    });
  });
  return { kind: "float", values, width };
}
