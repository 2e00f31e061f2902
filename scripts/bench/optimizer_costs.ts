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
const say = (line: string) => process.stderr.write(`${line}\n`);
const model = join(work, "model.onnx");

const folderOf = (name: string): string => join(work, `costs ${name}`.replace(/\W+/g, "_"));

async function prepare({ name, options }: Contestant): Promise<void> {
  const loss = { kind: "cross-entropy" as const };
  await patch(model, folderOf(name), { loss, ...options, hyper: { lr: 1e-4, ...options.hyper }, force: true });
}

const start = async (name: string, ...more: string[]): Promise<LineProcess> => {
  const script = join(root, "build", "scripts", "bench", "optimizer_process.js");
  const [child] = await LineProcess.start(name, process.execPath, [
    ...[script, folderOf(name), join(work, "batch.json"), threads, ...more],
  ]);
  return child;
};

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

async function measure(contestant: Contestant, reference: LineProcess): Promise<Cost> {
  const { name, steps } = contestant;
  const child = await start(name);
  const own = new Map<string, number[]>();
  const sam: number[] = [];
  for (let i = 0; i < contestant.warmUp + steps; i++) {
    await setTimeout(Number(values.pause));
    const { ms, graphs } = await child.ask("step");
    await setTimeout(Number(values.pause));
    const { ms: other } = await reference.ask("step");
    if (i < contestant.warmUp) continue;
    const key = keyOf(contestant, String(graphs));
    own.set(key, [...(own.get(key) ?? []), Number(ms)]);
    sam.push(Number(other));
  }
  await child.ask("end");
  const profiled = await start(name, "profile");
  for (let i = 0; i < contestant.warmUp + steps; i++) await profiled.ask("step");
  const profile = (await profiled.ask("end"))["profile"] as Record<string, Shares>;
  const share = (graph: string): number | undefined => {
    const found =
      graph === "plain"
        ? (profile["look_step"] ?? profile["step"] ?? profile[Object.keys(profile)[0] ?? ""])
        : profile[graph];
    return found && found.own / found.all;
  };
  const milliseconds = meanOver(contestant, (graph) => {
    const times = own.get(graph);
    return times && median(times);
  });
  const times = Object.fromEntries([...own].map(([graph, x]) => [graph, x.map(Math.round)]));
  return {
    name,
    ...{ times, sam: sam.map(Math.round), milliseconds, ratio: milliseconds / median(sam) },
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
  const sam = must(contestants[0], "SAM");
  for (const contestant of new Set([sam, ...chosen])) await prepare(contestant);
  const reference = await start(sam.name);
  for (let i = 0; i < 3; i++) await reference.ask("step");
  const machine = `${new Date().toISOString().slice(0, 10)}; ${cpus()[0]?.model.trim() ?? "unknown"}; ${threads} threads; Node ${process.version}`;
  let costs = before.costs;
  for (const contestant of chosen) {
    const cost = await measure(contestant, reference);
    say(
      `${cost.name}: ${cost.milliseconds.toFixed(0)} ms, ${cost.ratio.toFixed(3)} of SAM, ${(100 * cost.share).toFixed(1)} % of it arithmetic`,
    );
    // Written one by one: a run that is cut short keeps what it has.
    costs = contestants.flatMap(({ name }) => [cost, ...costs].find((c) => c.name === name) ?? []);
    writeFileSync(file, `${JSON.stringify({ machine, costs }, null, 1)}\n`);
    writeFileSync(join(root, "docs", "OPTIMIZER_COSTS.md"), costsPage({ machine, costs }));
  }
  await reference.ask("end");
}

await runScript(main);
