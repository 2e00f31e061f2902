import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

describe("a run that is killed", function () {
  this.timeout(240_000);
  const folder = temporaryFolder();
  const lines = (file: string) =>
    readFileSync(file, "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);

  it("goes on to the bits of one that was not, at three random moments", () => {
    const log = join(folder.path, "log.jsonl");
    const script = join(root, "build", "scripts", "kill_resume.js");
    const { status, stderr } = spawnSync(process.execPath, [script, log, "--kills", "3"], { encoding: "utf8" });
    expect(status, stderr).to.equal(0);
    const [{ uninterrupted } = {}, ...kills] = lines(log);
    expect(uninterrupted).to.match(/^[0-9a-f]{64}$/);
    expect(kills.map(({ resumed }) => resumed)).to.deep.equal([uninterrupted, uninterrupted, uninterrupted]);
  });

  for (const name of ["kill_resume.jsonl", "kill_resume_training.jsonl"]) {
    it(`did so every time in docs/${name}`, () => {
      const [{ uninterrupted } = {}, ...kills] = lines(join(root, "docs", name));
      expect(kills.length).to.be.at.least(1);
      expect(new Set(kills.map(({ resumed }) => resumed))).to.deep.equal(new Set([uninterrupted]));
    });
  }
});
