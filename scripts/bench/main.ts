/**
 * The benchmark against PyTorch: writes docs/BENCHMARKS.json and, from it, docs/BENCHMARKS.md.
 *
 *     npm run bench -- [--case encoder] [--steps 15] [--threads 2] [--work build/bench] [--prepare]; --help tells more
 *
 * Every contender is a process of its own; they take steps in turn, so that whatever else the machine does hits all alike. `--python`
 * names a Python that has PyTorch and transformers; without one only our rows are measured, and models must lie in the work
 * folder already. `--ort-python` names one that has ONNX Runtime's training build (ort_training.py). `--prepare` exports, patches and fills compilation caches, and measures nothing: for when the time
 * on an idle machine is short. Results of other cases in the JSON file are kept.
 */
import { execFileSync, spawn } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { availableParallelism, cpus, totalmem } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readManifest } from "../../src/format/manifest.js";
import { patch } from "../../src/pack/patch.js";
import { check } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { makeBatch, makeImages } from "./batches.js";
import { cases, vocabularyOf, type CaseName } from "./cases.js";
import { LineProcess, type Answer } from "./line_process.js";
import { median, report, type Entry, type PatchResult, type Results } from "./report.js";

const warmUp = 2;
/** Milliseconds between two steps: the threads of the contender before spin for a while before they sleep. */
const pause = 300;
const script = (name: string): string => join(root, "build", "scripts", "bench", name);
const say = (line: string) => process.stderr.write(`${line}\n`);

const usage = `Usage: npm run bench -- [options]

Measures our steps against PyTorch's, and writes docs/BENCHMARKS.json and docs/BENCHMARKS.md.

  --case NAME          ${Object.keys(cases).join(", ")} (default encoder)
  --steps N            steps of each contender, in turn (default 15)
  --threads N          threads of each contender (default 2)
  --work DIR           where exports, packages and batches are kept (default build/bench)
  --python FILE        a Python that has PyTorch and transformers (default python3)
  --ort-python FILE    a Python that has ONNX Runtime's training build; encoders only
  --prepare            export, patch and fill compilation caches; measure nothing
  --help               this text
`;

interface Options {
  name: CaseName;
  steps: number;
  threads: number;
  work: string;
  python: string | null;
  ortPython: string | null;
  prepare: boolean;
}

