import type { Node } from "../ir/graph.js";
import { check } from "../util/assert.js";

/** The letters of every operand and of the output, with an ellipsis written out as letters of its own. */
export interface Equation {
  operands: string[];
  output: string;
}

const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** The equation of an Einsum node whose inputs have known ranks. */
export function equationOf(node: Node): Equation {
  const text = node.string("equation", "").replaceAll(" ", "");
  const [left = "", right] = text.split("->");
  const terms = left.split(",");
  check(
    terms.length === node.inputs.length,
    () => `${node.label}: equation "${text}" has ${terms.length} operands; the node has ${node.inputs.length} inputs`,
  );
  const free = Array.from(letters).filter((l) => !text.includes(l));
  const widths = terms.map((t, i) => (t.includes("...") ? node.input(i).dims.length - (t.length - 3) : 0));
  const width = Math.max(0, ...widths);
  check(width <= free.length, () => `${node.label}: equation "${text}" needs more than ${letters.length} letters`);
  const dots = free.slice(0, width).join("");
  const written = (term: string, n: number): string => term.replace("...", dots.slice(width - n));
  const operands = terms.map((t, i) => written(t, widths[i] ?? 0));
  return { operands, output: right === undefined ? implicit(operands, dots) : written(right, width) };
}

/** Without an arrow: the ellipsis, then the letters that appear once, in alphabetical order. */
function implicit(operands: readonly string[], dots: string): string {
  const all = Array.from(operands.join(""));
  const once = all.filter((l) => !dots.includes(l) && all.indexOf(l) === all.lastIndexOf(l));
  return dots + once.sort((a, b) => (a < b ? -1 : 1)).join("");
}
