import { expect } from "chai";
import { existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { unzipSync } from "fflate";
import { command as glue } from "../../src/cli/commands/glue.js";
import { tensorType } from "../../src/ir/graph.js";
import { Tensor } from "../../src/ir/tensor.js";
import { loadModel, saveModel } from "../../src/serde/index.js";
import { sizeOf } from "../../src/util/shape.js";
import { curvsam, curvsamHere, silent } from "../support/cli.js";
import { root } from "../support/root.js";
import { temporaryFolder } from "../support/temp.js";

const mini = join(root, "models", "roberta-mini");

describe("curvsam glue", function () {
  this.timeout(120_000);
  const folder = temporaryFolder();
  const data = join(folder.path, "glue");
  const put = (name: string, lines: readonly string[]): void => {
    mkdirSync(join(data, "CoLA"), { recursive: true });
    writeFileSync(join(data, "CoLA", name), `${lines.join("\n")}\n`);
  };
  const sentence = (i: number): string => (i % 2 ? "they has gone away" : "they have gone away");
  const rows = (n: number): string[] => Array.from({ length: n }, (_, i) => `x\t${(i + 1) % 2}\t\t${sentence(i)}`);
  put("train.tsv", rows(16));
  put("dev.tsv", rows(6));
  put("test.tsv", ["index\tsentence", "0\tthey has gone", "1\tthey have gone"]);
  const usual = (out: string): string[] => [
    ...[
      "glue",
      "--task_name",
      "cola",
      "--model",
      join(mini, "model.onnx"),
      "--tokenizer",
      join(mini, "tokenizer.json"),
    ],
    ...["--data_dir", data, "--output_dir", join(folder.path, out), "--threads", "1"],
  ];
  const json = (out: string, name: string) =>
    JSON.parse(readFileSync(join(folder.path, out, name), "utf8")) as Record<string, unknown>;

  it("trains, evaluates and predicts, and leaves run_glue.py's files", async () => {
    const { code, stdout, stderr } = await curvsam([
      ...[...usual("out"), "--do_train", "--do_eval", "--do_predict", "--max_seq_length", "16", "--optimizer", "sam"],
      ...["--combine", "gsam", "--set", "scope=group"],
      ...["--num_train_epochs", "2", "--save_steps", "2", "--logging_steps", "1", "--learning_rate", "1e-3"],
      ...["--sharpness-every", "2", "--sharpness-batches", "1", "--sharpness-rho", "0.1"],
    ]);
    expect(code, stderr).to.equal(0);
    expect(stdout).to.include("CoLA: ").and.to.include("eval_matthews_correlation");
    expect(readdirSync(join(folder.path, "out")).sort()).to.deep.equal([
      ...["all_results.json", "checkpoint-2", "checkpoint-4", "eval_results.json", "log.jsonl", "lowered"],
      ...["package", "predict_results_cola.txt", "submission.zip", "train_results.json", "trainer_state.json"],
      "weights.safetensors",
    ]);
    // From one checkpoint to the next, steps are one run.
    expect(readdirSync(join(folder.path, "out", "lowered")).join()).to.match(/cycle-/);
    const { optimizer } = json("out/package", "manifest.json") as { optimizer: Record<string, unknown> };
    expect(optimizer).to.include({ combine: "gsam" });
    expect(JSON.stringify(optimizer)).to.include('"scope":"group"');
    expect(json("out", "all_results.json")).to.include({ epoch: 2, train_samples: 16, eval_samples: 6 });
    expect(json("out", "trainer_state.json")).to.include({ global_step: 4, max_steps: 4, num_train_epochs: 2 });
    expect((json("out", "trainer_state.json")["log_history"] as unknown[]).length).to.equal(4);
    const lines = readFileSync(join(folder.path, "out", "log.jsonl"), "utf8")
      .trimEnd()
      .split("\n");
    const events = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
    const sharpness = events.filter(({ event }) => event === "sharpness");
    expect(sharpness.map(({ step }) => step)).to.deep.equal([2, 4]);
    for (const measured of sharpness) expect(measured["rise/0.1"]).to.be.above(0);
    const predictions = readFileSync(join(folder.path, "out", "predict_results_cola.txt"), "utf8").split("\n");
    expect(predictions[0]).to.equal("index\tprediction");
    expect(predictions[1]).to.match(/^0\t[01]$/);

    const again = await curvsam([...usual("out"), "--do_train"]);
    expect(again.code).to.equal(1);
    expect(again.stderr).to.include("--overwrite_output_dir");
  });

  it("takes its options from a JSON file, and evaluates without training", async () => {
    const file = folder.write(
      "arguments.json",
      JSON.stringify({
        ...{ task_name: "cola", model: join(mini, "model.onnx"), tokenizer: join(mini, "tokenizer.json") },
        ...{ data_dir: data, output_dir: join(folder.path, "json"), do_eval: true, max_eval_samples: 4 },
      }),
    );
    const { code, stdout, stderr } = await curvsam(["glue", file, "--json"]);
    expect(code, stderr).to.equal(0);
    const { tasks } = JSON.parse(stdout) as { tasks: { cola: Record<string, number> } };
    expect(tasks.cola["eval_samples"]).to.equal(4);
    expect(existsSync(join(folder.path, "json", "checkpoint-1"))).to.equal(false);

    const wrong = folder.write("wrong.json", JSON.stringify({ task_nam: "cola" }));
    const refused = await curvsam(["glue", wrong]);
    expect(refused.code).to.equal(2);
    expect(refused.stderr).to.include('"task_nam"').and.to.include("task_name");
  });

  it("prints the average over tasks, zips what was predicted of each, and goes on from a checkpoint to the same bits", async () => {
    const put = (task: string, name: string, lines: readonly string[]): void => {
      mkdirSync(join(data, task), { recursive: true });
      writeFileSync(join(data, task, name), `${lines.join("\n")}\n`);
    };
    const pairs = (label: string[]): string[] => [
      "index\tsentence1\tsentence2\tlabel",
      ...label.map((each, i) => `${i}\t${sentence(i)}\tthey have gone\t${each}`),
    ];
    put("RTE", "train.tsv", pairs(Array.from({ length: 16 }, (_, i) => (i % 2 ? "not_entailment" : "entailment"))));
    put("RTE", "dev.tsv", pairs(["entailment", "not_entailment", "entailment"]));
    put("RTE", "test.tsv", ["index\tsentence1\tsentence2", "0\tthey has gone\tthey have gone"]);
    const two = (out: string): string[] => usual(out).map((arg) => (arg === "cola" ? "CoLA,rte" : arg));
    const both = await curvsamHere([...two("two"), "--do_eval", "--do_predict"]);
    expect(both.code, both.stderr).to.equal(0);
    const score = (task: string, metric: string): number => Number(json(join("two", task), "all_results.json")[metric]);
    const average = (score("cola", "eval_matthews_correlation") + score("rte", "eval_accuracy")) / 2;
    expect(both.stdout).to.match(new RegExp(`average over 2 tasks: ${average.toFixed(4)}\n$`));
    const zip = unzipSync(readFileSync(join(folder.path, "two", "submission.zip")));
    expect(Object.keys(zip)).to.have.members(["CoLA.tsv", "RTE.tsv"]);
    expect(Buffer.from(zip["RTE.tsv"]!).toString()).to.match(/^index\tprediction\n0\t(not_)?entailment\n$/);

    const train = ["--do_train", "--save_steps", "1", "--num_train_epochs", "1", "--seed", "3"];
    const weights = (out: string): Buffer => readFileSync(join(folder.path, out, "weights.safetensors"));
    const whole = await curvsamHere([...usual("whole"), ...train]);
    expect(whole.code, whole.stderr).to.equal(0);
    const checkpoint = ["--resume_from_checkpoint", join(folder.path, "whole", "checkpoint-1")];
    const rest = await curvsamHere([...usual("rest"), ...train, ...checkpoint]);
    expect(rest.code, rest.stderr).to.equal(0);
    expect(weights("rest").equals(weights("whole"))).to.equal(true);
  });

  it("has MNLI's trained model predict the diagnostic set", async () => {
    const made = loadModel(join(mini, "model.onnx"));
    const { initializers, outputs } = made.graph;
    const head = { "classifier.out_proj.weight": [3, 128], "classifier.out_proj.bias": [3] };
    for (const value of initializers.keys()) {
      const dims = Object.hasOwn(head, value.name) ? head[value.name as keyof typeof head] : undefined;
      // As it starts, it takes everything for entailment.
      if (dims)
        initializers.set(
          value,
          Tensor.of(
            "float32",
            dims,
            Array.from({ length: sizeOf(dims) }, (_, i) => Number(dims.length === 1 && i === 0)),
          ),
        );
    }
    outputs[0]!.type = tensorType("float32", ["batch", 3]);
    const model = join(folder.path, "three.onnx");
    saveModel(made, model);
    const put = (name: string, header: string, rows: string[]): void => {
      mkdirSync(dirname(join(data, name)), { recursive: true });
      writeFileSync(join(data, name), `${[header, ...rows].join("\n")}\n`);
    };
    put(
      "MNLI/train.tsv",
      "sentence1\tsentence2\tgold_label",
      Array<string>(16).fill("they go\tthey have gone\tcontradiction"),
    );
    for (const part of ["MNLI/test_matched.tsv", "MNLI/test_mismatched.tsv", "AX/diagnostic.tsv"])
      put(part, "index\tsentence1\tsentence2", ["0\tthey go\tthey have gone"]);
    const args = usual("ax").map((arg) =>
      arg === "cola" ? "mnli,ax" : arg === join(mini, "model.onnx") ? model : arg,
    );
    const rest = ["--do_train", "--do_predict", "--learning_rate", "1e-2", "--num_train_epochs", "2"];
    const { code, stderr } = await curvsamHere([...args, ...rest]);
    expect(code, stderr).to.equal(0);
    const zip = unzipSync(readFileSync(join(folder.path, "ax", "submission.zip")));
    expect(Object.keys(zip)).to.have.members(["MNLI-m.tsv", "MNLI-mm.tsv", "AX.tsv"]);
    expect(Buffer.from(zip["AX.tsv"]!).toString()).to.equal("index\tprediction\n0\tcontradiction\n");
  });

  it("has every option of run_glue.py's contract", () => {
    const names = glue(silent).options.map(({ long }) => long);
    expect(names).to.include.members(
      [
        ...["task_name", "do_train", "do_eval", "do_predict", "max_seq_length", "per_device_train_batch_size"],
        ...["learning_rate", "num_train_epochs", "max_train_samples", "seed", "output_dir", "overwrite_output_dir"],
        ...["resume_from_checkpoint", "model"],
      ].map((name) => `--${name}`),
    );
  });

  it("refuses a head of another task, and a run with nothing to do", async () => {
    const args = usual("head").map((arg) => (arg === "cola" ? "mnli" : arg));
    const head = await curvsam([...args, "--do_eval"]);
    expect(head.code).to.equal(1);
    expect(head.stderr).to.include("the model's head has 2 outputs");
    // What was made before it failed is no earlier run.
    const empty = join(folder.path, "empty");
    mkdirSync(empty);
    const failing = usual("failed").map((arg) => (arg === data ? empty : arg));
    for (const attempt of [1, 2]) {
      const failed = await curvsam([...failing, "--do_train", "--do_eval"]);
      expect(failed.code, String(attempt)).to.equal(1);
      expect(failed.stderr).to.include("train.tsv").and.to.not.include("--overwrite_output_dir");
    }
    const untrained = folder.write("untrained.json", JSON.stringify({ "sharpness-every": 2 }));
    const sharpness = await curvsam([...usual("idle"), untrained, "--do_eval"]);
    expect(sharpness.code).to.equal(2);
    expect(sharpness.stderr).to.include("--sharpness-every belongs to --do_train");
    const idle = await curvsam(usual("idle"));
    expect(idle.code).to.equal(2);
    expect(idle.stderr).to.include("nothing to do");
  });
});
