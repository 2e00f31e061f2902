import { expect } from "chai";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { stringify } from "yaml";
import { command as glue } from "../../src/cli/commands/glue.js";
import { command as train } from "../../src/cli/commands/train.js";
import type { Context } from "../../src/cli/context.js";
import { readSweep } from "../../src/cli/sweep/file.js";
import { checkRuns, runsOf, type SweepRun } from "../../src/cli/sweep/runs.js";
import { curvsam } from "../support/cli.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const model = join(root, "models", "roberta-mini");
const nothing = (): void => undefined;
const context: Context = {
  signal: new AbortController().signal,
  interactive: false,
  ...{ print: nothing, printJson: nothing, note: nothing, fail: nothing },
};

describe("a sweep's file", () => {
  const folder = temporaryFolder();
  const plan = (text: string): SweepRun[] => {
    const file = readSweep(folder.write("plan.yaml", text));
    const program = () => (file.program === "glue" ? glue : train)(context);
    const runs = runsOf(file, program());
    checkRuns(file, runs, program);
    return runs;
  };
  const glueFile = "program: glue\nmetric: eval_loss\nbase: {task_name: cola}\n";

  it("searches each grid, with a seed's runs before the next seed's", () => {
    const runs = plan(
      `${glueFile}grid:\n  - {optimizer: [none]}\n  - {optimizer: [sam], rho: [0.1, 0.2], hyper.beta2: [0.98]}\nseeds: [3, 5]\n`,
    );
    expect(
      runs.map(({ index, parameters, seed }) => [index, seed, parameters["optimizer"], parameters["rho"]]),
    ).to.deep.equal([
      [0, 3, "none", undefined],
      [1, 3, "sam", 0.1],
      [2, 3, "sam", 0.2],
      [3, 5, "none", undefined],
      [4, 5, "sam", 0.1],
      [5, 5, "sam", 0.2],
    ]);
    expect(new Set(runs.map(({ config }) => config)).size).to.equal(6);
  });

  it("names a run by its options, in whatever order and place they stand", () => {
    const [one] = plan("program: glue\nmetric: m\nbase: {task_name: cola, hyper: {beta2: 0.98}}\ngrid: {rho: [0.1]}\n");
    const [other] = plan(
      "program: glue\nmetric: m\nbase: {rho: 0.1}\ngrid: {hyper.beta2: [0.98], task_name: [cola]}\n",
    );
    const [third] = plan(
      "program: glue\nmetric: m\nbase: {rho: 0.2}\ngrid: {hyper.beta2: [0.98], task_name: [cola]}\n",
    );
    expect(one!.config).to.equal(other!.config).and.not.equal(third!.config);
  });

  it("draws within bounds, and the same for a trial however many there are", () => {
    const random = (trials: number, seed = 0): SweepRun[] =>
      plan(
        `${glueFile}random:\n  trials: ${trials}\n  seed: ${seed}\n  distributions:\n    learning_rate: {log_uniform: [1e-5, 1e-3]}\n` +
          "    rho: {uniform: [0, 0.5]}\n    max_steps: {int: [2, 3]}\n    optimizer: {choice: [sam, curvsam]}\n",
      );
    const draws = random(200).map(({ parameters }) => parameters);
    expect(random(5).map(({ parameters }) => parameters)).to.deep.equal(draws.slice(0, 5));
    expect(random(5, 1).map(({ parameters }) => parameters)).to.not.deep.equal(draws.slice(0, 5));
    const rates = draws.map(({ learning_rate }) => Number(learning_rate));
    expect(Math.min(...rates)).to.be.within(1e-5, 1.2e-5);
    expect(Math.max(...rates)).to.be.within(8e-4, 1e-3);
    // The median of a log-uniform draw is the geometric mean of its bounds; its share below is 0.5 ± 0.035.
    expect(rates.filter((x) => x < 1e-4).length / 200).to.be.closeTo(0.5, 0.12);
    expect(Math.max(...draws.map(({ rho }) => Number(rho)))).to.be.within(0.45, 0.5);
    expect(new Set(draws.map(({ max_steps }) => max_steps))).to.deep.equal(new Set([2, 3]));
    expect(new Set(draws.map(({ optimizer }) => optimizer))).to.deep.equal(new Set(["sam", "curvsam"]));
  });

  const refusals: [string, string, RegExp][] = [
    [
      "a key that is not known",
      "program: glue\nmetric: m\nseed: [1]\n",
      /plan\.yaml: there is no key "seed"; did you mean "seeds"/,
    ],
    ["a key within random", `${glueFile}random: {trial: 3}\n`, /"random\.trial"; did you mean "trials"/],
    [
      "a distribution of no one",
      `${glueFile}random: {trials: 3, distributions: {rho: {normal: [0, 1]}}}\n`,
      /random\.distributions\.rho: expected uniform/,
    ],
    [
      "an option that the program lacks",
      `${glueFile}grid: {learning_rat: [1]}\n`,
      /curvsam glue has no option "learning_rat"; did you mean "learning_rate"/,
    ],
    [
      "an option that the sweep sets",
      "program: train\nmetric: m\nbase: {output: x}\n",
      /"output" is not for the file to set: runs go to/,
    ],
    [
      "a value that the program refuses",
      `${glueFile}grid: {rho: [0.1, -1]}\n`,
      /run 1: option '--rho <x>'.*number >= 0; see curvsam glue --help$/,
    ],
    [
      "a missing option",
      "program: train\nmetric: m\nbase: {package: x}\n",
      /run 0: required option '--data <file>' not specified/,
    ],
    ["a grid of one value", `${glueFile}grid: {rho: 0.1}\n`, /grid: expected options with lists of values/],
    ["no metric", "program: glue\n", /plan\.yaml: "metric" is missing/],
    ["what is not YAML", "program: [glue\n", /it is not YAML: .*line/],
    ["a seed that comes twice", `${glueFile}seeds: [1, 1]\n`, /one of them is there twice/],
  ];
  for (const [what, text, says] of refusals) {
    it(`refuses ${what}`, () => {
      expect(() => plan(text))
        .to.throw(says)
        .with.property("name", "UserError");
    });
  }
});

