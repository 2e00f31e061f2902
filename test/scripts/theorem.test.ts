import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect } from "chai";
import { readJsonLines } from "../../scripts/json_lines.js";
import { theoremPage } from "../../scripts/theorem/page.js";
import { remarks } from "../../scripts/theorem/remarks.js";
import { runsOf, methods, problems, type Run } from "../../scripts/theorem/run.js";
import { root } from "../support/root.js";

const record = readJsonLines<Run>(join(root, "docs", "THEOREM.jsonl"));

describe("the study of the theorem", function () {
  this.timeout(30_000);

  it("has a page that is what the committed runs give, to the byte", () => {
    const page = readFileSync(join(root, "docs", "THEOREM.md"), "utf8");
    expect(theoremPage(record, remarks), "run node build/scripts/theorem.js --draw").to.equal(page);
  });

  it("comes to the committed figures again", async () => {
    const [problem, method] = [problems[0]!, methods[2]!];
    const [again] = await runsOf(problem, method, 0, [64]);
    const committed = record.find(
      (run) => run.problem === problem.name && run.method === method.name && run.seed === 0 && run.steps === 64,
    );
    expect(again!.squaredNorm / committed!.squaredNorm).to.be.closeTo(1, 1e-3);
    expect(again!.inverseScale! / committed!.inverseScale!).to.be.closeTo(1, 1e-3);
  });
});
