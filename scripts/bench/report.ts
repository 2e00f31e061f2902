import { formatNumber, markdownTable, type TableCell } from "../../src/report/table.js";
import { cases, type CaseName } from "./cases.js";

/** One contender's measurements. */
export interface Entry {
  /** `curvsam`, `products` (the matrix products of our SAM step alone), `ort` (its training build), or PyTorch's mode: `eager`, `compile`. */
  side: string;
  /** none, sam or curvsam, over AdamW. */
  optimizer: string;
  milliseconds: number[];
  peakBytes: number;
  /** Resident set once the libraries were loaded, before there was a model. */
  importedBytes: number;
  /** Loss of the first step: equal weights and batches give equal ones. */
  firstLoss: number;
  /** How many steps one run of the runtime takes; the times are of one of them. */
  stepsInRun: number;
  version: string | null;
}

export interface PatchResult {
  seconds: number[];
  peakBytes: number[];
  modelBytes: number;
}

export interface CaseResult {
  date: string;
  cpu: string;
  node: string;
  threads: number;
  steps: number;
  entries: Entry[];
  outsidePercent: number;
  patch: PatchResult;
}

export type Results = Partial<Record<CaseName, CaseResult>>;

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length / 2;
  const [low, high] = [sorted[Math.ceil(middle) - 1] ?? NaN, sorted[Math.floor(middle)] ?? NaN];
  return (low + high) / 2;
}

const sideNames: Readonly<Record<string, string>> = {
  curvsam: "curvsam",
  products: "its matrix products alone",
  eager: "PyTorch eager",
  compile: "PyTorch torch.compile",
  ort: "ONNX Runtime's training build",
};
const optimizerNames: Readonly<Record<string, string>> = {
  none: "AdamW",
  sam: "SAM",
  curvsam: "CurvSAM, F = 1, exact HVP",
};

/** What is asked of a case, and the bound. Bounds of time against PyTorch depend on the case. */
function targets(name: CaseName, result: CaseResult): TableCell[][] {
  const entry = (side: string, optimizer: string) =>
    result.entries.find((e) => e.side === side && e.optimizer === optimizer);
  const time = (side: string, optimizer: string): number => median(entry(side, optimizer)?.milliseconds ?? []);
  const peak = (side: string, optimizer: string): number => entry(side, optimizer)?.peakBytes ?? NaN;
  const { eager, compiled } = cases[name].bounds;
  const rows: [what: string, measured: number, bound: number, unit: string][] = [
    ["SAM / its matrix products alone", time("curvsam", "sam") / time("products", "sam"), 1.12, ""],
    ["CurvSAM, F = 1, exact HVP / SAM", time("curvsam", "curvsam") / time("curvsam", "sam"), 2.05, ""],
    ...["none", "sam", "curvsam"].flatMap((o): [string, number, number, string][] => {
      const what = optimizerNames[o] ?? o;
      return [
        [`${what} / PyTorch eager`, time("curvsam", o) / time("eager", o), eager, ""],
        [`${what} / PyTorch compiled`, time("curvsam", o) / time("compile", o), compiled ?? NaN, ""],
        [`${what}, peak RSS / PyTorch eager`, peak("curvsam", o) / peak("eager", o), 0.8, ""],
      ];
    }),
    ["AdamW / ONNX Runtime's training build", time("curvsam", "none") / time("ort", "none"), 1, ""],
    ["AdamW, peak RSS / ONNX Runtime's training build", peak("curvsam", "none") / peak("ort", "none"), 0.8, ""],
    ["Share of a SAM step outside of the runtime's executor", result.outsidePercent, 2, " %"],
  ];
  const { seconds, peakBytes, modelBytes } = result.patch;
  if (name === "roberta-base") {
    rows.push(["Patching", median(seconds), 5, " s"]);
    rows.push(["Patching, peak RSS / model", median(peakBytes) / modelBytes, 1.5, ""]);
  }
  return rows
    .filter(([, measured]) => Number.isFinite(measured))
    .map(([what, measured, bound, unit]) => [
      what,
      `≤ ${bound}${unit}`,
      `${formatNumber(measured, 3)}${unit}`,
      measured <= bound ? "met" : "**missed**",
    ]);
}

function section(name: CaseName, result: CaseResult): string {
  const of = cases[name];
  const { title, batch } = of;
  const rows = "size" in of ? `${batch} of 3 x ${of.size} x ${of.size}` : `${batch} x ${of.sequence}`;
  const torch = result.entries.find((e) => e.side === "eager")?.version;
  const build = result.entries.find((e) => e.side === "ort")?.version;
  const { seconds, peakBytes, modelBytes } = result.patch;
  const mega = (bytes: number): number => Math.round(bytes / 1e6);
  const measurements = result.entries.map((e) => [
    sideNames[e.side] ?? e.side,
    optimizerNames[e.optimizer] ?? e.optimizer,
    e.side === "products" ? null : e.stepsInRun,
    Math.round(median(e.milliseconds)),
    Math.round(Math.min(...e.milliseconds)),
    Math.round(Math.max(...e.milliseconds)),
    e.side === "products" ? null : mega(e.peakBytes),
    e.side === "products" ? null : mega(e.importedBytes),
    e.side === "products" ? null : formatNumber(e.firstLoss, 6),
  ]);
  return [
    `## ${title}, batch ${rows}`,
    "",
    `${result.date}; ${result.cpu}; ${result.threads} threads; Node ${result.node}; ` +
      `${torch === undefined ? "PyTorch was not there" : `PyTorch ${torch}`}; ` +
      (build === undefined ? "" : `ONNX Runtime's training build ${build}; `) +
      `${result.steps} steps of each contender in turn${cases[name].together ? "" : ", one optimizer after the other"}, after 2 to warm up.`,
    "",
    markdownTable(["what", "target", "measured", ""], targets(name, result)),
    markdownTable(
      [
        "",
        "optimizer, over AdamW",
        "steps in a run",
        "median ms",
        "least",
        "most",
        "peak RSS, MB",
        "of it libraries",
        "first loss",
      ],
      measurements,
    ),
    `\`patch\` (CurvSAM over SGD) of this model of ${mega(modelBytes)} MB: ${formatNumber(median(seconds), 3)} s, peak RSS ` +
      `${mega(median(peakBytes))} MB, in a process of its own, Node's start counted in.`,
    "",
  ].join("\n");
}

/** docs/BENCHMARKS.md. */
export function report(results: Results): string {
  const names = (Object.keys(cases) as CaseName[]).filter((name) => results[name]);
  return [
    "# Benchmarks",
    "",
    "Made by `npm run bench`, never by hand; the figures are in [BENCHMARKS.json](BENCHMARKS.json).",
    "",
    "Random weights, training mode without dropout, float32, the same batch at every step. Every contender is a process of its",
    "own; they take steps in turn. Ratios are of medians in one run. Peak RSS is VmHWM of the whole process, libraries included.",
    "PyTorch runs fused AdamW, foreach arithmetic and its fused attention; for CurvSAM, which needs a second derivative, eager",
    "attention, and under `torch.compile` forward-over-reverse. ONNX Runtime's training build, which has neither SAM nor CurvSAM,",
    "takes artifacts made of the same model. As many of our steps go in one run of the runtime as `curvsam train` puts there (eight at most), and",
    "are counted as one by their mean; the others take one at a time.",
    "",
    ...names.map((name) => {
      const result = results[name];
      return result ? section(name, result) : "";
    }),
  ].join("\n");
}
