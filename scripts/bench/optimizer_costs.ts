/**
 * What each optimizer's own part of a step costs: writes docs/OPTIMIZER_COSTS.json and, from it, docs/OPTIMIZER_COSTS.md.
 *
 *     npx tsc && node build/scripts/bench/optimizer_costs.js [--only "NAME;…"] [--work build/bench/encoder] [--threads 2]
 *
 * On the 6-layer encoder of the benchmark, whose folder `npm run bench -- --prepare` makes. Each optimizer takes its steps in turn
 * with SAM over AdamW, each in a process of its own, so that ratios are of one run; then once more under the runtime's profile.
 * With `--only` the results of the others stay.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { readManifest } from "../../src/format/manifest.js";
import { patch } from "../../src/pack/patch.js";
import { byteLength } from "../../src/util/dtype.js";
import { sizeOf } from "../../src/util/shape.js";
import { check, must } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { runScript } from "../script.js";
import { LineProcess } from "./line_process.js";
import { contestants, type Contestant } from "./optimizer_contestants.js";
import { costsPage, type Cost, type Costs } from "./optimizer_report.js";
import { median } from "./report.js";

const { values } = parseArgs({
  options: {
    only: { type: "string" },
    work: { type: "string", default: join(root, "build", "bench", "encoder") },
    threads: { type: "string", default: "2" },
    pause: { type: "string", default: "100" },
  },
});
const { work, threads } = values;
/** Runs of several steps that do not count yet, and those that do. */
const [warmUpRuns, countedRuns] = [1, 3];
/** What the others are held against. */
const sam = must(contestants[0], "SAM");
const say = (line: string) => process.stderr.write(`${line}\n`);
const model = join(work, "model.onnx");

const folderOf = (name: string): string => join(work, `costs ${name}`.replace(/\W+/g, "_"));

async function prepare({ name, options }: Contestant): Promise<void> {
  const loss = { kind: "cross-entropy" as const };
  await patch(model, folderOf(name), { loss, ...options, hyper: { lr: 1e-4, ...options.hyper }, force: true });
}

const startScript = async (name: string, script: string, args: readonly string[]): Promise<LineProcess> => {
  const file = join(root, "build", "scripts", "bench", script);
  const [child] = await LineProcess.start(name, process.execPath, [file, ...args]);
  return child;
};

const inputsOf = (name: string): string[] => [folderOf(name), join(work, "batch.json"), threads];

const start = (name: string, ...more: string[]): Promise<LineProcess> =>
  startScript(name, "optimizer_process.js", [...inputsOf(name), ...more]);

const startTraining = (name: string, run: number): Promise<LineProcess> =>
  startScript(name, "contender.js", ["train", ...inputsOf(name), String(run)]);

/** Bytes of state for each trainable parameter. */
function stateBytes(name: string): number {
  const { state, parameters } = readManifest(folderOf(name));
  const bytes = Object.values(state).reduce((sum, s) => sum + byteLength(s.dtype, sizeOf(s.shape)), 0);
  const count = Object.values(parameters).reduce((sum, p) => sum + (p.trainable ? sizeOf(p.shape) : 0), 0);
  return bytes / count;
}

/** The mean of `of` over the steps of the contestant's own schedule, a value for each set of graphs that a step runs. */
function meanOver({ name, weights }: Contestant, of: (graphs: string) => number | undefined): number {
  const rest = 1 - Object.values(weights).reduce((a, b) => a + b, 0);
  const plain = rest > 1e-9 ? rest * must(of("plain"), `a plain step of ${name}`) : 0;
  return Object.entries(weights).reduce((sum, [graph, w]) => sum + w * must(of(graph), `${graph} of ${name}`), plain);
}

/** A step's graphs by what the weights call them: the first of them that has a weight; else plain. */
const keyOf = ({ weights }: Contestant, graphs: string): string =>
  graphs.split(" ").find((graph) => graph in weights) ?? "plain";

/** Milliseconds a step of a contestant, and of SAM's steps that were taken in turn with them. */
type Timed = Pick<Cost, "times" | "sam" | "milliseconds">;

const rounded = (times: readonly number[]): number[] => times.map(Math.round);

