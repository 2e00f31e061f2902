/**
 * Checks every export of a folder that scripts/make_model_zoo.py wrote, and writes docs/MODELS.md.
 *
 *     python scripts/make_model_zoo.py --out zoo --foreign foreign && npx tsc && node build/scripts/models_table.js zoo
 *
 * Exits 1, naming the exports, where one is missing, could not be made (but at opset 11), cannot be patched, or is beyond
 * the bounds; the table is then not written. `--only TEXT` checks the exports whose file names contain TEXT, and writes
 * nothing.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { parseArgs } from "node:util";
import { markdownTable, type TableCell } from "../src/report/table.js";
import { UserError } from "../src/util/assert.js";
import { bounds } from "../test/support/derivatives.js";
import { root } from "../test/support/root.js";
import type { ExportFixture } from "../test/support/torch_fixtures.js";
import { measure, readZoo, type ExportFailure, type Measurement, type ZooIndex } from "../test/support/zoo.js";
import { sectionOf, withSection } from "./full_size_section.js";

interface Family {
  model: string;
  title: string;
  modes: readonly string[];
  /** Exporter and opset of each export, in every mode. */
  kinds: readonly (readonly [exporter: string, opset: number])[];
}

const text = [
  ["albert", "ALBERT"],
  ["deberta-v3", "DeBERTa-v3"],
  ["distilbert", "DistilBERT"],
  ["electra", "ELECTRA"],
  ["gpt2", "GPT-2"],
  ["llama", "Llama"],
  ["minilm", "MiniLM"],
  ["modernbert", "ModernBERT"],
  ["mpnet", "MPNet"],
  ["xlm-roberta", "XLM-R"],
] as const;
/** Networks for images, graphs, sound and sequences, and the modes that differ. */
const networks = [
  ["resnet", "ResNet (ResNet-18's blocks, CIFAR head)", "eval train"],
  ["wide-resnet", "WRN (WRN-28-10's blocks, CIFAR head)", "eval train"],
  ["vit", "ViT", "eval train"],
  ["mobilenet-v3", "MobileNetV3", "eval train"],
  ["convnext", "ConvNeXt", "eval"],
  ["efficientnet", "EfficientNet", "eval train"],
  ["unet", "U-Net", "eval train"],
  ["swin", "Swin", "eval train"],
  ["gcn", "GCN", "eval train"],
  ["gin", "GIN", "eval train"],
  ["graphsage", "GraphSAGE", "eval train"],
  ["lstm", "LSTM classifier", "eval train"],
  ["t5-encoder", "T5's encoder", "eval train"],
  ["whisper-encoder", "Whisper's encoder", "eval train"],
] as const;
const modes = ["eval", "train"] as const;
const torchscript = [11, 12, 13, 14, 15, 16, 17];
const dynamo = [18, 20, 21, 23];
/** The opset that has no dropout in training mode, and for which PyTorch writes integer Min and Clip all the same. */
const oldest = 11;

interface Row {
  model: string;
  mode: string;
  exporter: string;
  opset: number;
  folded: boolean;
}

const families: readonly Family[] = [
  ...text.map(([model, title]) => ({ model, title, modes, kinds: everyKind() })),
  ...networks.map(([model, title, own]) => ({
    model,
    title,
    modes: own.split(" "),
    kinds: [["torchscript", 17] as const, ["dynamo", 18] as const],
  })),
  { model: "tensorflow-cnn", title: "TensorFlow", modes: ["eval"], kinds: [["tensorflow", 18]] },
  { model: "paddle-cnn", title: "Paddle", modes: ["eval"], kinds: [["paddle", 16]] },
];

function everyKind(): Family["kinds"] {
  return [...torchscript.map((n) => ["torchscript", n] as const), ...dynamo.map((n) => ["dynamo", n] as const)];
}

/** Every row that the table must have. */
function expected(): Row[] {
  const isText = (model: string): boolean => text.some(([name]) => name === model);
  return families.flatMap(({ model, modes: own, kinds }) =>
    own.flatMap((mode) => {
      const row = (exporter: string, opset: number, folded: boolean): Row => ({
        model,
        mode,
        exporter,
        opset,
        folded,
      });
      const plain = kinds.map(([exporter, opset]) => row(exporter, opset, false));
      const folded = isText(model) && mode === "eval";
      return folded ? [...plain, row("torchscript", 17, true), row("dynamo", 18, true)] : plain;
    }),
  );
}

const key = ({ model, mode, exporter, opset, folded }: Row): string =>
  `${model}-${mode}-${exporter}${opset}${folded ? "-folded" : ""}`;
const rowOf = (f: ExportFixture): Row => ({ ...f, folded: f.folded !== null });

