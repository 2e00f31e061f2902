import { expect } from "chai";
import { join } from "node:path";
import { readManifest } from "../../src/format/manifest.js";
import { newModel } from "../../src/ir/graph.js";
import type { Catalogue, PartEntry } from "../../src/optim/catalogue.js";
import { Engine } from "../../src/runtime/engine.js";
import { saveModel } from "../../src/serde/index.js";
import { curvsam } from "../support/cli.js";
import { rejects } from "../support/rejects.js";
import { temporaryFolder } from "../support/temp.js";
import { twoLayers } from "../support/two_layers.js";

describe("curvsam optimizers", () => {
  it("lists every part with its state, cost, options, hyper-parameters and reference", async () => {
    const { code, stdout } = await curvsam(["optimizers", "--json"]);
    expect(code).to.equal(0);
    const { parts, refused } = JSON.parse(stdout) as Catalogue;
    const part = (name: string): PartEntry => parts.find((p) => p.name === name)!;
    expect(parts.map((p) => p.name)).to.include.members(
      "none sam asam curvsam plain gsam looksam sgd adamw adahessian sassha shampoo kfac".split(" "),
    );
    expect(part("adamw").stateBytes).to.equal(8);
    expect(part("sgd").stateBytes).to.equal(0);
    expect(part("curvsam").gradients).to.be.closeTo(1 + 2 / 5, 1e-12);
    expect(part("looksam").gradients).to.equal(1 / 5);
    // Drawn labels go back through activations alone, at every tenth step.
    expect(part("kfac").gradients).to.be.closeTo(1 / 30, 1e-12);
    expect(part("curvsam").hyper.find((h) => h.name === "delta")?.range?.above).to.equal(0);
    for (const [base, name] of [
      ["sgd", "momentum"],
      ["shampoo", "eps"],
      ["kfac", "others_lr"],
    ] as const) {
      expect(part(base).hyper.find((h) => h.name === name)?.byDefault, `${base}.${name}`).to.equal(false);
    }
    expect(part("adamw").hyper.every((h) => h.byDefault)).to.equal(true);
    expect(part("shampoo").options.find((o) => o.name === "start")?.default).to.equal(null);
    for (const p of parts) {
      expect(p.summary, p.name).to.not.equal("");
      if (p.name !== "none") expect(p.reference, p.name).to.match(/\d{4}|Algorithm/);
      for (const h of p.hyper) expect(h.range, `${p.name}.${h.name}`).to.not.equal(null);
      for (const o of [...p.options, ...p.hyper]) expect(o.description, `${p.name}.${o.name}`).to.not.equal("");
    }
    expect(refused.map((r) => [r.ascent, r.combine])).to.deep.equal([["none", "looksam"]]);
  });

  it("shows one in full, and suggests what a wrong name may mean", async () => {
    const { stdout } = await curvsam(["optimizers", "curvsam"]);
    expect(stdout).to.match(/estimator +"hvp"/);
    expect(stdout).to.match(/delta +0\.01 .*a number above 0/);
    const shampoo = await curvsam(["optimizers", "shampoo"]);
    expect(shampoo.stdout).to.match(/start +– +the step before/);
    expect(shampoo.stdout).to.match(/beta1 +0\.9 .*not in use by default/);
    const wrong = await curvsam(["optimizers", "looksma"]);
    expect(wrong.code).to.equal(2);
    expect(wrong.stderr).to.match(/no optimizer is called "looksma".*did you mean "looksam"/);
  });
});

