import { expect } from "chai";
import { globs, nearGlobs, refuseUnmatched } from "../../src/cli/globs.js";
import { UserError } from "../../src/util/assert.js";

describe("name globs", () => {
  const names = ["roberta.encoder.layer.0.query.weight", "roberta.encoder.layer.0.query.bias", "/head/Linear/b", ".w"];

  const selected = (...patterns: string[]): string[] => names.filter(globs(patterns));

  it("lets a star run over dots and slashes", () => {
    expect(selected("*")).to.deep.equal(names);
    expect(selected("roberta.*.weight")).to.deep.equal([names[0]]);
    expect(selected("*Linear*")).to.deep.equal(["/head/Linear/b"]);
    expect(selected("*.{bias,weight}")).to.deep.equal(names.slice(0, 2));
  });

  it("takes a name as it is, and the whole of it", () => {
    expect(selected("roberta.encoder.layer.0.query.bias")).to.deep.equal([names[1]]);
    expect(selected("query.bias")).to.deep.equal([]);
    expect(selected("*QUERY*")).to.deep.equal([]);
  });

  it("knows what a glob that selects nothing may have meant", () => {
    expect(nearGlobs("*.wieght", names)).to.deep.equal(["*.weight"]);
    expect(nearGlobs("roberta.encodr.layer.*.bias", names)).to.deep.equal(["roberta.encoder.layer.*.bias"]);
    expect(nearGlobs("*QUERY.weight", names)).to.deep.equal(["*query.weight"]);
    expect(nearGlobs("query.bias", names)).to.deep.equal(["*query.bias"]);
    expect(nearGlobs("*convolution*", names)).to.deep.equal([]);
  });

  it("refuses a glob that selects nothing, and names its flag", () => {
    refuseUnmatched({ train: undefined, freeze: ["*.bias", "*.weight"] }, names);
    const refuse = (pattern: string) => () => refuseUnmatched({ train: ["*"], "no-decay": ["*", pattern] }, names);
    expect(refuse("*.wieght")).to.throw(
      UserError,
      '--no-decay "*.wieght" matches no parameter; did you mean "*.weight"?',
    );
    expect(refuse("*conv*")).to.throw(UserError, /"\*conv\*" matches no parameter; names look like "roberta/);
  });
});
