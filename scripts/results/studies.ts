/** A table of docs/RESULTS.md: which sweep it comes from, and how it is told. */
export interface Study {
  /** The sweep's name: scripts/results/NAME.yaml, docs/results/NAME.jsonl; NAME.tune of both is what it was tuned with. */
  name: string;
  title: string;
  metric: string;
  metricName: string;
  /** What was trained on what, before the table. */
  setting: string;
}

export const studies: readonly Study[] = [
  {
    name: "cola",
    title: "CoLA: pretrained MiniLM, 1,600 sentences, 2 epochs",
    metric: "eval_matthews_correlation",
    metricName: "Matthews",
    setting:
      "The first 1,600 sentences of the training set, 48 tokens at most, batches of 16, linear schedule; the whole development set.",
  },
];

/** The optimizers of a study, in the order of the table; the last is the one that the others are compared with. */
export const arms = [
  { optimizer: "none", title: "AdamW" },
  { optimizer: "sam", title: "SAM" },
  { optimizer: "asam", title: "ASAM" },
  { optimizer: "curvsam", title: "CurvSAM" },
] as const;