describe("optimizers on the command line", () => {
  const folder = temporaryFolder();
  const model = (): string => {
    const path = join(folder.path, "model.onnx");
    saveModel(newModel(twoLayers()), path);
    return path;
  };
  const patched = async (name: string, ...options: string[]): Promise<string> => {
    const out = join(folder.path, name);
    const { code, stderr } = await curvsam(["patch", model(), "-o", out, "--loss", "mse", ...options]);
    expect(stderr).to.equal("");
    expect(code).to.equal(0);
    return out;
  };

  it("takes every flag into the package", async () => {
    const flags =
      "--optimizer curvsam --combine looksam --base adamw --estimator gnb --frequency 4 --probes 1 --curvature-share 0.5 " +
      "--initial-curvature zero --radius euclidean --floor relative --granularity tensor --norm-scope group --period 2 " +
      "--set amsgrad=true --set looksam.scope=tensor --clip-norm 1 --clip-value 0.5 --hyper loss_scale=8 --hyper alpha=0.4 " +
      "--group biases=*.bias --hyper lr/biases=0.5 --hyper rho/biases=0.2 --no-decay first.bias";
    const manifest = readManifest(await patched("flags", ...flags.split(" ")));
    expect(manifest.optimizer).to.include({ ascent: "curvsam", combine: "looksam", base: "adamw", estimator: "gnb" });
    expect(manifest.optimizer.parts).to.deep.equal({
      curvsam: {
        ...{ estimator: "gnb", frequency: 4, probe: "normal", probes: 1, share: 0.5, initial: "zero" },
        ...{ radius: "euclidean", floor: "relative", granularity: "tensor", scope: "group", keep_scale: false },
      },
      looksam: { period: 2, scope: "tensor" },
      adamw: { amsgrad: true },
    });
    const { hyper } = manifest;
    expect(hyper["hyper/lr/biases"]?.default).to.equal(0.5);
    expect(hyper["hyper/lr/default"]?.default).to.equal(0.001);
    expect(hyper["hyper/rho/biases_no_decay"]?.default).to.equal(0.2);
    expect(hyper["hyper/weight_decay/biases_no_decay"]?.default).to.equal(0);
    expect(hyper["hyper/clip_norm"]?.default).to.equal(1);
    expect(hyper["hyper/alpha"]?.default).to.equal(0.4);
    expect(manifest.schedule.map((s) => [s.graph, s.every])).to.deep.equal([
      ["curvature_step", 4],
      ["step", 2],
      ["look_step", 1],
    ]);
    expect(manifest.parameters["first.bias"]?.group).to.equal("biases_no_decay");
  });

  it("draws probes as it is told, those of the ascent and of the base apart", async () => {
    const drawn = async (name: string, ...options: string[]): Promise<unknown[]> => {
      const { random } = readManifest(await patched(name, "--base", "adahessian", ...options));
      return ["z/first.weight", "base_z/first.weight"].map((probe) => random[probe]?.distribution);
    };
    expect(await drawn("probes")).to.deep.equal(["normal", "rademacher"]);
    const turned = ["--set", "curvsam.probe=rademacher", "--set", "adahessian.probe=normal"];
    expect(await drawn("turned", ...turned)).to.deep.equal(["rademacher", "normal"]);
  });

  it("takes a preset, and what is said beside it instead", async () => {
    const fast = readManifest(await patched("fast", "--preset", "fast"));
    expect(fast.optimizer).to.include({ estimator: "gauss-newton", frequency: 5 });
    expect(fast.optimizer.parts?.["curvsam"]).to.include({ share: 0.25, radius: "euclidean", floor: "relative" });
    expect(fast.hyper["hyper/delta"]?.default).to.equal(0.05);
    expect(fast.random["random/signs"]).to.deep.include({ distribution: "rademacher", shape: ["batch", 2] });
    const own = "--preset fast --frequency 1 --curvature-share 0.5 --floor absolute --beta 0.8".split(" ");
    const other = readManifest(await patched("own", ...own));
    expect(other.optimizer.parts?.["curvsam"]).to.include({ frequency: 1, share: 0.5, floor: "absolute" });
    expect(other.hyper["hyper/delta"]?.default).to.equal(0.01);
    const paper = readManifest(await patched("paper", "--preset", "paper"));
    expect(paper.optimizer).to.deep.equal(readManifest(await patched("flagless")).optimizer);
    expect(paper.hyper).to.deep.equal(readManifest(join(folder.path, "flagless")).hyper);
  });

  const refusals: [string, RegExp, ...string[]][] = [
    [
      "a combination without meaning",
      /none with looksam over sgd has no meaning: LookSAM reuses/,
      "--optimizer",
      "none",
      "--combine",
      "looksam",
    ],
    [
      "a preset of no one",
      /no preset is called "fats"; use one of paper, fast; did you mean "fast"/,
      "--preset",
      "fats",
    ],
    ["a preset of another", /preset "fast" is one of curvsam; sam has none/, "--preset", "fast", "--optimizer", "sam"],
    ["two letters swapped", /no base optimizer is called "admaw".*did you mean "adamw"/, "--base", "admaw"],
    ["an option of no part", /--set frequncy.*did you mean "frequency"/, "--set", "frequncy=3"],
    ["an option of two parts", /--set frequency: curvsam and sassha both/, "--base", "sassha", "--set", "frequency=3"],
    ["a value of no one", /estimator.*"finite-difference"/, "--estimator", "hpv"],
    ["a group that is not there", /no --group is called "head"/, "--hyper", "lr/head=1"],
    [
      "a hyper-parameter that is one for all",
      /"beta1" is one for all groups/,
      "--base",
      "adamw",
      "--group",
      "b=*bias",
      "--hyper",
      "beta1/b=0.5",
    ],
    ["a hyper-parameter out of its range", /momentum: 1 came, a number from 0 and below 1/, "--momentum", "1"],
  ];
  for (const [title, message, ...options] of refusals) {
    it(`refuses ${title}`, async () => {
      const out = join(folder.path, "refused");
      const { code, stderr } = await curvsam(["patch", model(), "-o", out, "--loss", "mse", ...options]);
      expect(code).to.be.oneOf([1, 2]);
      expect(stderr).to.match(message);
      expect(stderr.trim().split("\n")).to.have.lengthOf(1);
    });
  }

  it("inspects a package and a saved state, and refuses the state of another optimizer or model", async () => {
    const out = await patched("inspected", "--optimizer", "curvsam", "--base", "adamw");
    const batch = {
      feeds: {
        x: { dtype: "float32" as const, dims: [4, 3], data: Float32Array.from({ length: 12 }, (_, i) => Math.sin(i)) },
        labels: { dtype: "float32" as const, dims: [4, 2], data: new Float32Array(8) },
      },
    };
    const engine = await Engine.open(out, { threads: 1 });
    await engine.step([batch]);
    const saved = join(folder.path, "state.safetensors");
    engine.saveState(saved);
    await engine.close();
    const { stdout } = await curvsam(["inspect", out, "--state", saved]);
    expect(stdout).to.match(/optimizer +curvsam, plain, over adamw, curvature by hvp/);
    expect(stdout).to.match(/steps taken +1/);
    expect(stdout).to.match(/curvature +4 tensors +26 elements +104 bytes +rms/);
    expect(stdout).to.match(/state\/adam_c1 .*from 0\.1 to 0\.1/);
    const fresh = await curvsam(["inspect", out]);
    expect(fresh.stdout).to.match(/curvature_step +every 5 steps/);
    expect(fresh.stdout).to.match(/cost of a step at batch 16$/m);
    const costs = await curvsam(["inspect", out, "--sizes", "batch=10"]);
    expect(costs.stdout).to.match(/cost of a step at batch 10$/m);
    expect(costs.stdout).to.match(/^ {2}step +1\.92 kFLOP in products /m);
    // 26 parameters, the curvature and both moments of AdamW, three scalars; two buffers each.
    expect(costs.stdout).to.match(/^ {2}held always +856 bytes/m);
    const wrong = await curvsam(["inspect", out, "--sizes", "bach=10"]);
    expect(wrong.code).to.equal(1);
    expect(wrong.stderr).to.contain('no such dynamic dimension; it has batch; did you mean "batch"?');

    const others: [string[], string, string][] = [
      [
        ["--optimizer", "sam", "--base", "adamw"],
        "it is the state of curvsam, plain, over adamw",
        "sam, plain, over adamw",
      ],
      [["--base", "adamw", "--frequency", "3"], "curvsam.frequency is 5 there and 3 here", "other options"],
      [["--base", "adamw", "--freeze", "*.bias"], "other parameters", "frozen"],
    ];
    for (const [k, [options, ...parts]] of others.entries()) {
      const other = await Engine.open(await patched(`other${k}`, ...options), { threads: 1 });
      const before = other.read(["first.weight"]);
      await rejects(() => other.loadState(saved), ...parts);
      expect(other.read(["first.weight"])).to.deep.equal(before);
      await other.close();
    }
  });
});
