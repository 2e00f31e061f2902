/**
 * Kills training runs with SIGKILL at random moments, resumes each, and compares its weights with those of a run that was left alone.
 *
 *     node build/scripts/kill_resume.js kills.jsonl --kills 100
 *
 * Moments are drawn evenly over the time from the first step to the end; every fourth is drawn evenly over the writing of a checkpoint.
 * Goes on with the log where it is there already. Writes one JSON line a kill: what it aimed at, when it came, how far the run had come,
 * what was left, and the SHA-256 of the resumed run's weights.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { listCheckpoints } from "../src/train/checkpoints.js";
import { check, invariant } from "../src/util/assert.js";
import { sha256OfFile } from "../src/util/hash.js";
import { Rng } from "../src/util/rng.js";

const main = fileURLToPath(new URL("../src/cli/main.js", import.meta.url));
const model = join(dirname(fileURLToPath(import.meta.url)), "..", "..", "models", "roberta-mini");

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { kills: { type: "string", default: "100" }, seed: { type: "string", default: "0" } },
});
const [output] = positionals;
check(output !== undefined, "usage: kill_resume.js <output.jsonl> [--kills n] [--seed n]");
const kills = Number(values.kills);

/** A running command. `ended`: whether it was killed; fails where it ended otherwise than with 0. */
interface Running {
  child: ChildProcess;
  ended: Promise<boolean>;
}

function curvsam(args: readonly string[]): Running {
  const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "ignore", "inherit"] });
  const ended = new Promise<boolean>((resolve, reject) => {
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      if (signal === "SIGKILL" || code === 0) resolve(signal !== null);
      else reject(new Error(`curvsam ${args[0] ?? ""} ended with ${signal ?? code}`));
    });
  });
  return { child, ended };
}

const checkpointsOf = (run: string): string => join(run, "checkpoints");
const namesIn = (folder: string): string[] => (existsSync(folder) ? readdirSync(folder) : []);
const textOf = (file: string): string => (existsSync(file) ? readFileSync(file, "utf8") : "");
const hasStepped = (run: string): boolean => textOf(join(run, "log.jsonl")).includes('"event":"step"');
const writingIn = (run: string): string | undefined =>
  namesIn(checkpointsOf(run)).find((name) => /^\.checkpoint-\d+$/.test(name));

/** Milliseconds until `holds`; infinite where the command ends before. Looks every millisecond. */
async function until({ child }: Running, holds: () => boolean): Promise<number> {
  const started = performance.now();
  while (child.exitCode === null && child.signalCode === null) {
    if (holds()) return performance.now() - started;
    await sleep(1);
  }
  return Infinity;
}

/** How many milliseconds a run takes from its first step to its end, and how many the writing of a checkpoint, at the median. */
async function timed(run: string, running: Running): Promise<{ training: number; writing: number }> {
  await until(running, () => hasStepped(run));
  const started = performance.now();
  const times: number[] = [];
  while ((await until(running, () => writingIn(run) !== undefined)) < Infinity) {
    const time = await until(running, () => writingIn(run) === undefined);
    if (time < Infinity) times.push(time);
  }
  await running.ended;
  const median = times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
  invariant(median !== undefined, "no checkpoint was seen being written");
  return { training: performance.now() - started, writing: median };
}

/** How far a run had come: by its log, and by what lies among its checkpoints. */
function phaseOf(run: string): string {
  const writing = writingIn(run);
  if (writing !== undefined) {
    const files = namesIn(join(checkpointsOf(run), writing)).map((name) => name.replace(/\.tmp-\d+$/, ".tmp"));
    return `writing ${writing.slice(1)}: ${files.length > 0 ? files.sort().join(", ") : "empty"}`;
  }
  if (existsSync(join(run, "weights.safetensors"))) return "ended";
  const last = textOf(join(run, "log.jsonl")).trimEnd().split("\n").at(-1) ?? "";
  const [, event, step] = /"event":"(\w+)","step":(\d+)/.exec(last) ?? [];
  return event === undefined ? "writing the log" : `after ${event} at step ${step ?? "?"}`;
}

const work = mkdtempSync(join(tmpdir(), "curvsam-kill-"));
try {
  const words = ["free", "money", "now", "meeting", "at", "noon", "prize", "report"];
  const rows = Array.from({ length: 24 }, (_, i) => `${words[i % 8] ?? ""} ${words[(3 * i + 1) % 8] ?? ""}\t${i % 2}`);
  writeFileSync(join(work, "train.tsv"), `sentence\tlabel\n${rows.join("\n")}\n`);
  const packaged = join(work, "package");
  const optimizer = ["--optimizer", "curvsam", "--base", "adamw", "--lr", "1e-3", "--frequency", "2"];
  const patch = ["patch", join(model, "model.onnx"), "-o", packaged, "--loss", "cross-entropy", ...optimizer];
  await curvsam(patch).ended;
  const data = ["--data", join(work, "train.tsv"), "--eval", join(work, "train.tsv")];
  const text = ["--tokenizer", join(model, "tokenizer.json"), "--text", "sentence", "--label", "label"];
  const rest = ["--epochs", "3", "--batch-size", "8", "--accumulate", "1", "--save-every", "1", "--threads", "1"];
  const train = (run: string): Running => {
    const resume = listCheckpoints(checkpointsOf(run)).length > 0 ? ["--resume"] : [];
    return curvsam(["train", packaged, "--output", run, ...data, ...text, ...rest, ...resume]);
  };
  const weightsOf = (run: string): Promise<string> => sha256OfFile(join(run, "weights.safetensors"));

  const whole = join(work, "whole");
  const times = await timed(whole, train(whole));
  const expected = await weightsOf(whole);
  const before = existsSync(output) ? readFileSync(output, "utf8").trimEnd().split("\n") : [];
  check(
    before.every((line) => line.includes(expected)),
    `${output}: it is the log of runs with other weights; choose another file`,
  );
  if (before.length === 0) writeFileSync(output, `${JSON.stringify({ uninterrupted: expected })}\n`);
  for (let kill = Math.max(1, before.length), attempt = 0; kill <= kills; attempt++) {
    const run = join(work, "run");
    const rng = new Rng(Number(values.seed), "kill", kill, attempt);
    const aim = kill % 4 === 0 ? "writing" : "training";
    const running = train(run);
    await until(running, () => hasStepped(run));
    const started = performance.now();
    await sleep(rng.uniform() * times.training);
    if (aim === "writing") {
      // The next one's beginning: of one that is under way it is not known how far it is.
      await until(running, () => writingIn(run) === undefined);
      await until(running, () => writingIn(run) !== undefined);
      await sleep(rng.uniform() * times.writing);
    }
    running.child.kill("SIGKILL");
    // One that was faster than its killer counts for nothing.
    if (await running.ended) {
      const after = Number(((performance.now() - started) / 1000).toFixed(3));
      const phase = phaseOf(run);
      const checkpoints = listCheckpoints(checkpointsOf(run)).map(({ step }) => step);
      await train(run).ended;
      const resumed = await weightsOf(run);
      const line = { kill, aim, after, phase, checkpoints, resumed, equal: resumed === expected };
      appendFileSync(output, `${JSON.stringify(line)}\n`);
      invariant(resumed === expected, `kill ${kill}, ${phase}: the resumed run's weights differ`);
      kill++;
    }
    rmSync(run, { recursive: true, force: true });
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
