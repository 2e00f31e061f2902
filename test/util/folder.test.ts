import { expect } from "chai";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { UserError } from "../../src/util/assert.js";
import { writeFolderAtomically } from "../../src/util/folder.js";

/** The error that `promise` ends with. */
async function failure(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}

describe("writeFolderAtomically", () => {
  let folder: string;
  beforeEach(() => (folder = mkdtempSync(join(tmpdir(), "curvsam-folder-"))));
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  const fill = (text: string) => (temporary: string) => {
    writeFileSync(join(temporary, "manifest.json"), text);
    return Promise.resolve(text.length);
  };
  const always = (): boolean => true;

  it("writes a new folder, or into an empty one, and leaves nothing else", async () => {
    expect(await writeFolderAtomically(join(folder, "a"), undefined, fill("one"))).to.equal(3);
    mkdirSync(join(folder, "b"));
    await writeFolderAtomically(join(folder, "b"), undefined, fill("two"));
    expect(readFileSync(join(folder, "b", "manifest.json"), "utf8")).to.equal("two");
    expect(readdirSync(folder)).to.have.members(["a", "b"]);
  });

  it("shows nothing under the name until all is written", async () => {
    await writeFolderAtomically(join(folder, "a"), undefined, (temporary) => {
      expect(existsSync(join(folder, "a"))).to.equal(false);
      return fill("x")(temporary);
    });
  });

  it("removes what it wrote when writing fails, and keeps what was there", async () => {
    const target = join(folder, "a");
    await writeFolderAtomically(target, undefined, fill("old"));
    const error = await failure(
      writeFolderAtomically(target, always, async (temporary) => {
        await fill("half")(temporary);
        throw new UserError("the disk is full");
      }),
    );
    expect(error).to.have.property("message", "the disk is full");
    expect(readFileSync(join(target, "manifest.json"), "utf8")).to.equal("old");
    expect(readdirSync(folder)).to.deep.equal(["a"]);
  });

  it("replaces a folder as a whole, and only where that is allowed", async () => {
    const target = join(folder, "a");
    mkdirSync(target);
    writeFileSync(join(target, "thesis.txt"), "years of work");
    for (const replace of [undefined, () => false]) {
      expect(await failure(writeFolderAtomically(target, replace, fill("new")))).to.be.instanceOf(UserError);
      expect(readdirSync(target)).to.deep.equal(["thesis.txt"]);
    }
    await writeFolderAtomically(target, always, fill("new"));
    expect(readdirSync(target)).to.deep.equal(["manifest.json"]);
    expect(readdirSync(folder)).to.deep.equal(["a"]);
  });

  it("refuses a file of that name and a parent that is not there", async () => {
    writeFileSync(join(folder, "file"), "");
    const onFile = await failure(writeFolderAtomically(join(folder, "file"), always, fill("x")));
    expect(onFile).to.be.instanceOf(UserError).with.property("message").that.contains("is not a folder");
    const orphan = await failure(writeFolderAtomically(join(folder, "no", "such"), undefined, fill("x")));
    expect(orphan).to.be.instanceOf(UserError).with.property("message").that.contains("no such file or folder");
  });
});
