/**
 * Writes docs/SCALING.md and the plots in docs/scaling/: the time of a step and the peak memory against parameters, batch and sequence
 * length, and the time to compile against nodes.
 *
 *     npx tsc && node build/scripts/scaling.js --work FOLDER --python python3 [--only GROUP] [--seconds 100]
 *
 * Exports and packages lie in FOLDER, and points that were measured already in FOLDER/scaling.jsonl: they are not measured again. GROUP
 * is parameters, batch, sequence or compile; no point begins once SECONDS have gone by. Without either, all that is missing is measured.
 */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { readManifest } from "../src/format/manifest.js";
import { lineChart, type Series } from "../src/report/chart.js";
import { markdownTable, type TableCell } from "../src/report/table.js";
import { check } from "../src/util/assert.js";
import { sizeOf } from "../src/util/shape.js";
import { root } from "../test/support/root.js";
import type { Compiled } from "./bench/compile_once.js";
import { exported, packaged, Points, takeSteps, type Encoder, type Optimizer } from "./scale/points.js";
import { onPaper } from "./scale/on_paper.js";
import { slope } from "./scale/slope.js";
import { threads, type Taken } from "./scale/taken.js";

const optimizers: readonly (Optimizer & { title: string })[] = [
  { title: "AdamW", ascent: "none", base: "adamw" },
  { title: "SAM over AdamW", ascent: "sam", base: "adamw" },
  { title: "CurvSAM over AdamW", ascent: "curvsam", base: "adamw" },
];

const encoder = (hidden: number, layers: number, vocabulary: number): Encoder => ({
  name: `encoder-${hidden}x${layers}`,
  config: {
    ...{ model_type: "bert", hidden_dropout_prob: 0, attention_probs_dropout_prob: 0, num_labels: 2 },
    ...{ vocab_size: vocabulary, hidden_size: hidden, num_hidden_layers: layers, intermediate_size: 4 * hidden },
    ...{ num_attention_heads: hidden / 32, max_position_embeddings: 512 },
  },
});
const usual = encoder(384, 6, 4096);
/** Of growing size; the last has the size of BERT-base. */
const encoders = [encoder(128, 4, 1024), encoder(256, 4, 2048), usual, encoder(512, 12, 8192), encoder(768, 12, 30522)];

interface Point {
  x: number;
  model: Encoder;
  batch: number;
  sequence: number;
}

const groups: Record<"parameters" | "batch" | "sequence", { axis: string; points: readonly Point[] }> = {
  parameters: {
    axis: "millions of parameters",
    points: encoders.map((model) => ({ x: 0, model, batch: 8, sequence: 64 })),
  },
  batch: {
    axis: "batch",
    points: [2, 4, 8, 16, 32, 64].map((batch) => ({ x: batch, model: usual, batch, sequence: 64 })),
  },
  sequence: {
    axis: "tokens in a text",
    points: [32, 64, 128, 256, 512].map((sequence) => ({ x: sequence, model: usual, batch: 4, sequence })),
  },
};
type Group = keyof typeof groups;
const nodes = [100, 300, 1000, 3000, 10_000];

type Measured = Taken & { parameters: number };
const keyOf = (optimizer: Optimizer, { model, batch, sequence }: Point): string =>
  `${model.name} ${optimizer.ascent} ${batch}x${sequence}`;

async function step(optimizer: Optimizer, point: Point, work: string, python: string): Promise<Measured> {
  const folder = await packaged(exported(point.model, work, python), optimizer);
  const trained = Object.values(readManifest(folder).parameters);
  const parameters = trained.reduce((sum, { shape }) => sum + sizeOf(shape), 0);
  const { batch, sequence } = point;
  return { ...takeSteps(folder, { batch, sequence, count: 6 }), parameters };
}

interface Curve {
  title: string;
  points: { x: number; taken: Measured }[];
}

/** What is known of a group, by optimizer. */
const curves = (group: Group, known: Points<Measured>): Curve[] =>
  optimizers.map((optimizer) => ({
    title: optimizer.title,
    points: groups[group].points.flatMap((point) => {
      const taken = known.get(keyOf(optimizer, point));
      return taken
        ? [{ x: group === "parameters" ? Number((taken.parameters / 1e6).toPrecision(3)) : point.x, taken }]
        : [];
    }),
  }));

const quantities = {
  time: { title: "time of a step", unit: "s", of: (t: Taken) => t.ms / 1000 },
  memory: { title: "peak memory", unit: "MB", of: (t: Taken) => t.peak / 1e6 },
};

/** The slope over the upper half of the points: what grows shows there, and what is fixed weighs less. */
const upperSlope = (points: readonly (readonly [number, number])[]): number =>
  slope(points.slice(Math.floor((points.length - 1) / 2)));

