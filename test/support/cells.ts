import { ascents, bases, combines, refusal } from "../../src/optim/compose.js";

export interface Cell {
  ascent: string;
  combine: string;
  base: string;
}

/** Every combination of ascent, combine rule and base. */
export const cells: readonly Cell[] = ascents.flatMap(({ name: ascent }) =>
  combines.flatMap(({ name: combine }) => bases.map(({ name: base }) => ({ ascent, combine, base }))),
);

/** Those that are not refused. */
export const workingCells = cells.filter(({ ascent, combine, base }) => refusal(ascent, combine, base) === null);
