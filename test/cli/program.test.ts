import { expect } from "chai";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { commands } from "../../src/cli/commands/index.js";
import { curvsam, silent } from "../support/cli.js";
import { root } from "../support/root.js";

const names = commands.map((build) => build(silent).name());

/** Wrong usage: nothing on stdout, one line on stderr, exit code 2. */
async function refused(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await curvsam(args);
  expect(stdout).to.equal("");
  expect(stderr).to.match(/^curvsam: [^\n]+\n$/);
  expect(code).to.equal(2);
  return stderr;
}

describe("the command line", () => {
  it("prints the version of package.json", async () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
    expect(await curvsam(["--version"])).to.deep.equal({ code: 0, stdout: `${version}\n`, stderr: "" });
  });

  it("prints help that names every command and the exit codes", async () => {
    const { code, stdout, stderr } = await curvsam(["--help"]);
    expect(code).to.equal(0);
    expect(stderr).to.equal("");
    for (const name of names) expect(stdout).to.match(new RegExp(`^  ${name}[ |]`, "m"));
    expect(stdout).to.contain("130 interrupted");
  });

  it("prints help to stderr and exits 2 when no command is given", async () => {
    const { code, stdout, stderr } = await curvsam([]);
    expect(code).to.equal(2);
    expect(stdout).to.equal("");
    expect(stderr).to.contain("Usage: curvsam");
  });

  for (const name of names) {
    it(`has help with an example for ${name}`, async () => {
      const { code, stdout } = await curvsam([name, "--help"]);
      expect(code).to.equal(0);
      expect(stdout).to.match(new RegExp(`^Usage: curvsam ${name}[ |]`));
      expect(stdout).to.match(new RegExp(`^Examples:\\n  \\$ curvsam ${name} `, "m"));
      expect((await curvsam(["help", name])).stdout).to.equal(stdout);
    });
  }

  it("suggests the command that was meant", async () => {
    expect(await refused("inspct", "model.onnx")).to.equal(
      `curvsam: unknown command 'inspct' (did you mean inspect?); see "curvsam --help"\n`,
    );
  });

  it("suggests the option that was meant", async () => {
    expect(await refused("inspect", "--jsn", "model.onnx")).to.equal(
      `curvsam: unknown option '--jsn' (did you mean --json?); see "curvsam inspect --help"\n`,
    );
  });

  it("refuses a missing and a surplus argument", async () => {
    expect(await refused("inspect")).to.contain("missing required argument 'model'");
    expect(await refused("inspect", "a", "b")).to.contain("too many arguments");
  });

  it("shows the stack only with CURVSAM_DEBUG=1", async () => {
    const plain = await curvsam(["inspect", "absent.onnx"]);
    expect(plain.code).to.equal(1);
    expect(plain.stderr).to.match(/^curvsam: absent\.onnx: [^\n]+\n$/);
    const debug = await curvsam(["inspect", "absent.onnx"], { env: { CURVSAM_DEBUG: "1" } });
    expect(debug.stderr).to.match(/\n {4}at /);
  });

  it("goes on quietly when its reader leaves", async () => {
    const { code, stderr } = await curvsam(["--help"], { started: (child) => child.stdout?.destroy() });
    expect(code).to.equal(0);
    expect(stderr).to.equal("");
  });
});
