import { UserError } from "../../util/assert.js";
import { didYouMean } from "../../util/suggest.js";

/** Columns of one file: by name, or by number where the file has no header. */
export interface Columns {
  text: string;
  pair?: string;
  label?: string;
  /** The file has no header line. */
  headless?: true;
}

export type GlueMetric = "matthews_correlation" | "accuracy" | "f1" | "pearson" | "spearmanr";

/** A part of a task: MNLI has two to evaluate and to predict. */
export interface Part {
  /** Name in results and files: `cola`, `mnli`, `mnli-mm`. */
  name: string;
  /** TSV file of the official folder, and split of the hub's data set. */
  file: string;
  split: string;
  /** File of the leaderboard's submission. */
  submission?: string;
}

/** One of the ten tasks, as the official folders and the hub's `nyu-mll/glue` have it. */
export interface GlueTask {
  name: string;
  title: string;
  folder: string;
  /** Class names in the order of their ids, as in the hub's data set; null for a regression. */
  labels: readonly string[] | null;
  metrics: readonly GlueMetric[];
  /** Whether the submission holds class names rather than ids. */
  named: boolean;
  train: Part | null;
  evaluate: readonly Part[];
  predict: readonly Part[];
  tsv: { labelled: Columns; unlabelled: Columns };
  hub: Columns & { label: string };
}

const binary = ["0", "1"] as const;
const entailment = ["entailment", "not_entailment"] as const;

interface Brief {
  name: string;
  title: string;
  folder?: string;
  labels: readonly string[] | null;
  metrics: readonly GlueMetric[];
  tsv: Columns & { label: string };
  unlabelled?: Columns;
  hub?: Columns & { label: string };
  submission: string;
}

/** A task with one file for each split. */
function plain({ name, title, folder = title, labels, metrics, tsv, unlabelled, hub, submission }: Brief): GlueTask {
  const { label, headless, ...texts } = tsv;
  return {
    name,
    title,
    folder,
    labels,
    metrics,
    named: labels !== null && !/^\d/.test(labels[0] ?? ""),
    train: { name, file: "train.tsv", split: "train" },
    evaluate: [{ name, file: "dev.tsv", split: "validation" }],
    predict: [{ name, file: "test.tsv", split: "test", submission }],
    tsv: { labelled: { ...texts, label, ...(headless && { headless }) }, unlabelled: unlabelled ?? texts },
    hub: hub ?? { ...texts, label },
  };
}

const sentences = { text: "sentence1", pair: "sentence2" };
const mnliColumns = { ...sentences, label: "gold_label" };
const mnliLabels = ["entailment", "neutral", "contradiction"] as const;

/** The tasks of GLUE (Wang et al. 2019), in the order of its leaderboard. */
export const glueTasks: readonly GlueTask[] = [
  plain({
    name: "cola",
    title: "CoLA",
    labels: binary,
    metrics: ["matthews_correlation"],
    tsv: { text: "3", label: "1", headless: true },
    unlabelled: { text: "sentence" },
    hub: { text: "sentence", label: "label" },
    submission: "CoLA.tsv",
  }),
  plain({
    name: "sst2",
    title: "SST-2",
    labels: binary,
    metrics: ["accuracy"],
    tsv: { text: "sentence", label: "label" },
    submission: "SST-2.tsv",
  }),
  plain({
    name: "mrpc",
    title: "MRPC",
    labels: binary,
    metrics: ["accuracy", "f1"],
    tsv: { text: "#1 String", pair: "#2 String", label: "Quality" },
    hub: { ...sentences, label: "label" },
    submission: "MRPC.tsv",
  }),
  plain({
    name: "stsb",
    title: "STS-B",
    labels: null,
    metrics: ["pearson", "spearmanr"],
    tsv: { ...sentences, label: "score" },
    hub: { ...sentences, label: "label" },
    submission: "STS-B.tsv",
  }),
  plain({
    name: "qqp",
    title: "QQP",
    labels: binary,
    metrics: ["accuracy", "f1"],
    tsv: { text: "question1", pair: "question2", label: "is_duplicate" },
    hub: { text: "question1", pair: "question2", label: "label" },
    submission: "QQP.tsv",
  }),
  {
    name: "mnli",
    title: "MNLI",
    folder: "MNLI",
    labels: mnliLabels,
    metrics: ["accuracy"],
    named: true,
    train: { name: "mnli", file: "train.tsv", split: "train" },
    evaluate: [
      { name: "mnli", file: "dev_matched.tsv", split: "validation_matched" },
      { name: "mnli-mm", file: "dev_mismatched.tsv", split: "validation_mismatched" },
    ],
    predict: [
      { name: "mnli", file: "test_matched.tsv", split: "test_matched", submission: "MNLI-m.tsv" },
      { name: "mnli-mm", file: "test_mismatched.tsv", split: "test_mismatched", submission: "MNLI-mm.tsv" },
    ],
    tsv: { labelled: mnliColumns, unlabelled: sentences },
    hub: { text: "premise", pair: "hypothesis", label: "label" },
  },
  plain({
    name: "qnli",
    title: "QNLI",
    labels: entailment,
    metrics: ["accuracy"],
    tsv: { text: "question", pair: "sentence", label: "label" },
    submission: "QNLI.tsv",
  }),
  plain({
    name: "rte",
    title: "RTE",
    labels: entailment,
    metrics: ["accuracy"],
    tsv: { ...sentences, label: "label" },
    submission: "RTE.tsv",
  }),
  plain({
    name: "wnli",
    title: "WNLI",
    labels: binary,
    metrics: ["accuracy"],
    tsv: { ...sentences, label: "label" },
    submission: "WNLI.tsv",
  }),
  {
    name: "ax",
    title: "AX",
    folder: "AX",
    labels: mnliLabels,
    metrics: ["matthews_correlation"],
    named: true,
    train: null,
    evaluate: [],
    predict: [{ name: "ax", file: "diagnostic.tsv", split: "test", submission: "AX.tsv" }],
    tsv: { labelled: sentences, unlabelled: sentences },
    hub: { text: "premise", pair: "hypothesis", label: "label" },
  },
];

/** The task of that name, in any case, with or without a hyphen: `SST-2` is `sst2`. */
export function glueTask(name: string): GlueTask {
  const key = name.toLowerCase().replaceAll("-", "");
  const task = glueTasks.find((each) => each.name === key);
  const names = glueTasks.map((each) => each.name);
  if (!task) throw new UserError(`GLUE has no task "${name}"; use one of ${names.join(", ")}${didYouMean(key, names)}`);
  return task;
}
