import { expect } from "chai";
import { overTasks } from "../../src/tasks/graph/measure.js";
import { rocAuc, rootMeanSquaredError } from "../../src/train/metrics.js";

const hasBoth = (labels: readonly number[]): boolean => new Set(labels).size === 2;

describe("the Open Graph Benchmark's evaluators", () => {
  it("average over the tasks, leaving out those of one class", () => {
    // Task 0 is ranked right, task 1 is of one class, task 2 is ranked wrong.
    const scores = [0.1, 0.5, 0.9, 0.8, 0.2, 0.1, 0.9, 0.3, 0.2];
    const labels = [0, 1, 0, 1, 1, 1, 1, 1, 1];
    expect(overTasks(rocAuc, scores, labels, 3, hasBoth)).to.equal((1 + 0) / 2);
    expect(overTasks(rocAuc, [0.1, 0.2], [1, 1], 1, hasBoth)).to.be.NaN;
  });

  it("average errors over every task", () => {
    expect(overTasks(rootMeanSquaredError, [1, 0, 1, 4], [0, 0, 2, 0], 2)).to.equal((1 + Math.sqrt(8)) / 2);
  });
});
