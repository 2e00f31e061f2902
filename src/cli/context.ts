import type { Command } from "commander";

/** What a command gets from the program around it: the only way to the terminal, so that stdout stays clean. */
export interface Context {
  /** Aborts on Ctrl-C: a command stops at the next safe point and returns, and the program exits 130. */
  readonly signal: AbortSignal;
  /** Whether someone watches: progress is drawn, on stderr, only then. */
  readonly interactive: boolean;
  /** Writes a line of the result to stdout. */
  print(line: string): void;
  /** Writes the one document that `--json` promises to stdout. */
  printJson(value: unknown): void;
  /** Writes a line about what goes on to stderr. */
  note(line: string): void;
  /** Makes the program exit 1 although the command returns: a check that found something, say. */
  fail(): void;
}

/** One file of `commands/`: makes the command, its action bound to `context`. */
export type CommandBuilder = (context: Context) => Command;
