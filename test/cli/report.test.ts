import { expect } from "chai";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { curvsam } from "../support/cli.js";
import { temporaryFolder } from "../support/temp.js";

describe("curvsam report", () => {
  const folder = temporaryFolder();
  for (const [name, loss] of [
    ["a", 1],
    ["b", 2],
    ["c", 3],
  ] as const) {
    mkdirSync(join(folder.path, name));
    const lines = [1, 2].map((step) => JSON.stringify({ event: "step", step, seconds: step, loss: loss / step }));
    writeFileSync(join(folder.path, name, "log.jsonl"), `${lines.join("\n")}\n`);
  }
  const at = (name: string): string => join(folder.path, name);

  it("compares runs in a table, a page and event files", async () => {
    const args = ["report", at("a"), at("b"), "-o", at("page.html"), "--tensorboard", at("events")];
    const { code, stdout, stderr } = await curvsam(args);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/^ +a +b\n {2}steps +2 +2\n/);
    expect(readFileSync(at("page.html"), "utf8")).to.include("<h1>a and b</h1>");
    expect(readdirSync(at("events"))).to.deep.equal(["a", "b"]);
    const json = await curvsam(["report", at("a"), "--json"]);
    expect((JSON.parse(json.stdout) as object[])[0]).to.include({ name: "a", steps: 2, skipped: 0 });
  });

  it("compares three by its own command, and refuses one alone", async () => {
    const runs = [at("a"), at("b"), at("c")];
    const { code, stdout, stderr } = await curvsam(["compare", ...runs, "-o", at("compare.html")]);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.match(/^ +a +b +c\n/);
    expect(readFileSync(at("compare.html"), "utf8")).to.include("<h1>a, b and c</h1>");
    const json = await curvsam(["compare", ...runs, "--json"]);
    expect((JSON.parse(json.stdout) as { name: string }[]).map(({ name }) => name)).to.deep.equal(["a", "b", "c"]);
    const alone = await curvsam(["compare", at("a")]);
    expect(alone.code).to.equal(2);
    expect(alone.stderr).to.match(/compare takes two runs or more; curvsam report shows one/);
  });

  it("refuses what is no run, and writes nothing", async () => {
    const { code, stderr } = await curvsam(["report", folder.path, "-o", at("none.html")]);
    expect(code).to.equal(1);
    expect(stderr).to.include("no log.jsonl is there");
    expect(existsSync(at("none.html"))).to.equal(false);
  });
});
