import { spawn, type ChildProcess } from "node:child_process";
import { constants } from "node:os";
import { join } from "node:path";
import { expect } from "chai";
import type { Context } from "../../src/cli/context.js";
import { exitCodeOf, exitCodes, messageOf } from "../../src/cli/failure.js";
import { program } from "../../src/cli/program.js";
import { root as repository } from "./root.js";

/** The built command line. */
export const main = join(repository, "build", "src", "cli", "main.js");

/** A context for help only: nothing is run, and nothing is printed. */
export const silent: Context = {
  signal: new AbortController().signal,
  interactive: false,
  print: () => undefined,
  printJson: () => undefined,
  note: () => undefined,
  fail: () => undefined,
};

export interface CliResult {
  /** As a shell has it: 128 and the signal's number for one that a signal ended. */
  code: number | null;
  stdout: string;
  stderr: string;
}

/** Runs the built command line; `started` may talk to the process while it lives. `largestFile`: blocks of 512 bytes to a file. */
export function curvsam(
  args: readonly string[],
  options: {
    cwd?: string;
    env?: Record<string, string>;
    started?: (child: ChildProcess) => void;
    largestFile?: number;
  } = {},
): Promise<CliResult> {
  return new Promise((resolve, reject) => {
    const env = { ...process.env, CURVSAM_DEBUG: "", ...options.env };
    const limit = options.largestFile === undefined ? "" : `ulimit -f ${options.largestFile}; `;
    const program = limit ? "sh" : process.execPath;
    const before = limit ? ["-c", `${limit}exec "$@"`, "sh", process.execPath] : [];
    const child = spawn(program, [...before, main, ...args], {
      cwd: options.cwd,
      env,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let stdout = "";
    let stderr = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
    child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr += text));
    child.on("error", reject);
    child.on("close", (code, signal) =>
      resolve({ code: signal ? 128 + constants.signals[signal] : code, stdout, stderr }),
    );
    options.started?.(child);
  });
}

/** Runs the command line within this process: without the seconds that another one takes to start, and without signals. */
export async function curvsamHere(args: readonly string[]): Promise<CliResult> {
  const result = { code: 0, stdout: "", stderr: "" };
  const writeErr = (text: string): void => void (result.stderr += text);
  const context: Context = {
    ...silent,
    print: (line) => void (result.stdout += `${line}\n`),
    printJson: (value) => void (result.stdout += `${JSON.stringify(value)}\n`),
    note: (line) => writeErr(`${line}\n`),
    fail: () => (result.code = exitCodes.failure),
  };
  const root = program(context);
  for (const command of root.commands) command.configureOutput({ writeErr });
  try {
    await root.parseAsync(args, { from: "user" });
  } catch (error) {
    result.code = exitCodeOf(error);
    const message = messageOf(error);
    if (message !== undefined) writeErr(`curvsam: ${message}\n`);
  }
  return result;
}

/** Runs commands as a document has them, in order: each succeeds, prints, and has nothing to say on stderr. */
export async function runDocumented(lines: readonly string[], cwd: string): Promise<void> {
  for (const line of lines) {
    const [program, ...args] = line.split(" ");
    expect(program).to.equal("curvsam");
    const { code, stdout, stderr } = await curvsam(args, { cwd });
    expect(stderr, line).to.equal("");
    expect(stdout, line).to.not.equal("");
    expect(code, line).to.equal(0);
  }
}
