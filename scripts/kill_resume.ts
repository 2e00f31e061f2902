/**
 * Kills training runs with SIGKILL at random moments, resumes each, and compares its weights with those of a run that was left alone.
 *
 *     node build/scripts/kill_resume.js docs/kill_resume.jsonl --kills 100
 *
 * Goes on with the log where it is there already. Writes one JSON line a kill: when, how far the run had come, what was left, and the SHA-256 of the resumed run's weights.
 */
import { spawn } from "node:child_process";
import { appendFileSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
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

/** Runs the command line; kills it after `killAfter` milliseconds. Returns whether it was killed. */
function curvsam(args: readonly string[], killAfter?: number): Promise<{ killed: boolean; seconds: number }> {
  return new Promise((resolve, reject) => {
    const started = performance.now();
    const child = spawn(process.execPath, [main, ...args], { stdio: ["ignore", "ignore", "inherit"] });
    const timer = killAfter === undefined ? undefined : setTimeout(() => child.kill("SIGKILL"), killAfter);
    child.on("error", reject);
    child.on("exit", (code, signal) => {
      clearTimeout(timer);
      const seconds = (performance.now() - started) / 1000;
      if (signal === "SIGKILL" || code === 0) resolve({ killed: signal !== null, seconds });
      else reject(new Error(`curvsam ${args[0] ?? ""} ended with ${signal ?? code}`));
    });
  });
}

/** How far a run had come: by its log, and by what lies among its checkpoints. */
function phaseOf(run: string): string {
  const log = join(run, "log.jsonl");
  const checkpoints = join(run, "checkpoints");
  const names = existsSync(checkpoints) ? readdirSync(checkpoints) : [];
  const writing = names.find((name) => /^\.checkpoint-\d+/.test(name));
  if (writing !== undefined) return `writing ${writing.slice(1)}`;
  if (existsSync(join(run, "weights.safetensors"))) return "ended";
  const last = existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n").at(-1) : undefined;
  if (!last) return "starting";
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
  await curvsam(["patch", join(model, "model.onnx"), "-o", packaged, "--loss", "cross-entropy", ...optimizer]);
  const data = ["--data", join(work, "train.tsv"), "--eval", join(work, "train.tsv")];
  const text = ["--tokenizer", join(model, "tokenizer.json"), "--text", "sentence", "--label", "label"];
  const rest = ["--epochs", "3", "--batch-size", "8", "--accumulate", "1", "--save-every", "1", "--threads", "1"];
  const train = (run: string, killAfter?: number): ReturnType<typeof curvsam> => {
    const resume = listCheckpoints(join(run, "checkpoints")).length > 0 ? ["--resume"] : [];
    return curvsam(["train", packaged, "--output", run, ...data, ...text, ...rest, ...resume], killAfter);
  };
  const weightsOf = (run: string): Promise<string> => sha256OfFile(join(run, "weights.safetensors"));

  const whole = join(work, "whole");
  const { seconds } = await train(whole);
  const expected = await weightsOf(whole);
  const before = existsSync(output) ? readFileSync(output, "utf8").trimEnd().split("\n") : [];
  check(
    before.every((line) => line.includes(expected)),
    `${output}: it is the log of runs with other weights; choose another file`,
  );
  if (before.length === 0) writeFileSync(output, `${JSON.stringify({ uninterrupted: expected })}\n`);
  for (let kill = Math.max(1, before.length), attempt = 0; kill <= kills; attempt++) {
    const run = join(work, "run");
    const after = new Rng(Number(values.seed), "kill", kill, attempt).uniform() * seconds;
    const { killed } = await train(run, 1000 * after);
    // One that was faster than its killer counts for nothing.
    if (killed) {
      const phase = phaseOf(run);
      const checkpoints = listCheckpoints(join(run, "checkpoints")).map(({ step }) => step);
      await train(run);
      const resumed = await weightsOf(run);
      const line = { kill, after: Number(after.toFixed(3)), phase, checkpoints, resumed, equal: resumed === expected };
      appendFileSync(output, `${JSON.stringify(line)}\n`);
      invariant(resumed === expected, `kill ${kill}, ${phase}: the resumed run's weights differ`);
      kill++;
    }
    rmSync(run, { recursive: true, force: true });
  }
} finally {
  rmSync(work, { recursive: true, force: true });
}
