import { expect } from "chai";
import { UserError } from "../../src/util/assert.js";

/** The message of the `UserError` that `promise` must end with; it must be one line. */
export async function refusal(promise: Promise<unknown>): Promise<string> {
  try {
    await promise;
  } catch (error) {
    expect(error).to.be.instanceOf(UserError);
    const { message } = error as Error;
    expect(message).to.not.contain("\n");
    return message;
  }
  throw new Error("nothing was thrown");
}
