import { UserError } from "../src/util/assert.js";

/**
 * Runs a script's `main`. The process exits with 1 where it comes to false, or throws: a `UserError` is one line on stderr, anything else
 * the script's own fault, and shown with its trace.
 */
export async function runScript(main: () => Promise<unknown>): Promise<void> {
  try {
    if ((await main()) === false) process.exitCode = 1;
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    process.stderr.write(`error: ${error.message}\n`);
    process.exitCode = 1;
  }
}
