import { expect } from "chai";
import { UserError } from "../../src/util/assert.js";

/** Runs `action` and expects a `UserError` of one line whose message matches every pattern. */
export async function rejects(action: () => unknown, ...patterns: (RegExp | string)[]): Promise<void> {
  let message: string | null = null;
  try {
    await action();
  } catch (error) {
    expect(error, String(error)).to.be.instanceOf(UserError);
    message = (error as Error).message;
  }
  if (message === null) expect.fail(`nothing was thrown; expected ${patterns.map(String).join(", ")}`);
  expect(message).not.to.include("\n");
  for (const pattern of patterns) {
    if (typeof pattern === "string") expect(message).to.include(pattern);
    else expect(message).to.match(pattern);
  }
}