describe("curvsam sweep", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const at = (name: string): string => join(folder.path, name);
  const lines = (name: string): Record<string, unknown>[] =>
    readFileSync(at(name), "utf8")
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  const base = {
    ...{ package: "package", data: "train.tsv", eval: "train.tsv", tokenizer: join(model, "tokenizer.json") },
    ...{ text: "sentence", label: "label", "batch-size": 4, "max-length": 8, "lr-schedule": "constant" },
  };
  const write = (name: string, file: Record<string, unknown>): string =>
    folder.write(
      name,
      stringify({ program: "train", metric: "loss", ...file, base: { ...base, ...(file["base"] as object) } }),
    );
  const sweep = (file: string, ...more: string[]) =>
    curvsam(["sweep", file, "--threads", "1", ...more], { cwd: folder.path });

  before(async () => {
    const rows = Array.from({ length: 8 }, (_, i) => `${i % 2 ? "free money" : "the meeting"}\t${i % 2}`);
    folder.write("train.tsv", `sentence\tlabel\n${rows.join("\n")}\n`);
    const { code, stderr } = await curvsam([
      ...["patch", join(model, "model.onnx"), "-o", at("package"), "--loss", "cross-entropy", "--optimizer", "curvsam"],
    ]);
    expect(code, stderr).to.equal(0);
  });

  it("runs what is not finished, keeps a line of each, and ranks by the metric", async () => {
    write("grid.yaml", { base: { "max-steps": 2 }, grid: { lr: [0, 0.1] }, keep: "log" });
    const first = await sweep("grid.yaml", "--jobs", "2", "--time-limit", "1h");
    expect(first.code, first.stderr).to.equal(0);
    expect(first.stderr).to.match(
      /^curvsam: 2 runs, 0 of them finished already; 2 at a time, 1 thread each; time limit 1h00m, until \d\d:\d\d\n$/,
    );
    const results = lines("grid/results.jsonl");
    expect(results).to.have.lengthOf(2);
    for (const result of results) {
      // A refresh (three and the second gradient), then a plain step of two.
      expect(result).to.include({ seed: 0, steps: 2, gradients: 6, threads: 1, error: null });
      expect((result["metrics"] as { loss: number }).loss).to.be.within(0.1, 2);
      expect(readdirSync(at(`grid/${String(result["config"]).slice(0, 12)}`))).to.have.members([
        "data.json",
        "log.jsonl",
      ]);
    }
    const loss = (result: Record<string, unknown>): number => (result["metrics"] as { loss: number }).loss;
    const [best] = results.sort((a, b) => loss(a) - loss(b)).map(({ parameters }) => (parameters as { lr: number }).lr);
    expect(first.stdout.split("\n").slice(-3)[0]).to.match(new RegExp(`^\\| +${best} \\|`));

    const before = readFileSync(at("grid/results.jsonl"), "utf8");
    write("grid.yaml", { base: { "max-steps": 2 }, grid: { lr: [0, 0.1] }, keep: "log", seeds: [0, 7] });
    // One run more, by a job of an array; then its line is found.
    expect((await sweep("grid.yaml", "--count")).stdout).to.equal("4\n");
    const job = await sweep("grid.yaml", "--only", "3");
    expect(job.code, job.stderr).to.equal(0);
    expect(readFileSync(at("grid/results.jsonl"), "utf8")).to.equal(before);
    const table = await sweep("grid.yaml", "--table", "--json");
    const { finished, standings } = JSON.parse(table.stdout) as {
      finished: number;
      standings: { seeds: number; error: number | null }[];
    };
    expect(finished).to.equal(3);
    expect(standings.map(({ seeds, error }) => [seeds, error !== null])).to.deep.equal([
      [2, true],
      [1, false],
    ]);
    expect(readFileSync(at("grid/results.jsonl"), "utf8").startsWith(before)).to.equal(true);
    expect(lines("grid/results.jsonl")).to.have.lengthOf(3);
    const again = await sweep("grid.yaml", "--only", "3");
    expect(again.stderr).to.match(/run 3 \(lr=0\.1 seed=7\) is finished already\n$/);
  });

  it("stops at Ctrl-C with code 130, and goes on to the bits of a run that was not stopped", async () => {
    write("stopped.yaml", { base: { epochs: 10 }, grid: { lr: [0.01] } });
    const runs = at("stopped");
    const stopped = await curvsam(["sweep", "stopped.yaml", "--threads", "1"], {
      cwd: folder.path,
      started: (child) => {
        const look = setInterval(() => {
          const names = existsSync(runs) ? readdirSync(runs).filter((name) => !name.startsWith(".")) : [];
          const log = names.map((name) => join(runs, name, "log.jsonl"));
          if (!log[0] || !existsSync(log[0]) || !readFileSync(log[0], "utf8").includes('"event":"step"')) return;
          clearInterval(look);
          child.kill("SIGINT");
        }, 5);
        child.on("exit", () => clearInterval(look));
      },
    });
    expect(stopped.code, stopped.stderr).to.equal(130);
    expect(stopped.stderr).to.match(/interrupted: 1 of 1 run left; the same command goes on\n$/);
    const [run = ""] = readdirSync(runs);
    expect(readdirSync(join(runs, run, "checkpoints"))).to.have.lengthOf(1);
    expect(readFileSync(join(runs, run, "log.jsonl"), "utf8")).to.contain('"interrupted":true');
    expect((await sweep("stopped.yaml")).code).to.equal(0);
    expect(lines("stopped/results.jsonl")[0]).to.include({ steps: 20 });

    const options = { ...base, epochs: 10, lr: 0.01, seed: 0, threads: 1, output: "whole" };
    const { package: from, ...flags } = options;
    const args = Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
    expect((await curvsam(["train", from, ...args], { cwd: folder.path })).code).to.equal(0);
    const weights = (path: string): Buffer => readFileSync(join(path, "weights.safetensors"));
    expect(weights(join(runs, run)).equals(weights(at("whole")))).to.equal(true);
  });

  it("stops at its time limit with a checkpoint", async () => {
    write("limit.yaml", { base: { epochs: 100_000, "save-every": 100_000, "eval-every": 100_000 } });
    const { code, stderr } = await sweep("limit.yaml", "--time-limit", "3s");
    expect(stderr).to.match(
      /time limit 3s, until .*\ncurvsam: time limit: 1 of 1 run left; the same command goes on\n$/,
    );
    expect(code).to.equal(0);
    expect(existsSync(at("limit/results.jsonl"))).to.equal(false);
  });

  it("keeps why a run failed, does not repeat it unless told to, and refuses a line that is damaged", async () => {
    write("failed.yaml", { grid: { "init-skip": ["head"] } });
    const { code, stderr } = await sweep("failed.yaml");
    expect(code).to.equal(1);
    expect(stderr).to.match(/failed: --init-skip belongs to --init, which is missing/);
    expect(lines("failed/results.jsonl")[0]!["error"]).to.match(/^--init-skip/);
    const again = await sweep("failed.yaml");
    expect(again.stderr).to.match(
      /1 run, 1 of them finished already.*\ncurvsam: 1 run failed; failed\/results\.jsonl says why/,
    );
    expect(again.code).to.equal(1);
    expect((await sweep("failed.yaml", "--retry")).code).to.equal(1);
    expect(lines("failed/results.jsonl")).to.have.lengthOf(2);

    mkdirSync(at("damaged"));
    folder.write("damaged/results.jsonl", "{}\n");
    write("damaged.yaml", {});
    const damaged = await sweep("damaged.yaml");
    expect(damaged.stderr).to.match(
      /^curvsam: damaged\/results\.jsonl line 1: it is not a line of a sweep's results; mend or remove it\n$/,
    );
    expect(damaged.code).to.equal(1);
  });

  it("refuses options that exclude each other, a run that is not there, and a time that is none", async () => {
    write("some.yaml", {});
    const both = await sweep("some.yaml", "--count", "--only", "0");
    expect([both.code, both.stderr]).to.deep.equal([
      2,
      "curvsam: --count and --only exclude each other; give one of them\n",
    ]);
    const none = await sweep("some.yaml", "--only", "1");
    expect([none.code, none.stderr]).to.deep.equal([1, "curvsam: some.yaml: there is no run 1; it has runs 0 to 0\n"]);
    const time = await sweep("some.yaml", "--time-limit", "soon");
    expect(time.stderr).to.match(/expected a time such as 90s, 45m or 1h30m/);
    expect(time.code).to.equal(2);
  });
});
