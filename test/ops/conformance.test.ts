import { expect } from "chai";
import { backendData, casesOf } from "../support/backend.js";
import { measureNet, netsOf } from "../support/light_nets.js";
import { runCase, type Result } from "../support/conformance.js";

/** Every so many cases are differentiated here; scripts/operators_table.ts does all. */
const every = 16;

describe("ONNX's own cases, to the second order", () => {
  it("agree with float64 differences", async function () {
    const data = backendData();
    if (!data) return this.skip();
    const results: Result[] = [];
    for (const [i, folder] of casesOf(data, "node").entries()) if (i % every === 0) results.push(await runCase(folder));
    const failures = results.filter((r) => r.outcome === "failed");
    expect(failures.map((r) => r.message)).to.deep.equal([]);
    expect(results.filter((r) => r.outcome === "passed").length).to.be.at.least(60);
  });

  it("of a whole net too", function () {
    const data = backendData();
    if (!data) return this.skip();
    const [net] = netsOf(data).filter((file) => file.includes("squeezenet"));
    expect(measureNet(net!).problem).to.equal("");
  });
});
