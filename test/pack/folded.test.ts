import { expect } from "chai";
import { join } from "node:path";
import { root } from "../support/root.js";
import { measure, readZoo } from "../support/zoo.js";

const folder = join(root, "test", "fixtures", "folded");

describe("exports with batch norms folded into convolutions, in groups too: names, gradient and HVP as PyTorch's", () => {
  for (const fixture of readZoo(folder).exports) {
    it(fixture.file, async () => {
      const { problems, grad, hvp } = await measure(folder, fixture);
      expect(problems).to.deep.equal([]);
      expect([grad.error, hvp.error].every((e) => e > 0)).to.equal(true);
    });
  }
});
