import { expect } from "chai";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { FolderLock, lockHolder } from "../../src/util/lock.js";

describe("the lock of a folder", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "curvsam-lock-"));
  });
  afterEach(() => rmSync(folder, { recursive: true }));
  const file = () => join(folder, ".work.lock");
  const held = (holder: Record<string, unknown>) => writeFileSync(file(), JSON.stringify(holder));
  const take = () => FolderLock.take(folder, "work");

  it("keeps a second one out, by name, until it is released", () => {
    const lock = take();
    expect(lockHolder(folder, "work")).to.include({ pid: process.pid, host: hostname() });
    expect(take).to.throw(
      new RegExp(`^${folder}: process ${process.pid} on ${hostname()} has worked here since \\d{4}-`),
    );
    FolderLock.take(folder, "other").release();
    lock.release();
    expect(readdirSync(folder)).to.deep.equal([]);
    take().release();
  });

  it("takes over what a process left that is gone", () => {
    const { pid } = spawnSync(process.execPath, ["-e", "0"]);
    held({ pid, host: hostname(), began: null, since: "yesterday" });
    expect(lockHolder(folder, "work")).to.equal(null);
    const lock = take();
    expect(JSON.parse(readFileSync(file(), "utf8"))).to.include({ pid: process.pid });
    lock.release();
    writeFileSync(file(), "");
    take().release();
    expect(readdirSync(folder)).to.deep.equal([]);
  });

  it("tells a process from an earlier one of its number", function () {
    if (!existsSync("/proc/self/stat")) this.skip();
    held({ pid: process.pid, host: hostname(), began: "another start", since: "yesterday" });
    take().release();
  });

  it("believes another machine's lock, and says which file to remove", () => {
    held({ pid: 1, host: "elsewhere", began: null, since: "yesterday" });
    expect(take).to.throw(
      /process 1 on elsewhere has worked here since yesterday; .*if it is gone, remove .*\.work\.lock$/,
    );
    expect(readdirSync(folder)).to.deep.equal([".work.lock"]);
  });

  it("goes when its process ends, and is stale when that is killed", () => {
    const child = (then: string) => {
      const module = new URL("../../src/util/lock.js", import.meta.url).href;
      const code = `import { FolderLock } from "${module}"; FolderLock.take(${JSON.stringify(folder)}, "work"); ${then}`;
      return spawnSync(process.execPath, ["--input-type=module", "-e", code]);
    };
    expect(child("process.exit(130)").status).to.equal(130);
    expect(readdirSync(folder)).to.deep.equal([]);
    expect(child('process.kill(process.pid, "SIGKILL"); setInterval(() => 0, 1000)').signal).to.equal("SIGKILL");
    expect(readdirSync(folder)).to.deep.equal([".work.lock"]);
    take().release();
  });
});
