import { markdownTable, type TableCell } from "../../src/report/table.js";
import { must } from "../../src/util/assert.js";
import { mean, standardError } from "../../src/util/statistics.js";
import { metricOf, optimizerOf, readResults, type Result } from "./runs.js";

/** The paper's table 2: accuracy in %, time against SAM, sharpness. */
const paper: Readonly<Record<string, string>> = {
  "1": "84.8, 1.52×, 0.031",
  "5": "84.7, 1.11×, 0.033",
  "10": "84.5, 1.06×, 0.036",
  "20": "84.2, 1.03×, 0.041",
  SAM: "83.5, 1.00×, 0.058",
};

const remark = [
  "At this budget accuracy does not depend on F as far as three seeds can tell, nor does CurvSAM's differ from SAM's. Against the paper,",
  "SAM ends at the flatter place; but tuning gave it twice the learning rate and twice the radius, either of which may be why.",
].join("\n");

const summary = (values: readonly number[], digits: number): string =>
  `${mean(values).toFixed(digits)} ± ${standardError(values).toFixed(digits)}`;

/** How often the curvature is refreshed: accuracy, gradients and sharpness for each F, and SAM. */
export function frequencySection(): string {
  const all = readResults("frequency");
  const keyOf = (result: Result): string =>
    optimizerOf(result) === "sam" ? "SAM" : String(result.parameters["frequency"]);
  const keys = Object.keys(paper);
  const has = (key: string, seed: number): boolean => all.some((each) => keyOf(each) === key && each.seed === seed);
  const seeds = [...new Set(all.map(({ seed }) => seed))].filter((seed) => keys.every((key) => has(key, seed)));
  const of = (key: string): Result[] => all.filter((each) => keyOf(each) === key && seeds.includes(each.seed));
  const { gradients } = must(of("SAM")[0], "a run of SAM");
  const rows = keys.map((key): TableCell[] => {
    const metric = (name: string): number[] => of(key).map((result) => metricOf(name, result));
    return [
      key === "SAM" ? key : `F = ${key}`,
      summary(metric("accuracy"), 4),
      `${(mean(of(key).map((each) => each.gradients)) / gradients).toFixed(2)}×`,
      summary(metric("sharpness/rise/0.05"), 3),
      summary(metric("sharpness/largest_eigenvalue"), 0),
      paper[key] ?? "",
    ];
  });
  return [
    "## How often the curvature is refreshed: CIFAR-10",
    "",
    "The network of CIFAR-10 above on 2,560 images, 5 epochs, 200 steps; 1,000 test images; SAM and CurvSAM as tuned above.",
    `Mean ± standard error over ${seeds.length} seeds (${seeds.join(", ")}). Sharpness: how much the loss of four training batches rises along its gradient at`,
    "radius 0.05, at the last weights; beside it the largest eigenvalue of its Hessian. The paper's column is WRN-28-10 on CIFAR-100, another",
    "scale; how its sharpness is measured it does not say. Ratios of times: [OPTIMIZER_COSTS.md](OPTIMIZER_COSTS.md).",
    "",
    markdownTable(
      [
        "CurvSAM",
        "accuracy",
        "gradients / SAM",
        "sharpness",
        "largest eigenvalue",
        "the paper's: accuracy, time, sharpness",
      ],
      rows,
    ),
    remark,
    "",
  ].join("\n");
}
