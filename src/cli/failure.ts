import { CommanderError } from "commander";
import { UserError } from "../util/assert.js";

export const exitCodes = { success: 0, failure: 1, usage: 2, interrupted: 130 } as const;

/** An option or argument that is wrong in itself, before any file was opened: exit code 2. */
export class UsageError extends UserError {
  override name = "UsageError";
}

/** The exit code that `error` stands for. */
export function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.success : exitCodes.usage;
  return error instanceof UsageError ? exitCodes.usage : exitCodes.failure;
}

/** The line for stderr, without the program's name; undefined where commander has already written it. */
export function messageOf(error: unknown): string | undefined {
  if (error instanceof CommanderError) return undefined;
  if (error instanceof UserError) return error.message;
  const text = error instanceof Error ? error.message : String(error);
  const first = text.split("\n", 1)[0] ?? "";
  const path = error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : undefined;
  if (path !== undefined) return `${path}: ${first}`;
  return `${first.startsWith("internal error") ? first : `internal error: ${first}`} (CURVSAM_DEBUG=1 shows where)`;
}

/** Commander's message as our one line: `unknown option '--jsno' (did you mean --json?); see "curvsam inspect --help"`. */
export function usageLine(message: string, command: string): string {
  const line = message
    .replace(/^error: /, "")
    .trim()
    .replace(/\s*\n\s*\(Did you mean (.*)\)/, " (did you mean $1)")
    .replace(/\s*\n\s*/g, " ")
    .replace(/\.$/, "");
  return `${line}; see "${command} --help"`;
}