function tableRow(fixture: ExportFixture, m: Measurement): TableCell[] {
  return [
    fixture.file,
    m.sha256.slice(0, 12),
    fixture.exporter,
    fixture.opset,
    fixture.mode,
    m.nodes,
    m.parameters,
    m.loss,
    m.lossAfter,
    Number(m.grad.error.toExponential(1)),
    Number(m.hvp.error.toExponential(1)),
    fixture.restored ? `${fixture.restored} batch norms restored` : "",
  ];
}

function document(zoo: ZooIndex, rows: ReadonlyMap<string, TableCell[]>): string {
  const header = ["file", "sha256", "exporter", "opset", "mode", "nodes", "parameters", "loss", "after a step"];
  const sections = families.map(({ model, title }) => {
    const own = [...rows].filter(([name]) => name.startsWith(`${model}-`)).map(([, cells]) => cells);
    return `## ${title}\n\n${markdownTable([...header, "gradient error", "HVP error", "note"], own)}`;
  });
  const failures = zoo.failures.map((f) => [key(f), f.error]);
  return `# Models

Tiny models of ${families.length} architectures (\`scripts/zoo_models.py\`, \`scripts/zoo_networks.py\`), exported by both of PyTorch's
exporters in evaluation mode, and in training mode where dropout or batch norm makes it another; and one each made by
TensorFlow and Paddle: ${rows.size} exports. Each was patched with CurvSAM over SGD, and its graphs run in ONNX Runtime in float32. This file is written by

    python scripts/export_tensorflow.py --out foreign; python scripts/export_paddle.py --out foreign
    python scripts/make_model_zoo.py --out zoo --foreign foreign && npx tsc && node build/scripts/models_table.js zoo

which fails where an export is missing, where the parameters found are not the model's, where an error exceeds its bound,
and where the step does not lower the loss of its batch.

- gradient error, HVP error: the largest |a − b| / max |b| of a parameter tensor against PyTorch in float64; at most
  ${bounds.grad.toExponential()} and ${bounds.hvp.toExponential()}. A tensor whose derivative vanishes is compared to the size of the whole.
- Running statistics of batch norms after the first pass are compared too, at most ${bounds.statistics.toExponential()}.
- batch norms restored: PyTorch's \`dynamo\` exporter writes batch norms in evaluation mode whatever the model's mode is; these
  exports were patched with \`--train-mode\`.
- \`-folded\`: a plain call of the exporter, which folds constants and so loses names; the others are as
  \`scripts/export_hf.py\` exports.

${sections.join("\n")}
## Exports that could not be made

${failures.length === 0 ? "None.\n" : markdownTable(["export", "error"], failures)}`;
}

async function main(): Promise<number> {
  const { positionals, values } = parseArgs({
    allowPositionals: true,
    options: { only: { type: "string" }, out: { type: "string", default: join(root, "docs", "MODELS.md") } },
  });
  const folder = positionals[0];
  if (folder === undefined || !existsSync(join(folder, "index.json"))) {
    process.stderr.write("models_table: give the folder that scripts/make_model_zoo.py wrote\n");
    return 2;
  }
  const zoo = readZoo(folder);
  const chosen = (name: string): boolean => name.includes(values.only ?? "");
  const made = new Map(zoo.exports.map((f) => [key(rowOf(f)), f]));
  const failed = new Map<string, ExportFailure>(zoo.failures.map((f) => [key(f), f]));
  const rows = new Map<string, TableCell[]>();
  const problems: string[] = [];
  for (const name of expected().map(key).filter(chosen)) {
    const fixture = made.get(name);
    if (!fixture) {
      const failure = failed.get(name);
      if (failure?.opset !== oldest) problems.push(`${name}: ${failure ? failure.error : "missing"}`);
      continue;
    }
    try {
      const measured = await measure(folder, fixture);
      rows.set(name, tableRow(fixture, measured));
      problems.push(...measured.problems.map((p) => `${name}: ${p}`));
      process.stdout.write(`${name} ${measured.problems.length === 0 ? "ok" : measured.problems.join("; ")}\n`);
    } catch (error) {
      const reason = error instanceof UserError ? error.message : String((error as Error).stack);
      problems.push(`${name}: ${reason}`);
      process.stdout.write(`${name} ${reason}\n`);
    }
  }
  if (problems.length > 0) {
    process.stderr.write(`\n${problems.length} problems:\n${problems.map((p) => `  ${p}\n`).join("")}`);
    return 1;
  }
  process.stdout.write(`${rows.size} exports as they must be\n`);
  if (values.only === undefined) {
    mkdirSync(dirname(values.out), { recursive: true });
    const kept = existsSync(values.out) ? sectionOf(readFileSync(values.out, "utf8")) : "";
    writeFileSync(values.out, kept ? withSection(document(zoo, rows), kept) : document(zoo, rows));
  }
  return 0;
}

process.exitCode = await main();
