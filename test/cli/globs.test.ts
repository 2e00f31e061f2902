import { expect } from "chai";
import { globs } from "../../src/cli/globs.js";

describe("name globs", () => {
  const names = ["roberta.encoder.layer.0.query.weight", "roberta.encoder.layer.0.query.bias", "/head/Linear/b", ".w"];

  const selected = (...patterns: string[]): string[] => names.filter(globs(patterns).matches);

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

  it("knows the globs that selected nothing", () => {
    const matcher = globs(["*.bias", "*.bais", "*.weight"]);
    names.forEach(matcher.matches);
    expect(matcher.unused()).to.deep.equal(["*.bais"]);
  });
});