async function draw(name: string, series: Series[], x: string, y: { title: string; unit: string }): Promise<void> {
  const only = series.length === 1 ? series[0] : undefined;
  const { svg } = await lineChart({
    title: `${y.title[0]?.toUpperCase() ?? ""}${y.title.slice(1)} against ${x}`,
    subtitle: `slope on log-log axes, of the upper half of the points${only ? `: ${upperSlope(only.points).toFixed(2)}` : ""}`,
    x: { title: x, scale: "log" },
    y: { ...y, scale: "log" },
    series: series.map((s) => ({ ...s, name: `${s.name}: ${upperSlope(s.points).toFixed(2)}` })),
  });
  mkdirSync(join(root, "docs", "scaling"), { recursive: true });
  writeFileSync(join(root, "docs", "scaling", `${name}.svg`), svg);
}

async function sectionOf(group: Group, known: Points<Measured>): Promise<string> {
  const { axis } = groups[group];
  const all = curves(group, known).filter(({ points }) => points.length > 2);
  if (all.length === 0) return "";
  for (const [name, quantity] of Object.entries(quantities)) {
    const series = all.map(({ title, points }): Series => ({
      name: title,
      points: points.map(({ x, taken }) => [x, quantity.of(taken)] as const),
    }));
    await draw(`${group}-${name}`, series, axis, quantity);
  }
  const rows = all.flatMap(({ title, points }) =>
    points.map(({ x, taken }): TableCell[] => [
      title,
      x.toLocaleString("en"),
      Math.round(taken.ms),
      Math.round(taken.peak / 1e6),
    ]),
  );
  return `## Against ${axis}

![](scaling/${group}-time.svg)
![](scaling/${group}-memory.svg)

${markdownTable(["optimizer", axis, "ms a step", "peak RSS, MB"], rows)}
`;
}

async function compileSection(known: Points<Compiled>): Promise<string> {
  const compiled = nodes.flatMap((count) => known.get(String(count)) ?? []);
  if (compiled.length < 3) return "";
  const total = (c: Compiled): number => c.read + c.gradient + c.hvp + c.write;
  const points = compiled.map((c) => [c.nodes, total(c)] as const);
  await draw("compile-time", [{ name: "gradient and HVP", points }], "nodes of the model", {
    title: "time to compile",
    unit: "s",
  });
  const rows = compiled.map((c) => [
    ...[c.nodes.toLocaleString("en"), c.emitted.toLocaleString("en"), total(c).toFixed(2), Math.round(c.peak / 1e6)],
  ]);
  return `## To compile

The gradient and Hessian-vector graphs of the residual models of [COMPILE_TIME.md](COMPILE_TIME.md), which goes up to 100,000 nodes.

![](scaling/compile-time.svg)

${markdownTable(["nodes", "nodes of the HVP graph", "s", "peak RSS, MB"], rows)}
`;
}

const { values } = parseArgs({
  options: {
    work: { type: "string", default: join(root, "build", "scaling") },
    python: { type: "string", default: "python3" },
    only: { type: "string" },
    seconds: { type: "string", default: "Infinity" },
  },
});
const { work, python, only } = values;
const known = [...Object.keys(groups), "compile"];
check(only === undefined || known.includes(only), `--only: "${only ?? ""}"; one of ${known.join(", ")} expected`);
const points = new Points<Measured>(join(work, "scaling.jsonl"));
const compiles = new Points<Compiled>(join(work, "compile.jsonl"));
const end = performance.now() + 1000 * Number(values.seconds);
const wanted = (group: string): boolean => (only ?? group) === group && performance.now() < end;
for (const [group, { points: all }] of Object.entries(groups)) {
  for (const point of all) {
    for (const optimizer of optimizers) {
      if (wanted(group)) await points.measure(keyOf(optimizer, point), () => step(optimizer, point, work, python));
    }
  }
}
const once = join(root, "build", "scripts", "bench", "compile_once.js");
for (const count of nodes) {
  if (!wanted("compile")) continue;
  await compiles.measure(
    String(count),
    () => JSON.parse(execFileSync(process.execPath, [once, String(count)], { encoding: "utf8" })) as Compiled,
  );
}
const sections: string[] = [];
for (const group of ["parameters", "batch", "sequence"] as const) sections.push(await sectionOf(group, points));
sections.push(await compileSection(compiles));
const largest = curves("parameters", points).map(({ title, points: all }) => ({ title, last: all.at(-1)?.taken }));
writeFileSync(
  join(root, "docs", "SCALING.md"),
  `# Scaling

Written by \`scripts/scaling.ts\`, never by hand. BERT encoders with random weights, without dropout, heads of 32 and a feed-forward width of
four times the hidden one; one fused step at a time, CurvSAM with an exact Hessian-vector product at every one. Every point is a
process of its own: ${threads} threads of ${cpus()[0]?.model.trim() ?? "an unknown processor"}, Node ${process.version}, medians of five steps after one, VmHWM. Where one
quantity varies, the encoder has 6 layers of 384 (12 million parameters), the batch is 8 x 64 against parameters, B x 64 against
batch, 4 x T against length. RoBERTa-large, of 355 million parameters, is in [MEMORY.md](MEMORY.md).

${sections.filter(Boolean).join("")}
${onPaper(largest)}`,
);