function readOptions(): Options {
  const { values } = parseArgs({
    options: {
      case: { type: "string", default: "encoder" },
      steps: { type: "string", default: "15" },
      threads: { type: "string", default: "2" },
      work: { type: "string", default: join(root, "build", "bench") },
      python: { type: "string", default: "python3" },
      "ort-python": { type: "string" },
      prepare: { type: "boolean", default: false },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    process.stdout.write(usage);
    process.exit(0);
  }
  const known = Object.keys(cases);
  check(known.includes(values.case), `--case: "${values.case}"; one of ${known.join(", ")} expected`);
  const [steps, threads] = [Number(values.steps), Number(values.threads)];
  check(Number.isInteger(steps) && steps > 0, `--steps: "${values.steps}"; a whole number from 1 on expected`);
  check(Number.isInteger(threads) && threads > 0, `--threads: "${values.threads}"; a whole number from 1 on expected`);
  const name = values.case as CaseName;
  return {
    name,
    steps,
    threads,
    work: join(values.work, name),
    python: usablePython(values.python),
    ortPython: values["ort-python"] ?? null,
    prepare: values.prepare,
  };
}

function usablePython(command: string): string | null {
  try {
    execFileSync(command, ["-c", "import torch, transformers"], { stdio: "ignore" });
    return command;
  } catch {
    say(`${command}: no PyTorch with transformers there; only our own rows are measured (--python names another)`);
    return null;
  }
}

/** Exports the case's model to the work folder; what PyTorch builds it of is written beside it. */
function exportModel({ name, work, python }: Options, model: string): void {
  const of = cases[name];
  const isImages = "flags" in of;
  const config = join(work, "case.json");
  writeFileSync(config, JSON.stringify(isImages ? { flags: of.flags } : of.config));
  if (existsSync(model)) return;
  check(python !== null, `${model}: absent, and making it takes PyTorch; give a Python with --python`);
  const run = (exporter: string, ...args: string[]) =>
    execFileSync(python, [join(root, "scripts", exporter), ...args], { stdio: "inherit" });
  if (isImages) {
    run("export_vision.py", ...of.flags, "--out", model);
    return;
  }
  const given = ["--config", config, "--mode", "train", "--out"];
  run("export_hf.py", ...given, work);
  // The training build takes no LayerNormalization of the standard: it has one of its own.
  run("export_hf.py", ...given, join(work, "opset14"), "--opset", "14");
}

/** The export, the batch and one package for each ascent, made once in the work folder. */
async function prepare(options: Options): Promise<void> {
  const { name, work, prepare: anew } = options;
  mkdirSync(work, { recursive: true });
  const model = join(work, "model.onnx");
  exportModel(options, model);
  for (const ascent of ["none", "sam", "curvsam"]) {
    const folder = join(work, ascent);
    if (existsSync(folder) && !anew) continue;
    await patch(model, folder, {
      loss: { kind: "cross-entropy" },
      optimizer: ascent,
      ...(ascent === "curvsam" && { optimizerOptions: { frequency: 1 } }),
      base: "adamw",
      hyper: { lr: 1e-4 },
      force: true,
    });
  }
  const inputs = Object.keys(readManifest(join(work, "none")).inputs);
  const of = cases[name];
  const batch = "size" in of ? makeImages(of) : makeBatch({ ...of, vocabulary: vocabularyOf(of) }, inputs);
  writeFileSync(join(work, "batch.json"), JSON.stringify(batch));
}

interface Contender {
  name: string;
  side: string;
  optimizer: string;
  process: LineProcess;
  times: number[];
  loss: number;
  /** Steps in a run. */
  count: number;
  end: Answer;
}

interface Command {
  side: string;
  optimizer: string;
  command: string;
  args: string[];
}

/** What takes part, in groups that run one after the other: all at once, or by optimizer where memory holds no more. */
function commandsOf({ name, work, threads, python, ortPython }: Options): Command[][] {
  const batch = join(work, "batch.json");
  const flags = (values: Record<string, string>) =>
    Object.entries(values).flatMap(([key, value]) => [`--${key}`, value]);
  const ours = (side: string, kind: string, optimizer: string): Command => {
    const args = [
      script("contender.js"),
      kind,
      join(work, optimizer),
      batch,
      String(threads),
      String(cases[name].chunk),
    ];
    return { side, optimizer, command: process.execPath, args };
  };
  const pytorch = (mode: string, optimizer: string): Command => {
    const given = flags({ config: join(work, "case.json"), batch, optimizer, mode, threads: String(threads) });
    const args = [join(root, "scripts", "bench", "pytorch.py"), ...given];
    return { side: mode, optimizer, command: python ?? "", args };
  };
  const trainingBuild = (): Command => {
    const given = flags({ model: join(work, "opset14", "model.onnx"), batch, threads: String(threads) });
    const args = [join(root, "scripts", "bench", "ort_training.py"), ...given];
    return { side: "ort", optimizer: "none", command: ortPython ?? "", args };
  };
  const isText = "sequence" in cases[name];
  const modes = cases[name].bounds.compiled === null ? ["eager"] : ["eager", "compile"];
  const groups = ["none", "sam", "curvsam"].map((optimizer) => [
    ours("curvsam", "train", optimizer),
    ...(optimizer === "sam" && isText ? [ours("products", "products", optimizer)] : []),
    ...(python === null ? [] : modes.map((mode) => pytorch(mode, optimizer))),
    ...(optimizer === "none" && isText && ortPython !== null ? [trainingBuild()] : []),
  ]);
  return cases[name].together ? [groups.flat()] : groups;
}

async function start(commands: readonly Command[]): Promise<Contender[]> {
  const contenders: Contender[] = [];
  for (const { side, optimizer, command, args } of commands) {
    const name = `${side} ${optimizer}`;
    const [child, ready] = await LineProcess.start(name, command, args);
    const contender: Contender = { name, side, optimizer, process: child, times: [], loss: NaN, count: 1, end: ready };
    for (let i = 0; i < warmUp; i++) {
      const { loss, ms } = await child.ask("step");
      if (i === 0) contender.loss = Number(loss ?? NaN);
      say(`${name}: step ${i + 1} of the warm-up, ${Number(ms).toFixed(0)} ms`);
    }
    contenders.push(contender);
  }
  return contenders;
}

async function measure(contenders: readonly Contender[], steps: number): Promise<Entry[]> {
  for (let i = 0; i < steps; i++) {
    for (const c of contenders) {
      await setTimeout(pause);
      const { ms, count } = await c.process.ask("step");
      c.times.push(Number(ms));
      c.count = Number(count ?? 1);
    }
    say(`round ${i + 1} of ${steps}: ${contenders.map((c) => (c.times.at(-1) ?? 0).toFixed(0)).join(" ")}`);
  }
  const entries: Entry[] = [];
  for (const c of contenders) {
    const { peak } = await c.process.ask("end");
    const { version, imported } = c.end;
    entries.push({
      side: c.side,
      optimizer: c.optimizer,
      milliseconds: c.times.map((t) => Math.round(t * 10) / 10),
      peakBytes: Number(peak),
      importedBytes: Number(imported ?? 0),
      firstLoss: c.loss,
      stepsInRun: c.count,
      version: (version ?? null) as string | null,
    });
  }
  return entries;
}

/** The share of a step, in percent, that is spent outside of the runtime's executor; medians over steps. */
async function outsideShare({ name, work, threads, steps }: Options, ascent: string): Promise<number> {
  const { chunk } = cases[name];
  const args = [
    script("contender.js"),
    "kernels",
    join(work, ascent),
    join(work, "batch.json"),
    String(threads),
    String(chunk),
  ];
  const [child] = await LineProcess.start("kernels", process.execPath, args);
  const walls: number[] = [];
  for (let i = 0; i < warmUp + steps; i++) walls.push(Number((await child.ask("step"))["ms"]));
  const runs = ((await child.ask("end"))["executor"] as string).split(",").map(Number);
  check(runs.length === walls.length, `${runs.length} runs in the profile of ${walls.length}`);
  return 100 * median(walls.map((wall, i) => 1 - (runs[i] ?? 0) / (wall * chunk)).slice(warmUp));
}

/** Patches the model in a process of its own, three times. */
async function patching({ work }: Options): Promise<PatchResult> {
  const model = join(work, "model.onnx");
  const seconds: number[] = [];
  const peaks: number[] = [];
  for (let i = 0; i < 3; i++) {
    const begin = performance.now();
    const child = spawn(process.execPath, [script("patch_once.js"), model, join(work, "patched")], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    let text = "";
    child.stdout.on("data", (chunk: Buffer) => (text += chunk.toString()));
    const code = await new Promise<number | null>((resolve) => child.once("close", resolve));
    check(code === 0, `patching ${model} failed`);
    seconds.push((performance.now() - begin) / 1000);
    peaks.push((JSON.parse(text) as { peak: number }).peak);
  }
  rmSync(join(work, "patched"), { recursive: true });
  const external = `${model}.data`;
  const bytes = statSync(model).size + (existsSync(external) ? statSync(external).size : 0);
  return { seconds, peakBytes: peaks, modelBytes: bytes };
}

const options = readOptions();
await prepare(options);
if (options.prepare) {
  // Our graphs are lowered in seconds; only compilers need a run to fill their caches.
  for (const command of commandsOf(options)
    .flat()
    .filter(({ side }) => side === "compile")) {
    for (const c of await start([command])) await c.process.ask("end");
  }
} else {
  const entries: Entry[] = [];
  for (const group of commandsOf(options)) entries.push(...(await measure(await start(group), options.steps)));
  const share = await outsideShare(options, "sam");
  const file = join(root, "docs", "BENCHMARKS.json");
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Results) : {};
  const results: Results = {
    ...before,
    [options.name]: {
      date: new Date().toISOString().slice(0, 10),
      cpu: `${cpus()[0]?.model.trim() ?? "unknown"}, ${availableParallelism()} cores, ${Math.round(totalmem() / 2 ** 30)} GiB`,
      node: process.version,
      threads: options.threads,
      steps: options.steps,
      entries,
      outsidePercent: share,
      patch: await patching(options),
    },
  };
  writeFileSync(file, `${JSON.stringify(results, null, 1)}\n`);
  writeFileSync(join(root, "docs", "BENCHMARKS.md"), report(results));
  process.stdout.write(report({ [options.name]: results[options.name] }));
}