/** Runs of several steps, as `curvsam train` takes them, in turn with such runs of SAM. */
async function timeRuns({ name }: Contestant, run: number): Promise<Timed> {
  const pair = await Promise.all([name, sam.name].map((each) => startTraining(each, run)));
  const means: number[][] = [[], []];
  for (let round = -warmUpRuns; round < countedRuns; round++) {
    for (const [i, child] of pair.entries()) {
      await setTimeout(Number(values.pause));
      const { ms } = await child.ask("step");
      if (round >= 0) means[i]?.push(Number(ms));
    }
  }
  for (const child of pair) await child.ask("end");
  const [own = [], others = []] = means;
  return { times: { run: rounded(own) }, sam: rounded(others), milliseconds: median(own) };
}

/** Steps one by one, in turn with steps of SAM; weighed by the contestant's own schedule. */
async function timeSteps(contestant: Contestant): Promise<Timed> {
  const [child, reference] = await Promise.all([start(contestant.name), start(sam.name)]);
  const own = new Map<string, number[]>();
  const others: number[] = [];
  for (let i = 0; i < contestant.warmUp + contestant.steps; i++) {
    await setTimeout(Number(values.pause));
    const { ms, graphs } = await child.ask("step");
    await setTimeout(Number(values.pause));
    const { ms: other } = await reference.ask("step");
    if (i < contestant.warmUp) continue;
    const key = keyOf(contestant, graphs as string);
    own.set(key, [...(own.get(key) ?? []), Number(ms)]);
    others.push(Number(other));
  }
  for (const process of [child, reference]) await process.ask("end");
  const times = Object.fromEntries([...own].map(([graph, x]) => [graph, rounded(x)]));
  const milliseconds = meanOver(contestant, (graph) => {
    const found = own.get(graph);
    return found && median(found);
  });
  return { times, sam: rounded(others), milliseconds };
}

async function measure(contestant: Contestant): Promise<Cost> {
  const { name, run } = contestant;
  const timed = run === undefined ? await timeSteps(contestant) : await timeRuns(contestant, run);
  const profiled = await start(name, "profile");
  for (let i = 0; i < contestant.warmUp + contestant.steps; i++) await profiled.ask("step");
  const profile = (await profiled.ask("end"))["profile"] as Record<string, Shares>;
  const share = (graph: string): number | undefined => {
    const found =
      graph === "plain"
        ? (profile["look_step"] ?? profile["step"] ?? profile[Object.keys(profile)[0] ?? ""])
        : profile[graph];
    return found && found.own / found.all;
  };
  return {
    name,
    ...timed,
    ratio: timed.milliseconds / median(timed.sam),
    share: meanOver(contestant, share),
    stateBytes: stateBytes(name),
  };
}

/** Milliseconds of a graph's kernels, and of those that are the optimizer's own. */
type Shares = Record<"all" | "own", number>;

async function main(): Promise<void> {
  const only = values.only?.split(";");
  const chosen = contestants.filter(({ name }) => only?.includes(name) ?? true);
  check(
    chosen.length === (only ?? contestants).length,
    `--only: some of ${contestants.map((c) => c.name).join("; ")} expected`,
  );
  check(existsSync(model), `${model}: absent; npm run bench -- --prepare makes it`);
  const file = join(root, "docs", "OPTIMIZER_COSTS.json");
  const before = existsSync(file) ? (JSON.parse(readFileSync(file, "utf8")) as Costs) : { machine: "", costs: [] };
  for (const contestant of new Set([sam, ...chosen])) await prepare(contestant);
  const machine = `${new Date().toISOString().slice(0, 10)}; ${cpus()[0]?.model.trim() ?? "unknown"}; ${threads} threads; Node ${process.version}`;
  let costs = before.costs;
  for (const contestant of chosen) {
    const cost = await measure(contestant);
    say(
      `${cost.name}: ${cost.milliseconds.toFixed(0)} ms, ${cost.ratio.toFixed(3)} of SAM, ${(100 * cost.share).toFixed(1)} % of it arithmetic`,
    );
    // Written one by one: a run that is cut short keeps what it has.
    costs = contestants.flatMap(({ name }) => [cost, ...costs].find((c) => c.name === name) ?? []);
    writeFileSync(file, `${JSON.stringify({ machine, costs }, null, 1)}\n`);
    writeFileSync(join(root, "docs", "OPTIMIZER_COSTS.md"), costsPage({ machine, costs }));
  }
}

await runScript(main);
