import { expect } from "chai";
import { CommanderError } from "commander";
import { UsageError, exitCodeOf, messageOf, usageLine } from "../../src/cli/failure.js";
import { UserError } from "../../src/util/assert.js";

describe("failures of the command line", () => {
  it("tells wrong usage from failure", () => {
    expect(exitCodeOf(new UserError("no such column"))).to.equal(1);
    expect(exitCodeOf(new Error("a fault of ours"))).to.equal(1);
    expect(exitCodeOf(new UsageError("--lr is missing"))).to.equal(2);
    expect(exitCodeOf(new CommanderError(1, "commander.unknownOption", "error: unknown option"))).to.equal(2);
    expect(exitCodeOf(new CommanderError(0, "commander.helpDisplayed", "(outputHelp)"))).to.equal(0);
  });

  it("gives a user's error as it is and says where ours come from", () => {
    expect(messageOf(new UserError("x.tsv: no rows"))).to.equal("x.tsv: no rows");
    expect(messageOf(new Error("internal error: w is missing"))).to.equal(
      "internal error: w is missing (CURVSAM_DEBUG=1 shows where)",
    );
    expect(messageOf(new TypeError("x is not a function\nand more"))).to.equal(
      "internal error: x is not a function (CURVSAM_DEBUG=1 shows where)",
    );
    expect(messageOf(new CommanderError(1, "code", "already written"))).to.equal(undefined);
  });

  it("puts commander's message on one line", () => {
    expect(usageLine("error: unknown option '--jsn'\n(Did you mean --json?)\n", "curvsam inspect")).to.equal(
      `unknown option '--jsn' (did you mean --json?); see "curvsam inspect --help"`,
    );
  });
});
