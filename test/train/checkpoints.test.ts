import { expect } from "chai";
import { cpSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { PackageRuntime } from "../../src/runtime/runtime.js";
import { Checkpoints, readCheckpoint } from "../../src/train/checkpoints.js";
import { fit } from "../../src/train/fit.js";
import type { FitOptions } from "../../src/train/options.js";
import { logisticPackage } from "../support/logistic.js";
import { refusal } from "../support/refusal.js";
import { LogisticSource } from "../support/source.js";
import { temporaryFolder } from "../support/temp.js";

describe("checkpoints", () => {
  const { path: work } = temporaryFolder();
  const at = (...names: string[]): string => join(work, ...names);
  let folder: string;
  /** The weights after 12 steps. */
  let whole: number[];

  /** Twelve steps over the batches of 4 in three epochs, a checkpoint after every fourth. */
  async function train(name: string, changes: Partial<FitOptions> = {}): Promise<number[]> {
    const runtime = await PackageRuntime.open(folder, { threads: 1, seed: 2 });
    try {
      const train = new LogisticSource(32, 8);
      await fit({ runtime, train, epochs: 3, checkpoints: { folder: at(name), every: 4, keep: 3 }, ...changes });
      const { w, b, "momentum/w": m } = await runtime.read(["w", "b", "momentum/w"]);
      return [w, b, m].flatMap((each) => Array.from(each!.data, Number));
    } finally {
      await runtime.close();
    }
  }

  before(async () => {
    folder = logisticPackage();
    whole = await train("whole");
  });
  after(() => rmSync(folder, { recursive: true }));

  /** A copy of the first eight steps' checkpoints, the last of them handed to `damage`. */
  function copy(name: string, damage: (last: string) => void): void {
    for (const step of [4, 8])
      cpSync(at("whole", `checkpoint-${step}`), at(name, `checkpoint-${step}`), { recursive: true });
    damage(at(name, "checkpoint-8"));
  }
  const flip = (file: string, place: number): void => {
    const bytes = readFileSync(file);
    const i = place < 0 ? bytes.length + place : place;
    bytes[i] = bytes[i]! ^ 1;
    writeFileSync(file, bytes);
  };
  const edit = (file: string, from: RegExp, to: string): void => {
    const text = readFileSync(file, "utf8");
    expect(text).to.match(from);
    writeFileSync(file, text.replace(from, to));
  };

  const damages: [string, RegExp, (last: string) => void][] = [
    [
      "a bit of the weights",
      /state\.safetensors: it is not what was written: its checksum/,
      (last) => flip(join(last, "state.safetensors"), -3),
    ],
    [
      "half of the weights",
      /state\.safetensors: it is not what was written/,
      (last) => truncateSync(join(last, "state.safetensors"), 300),
    ],
    ["all of the weights", /state\.safetensors: it is missing/, (last) => rmSync(join(last, "state.safetensors"))],
    [
      "a number of the trainer's",
      /trainer\.json: it is not what was written/,
      (last) => edit(join(last, "trainer.json"), /"skipped": 0/, '"skipped": 3'),
    ],
    [
      "the end of the trainer's file",
      /trainer\.json: it is not JSON/,
      (last) => truncateSync(join(last, "trainer.json"), 50),
    ],
    ["the trainer's file", /trainer\.json: cannot read: no such file/, (last) => rmSync(join(last, "trainer.json"))],
  ];
  damages.forEach(([what, says, damage], i) => {
    it(`without ${what} it is refused by name, and the one before it goes on to the same bits`, async () => {
      const name = `damaged-${i}`;
      copy(name, damage);
      const notes: string[] = [];
      const result = await train(name, { resume: at(name), callbacks: { onNote: (line) => notes.push(line) } });
      expect(result).to.deep.equal(whole);
      expect(notes).to.have.lengthOf(1);
      expect(notes[0])
        .to.match(says)
        .and.contain(at(name, "checkpoint-8"))
        .and.match(/; going on from .*checkpoint-4$/);
    });
  });

  it("named itself, it is refused, with the one before it; a folder without a sound one is refused", async () => {
    copy("named", (last) => flip(join(last, "state.safetensors"), -1));
    expect(await refusal(train("named", { resume: at("named", "checkpoint-8") }))).to.match(
      /checkpoint-8.state\.safetensors: .*checksum differs.*; the one before it is .*checkpoint-4$/,
    );
    flip(at("named", "checkpoint-4", "state.safetensors"), -1);
    expect(await refusal(train("named", { resume: at("named") }))).to.match(
      /checkpoint-8.state\.safetensors: .*; .*named has no sound checkpoint$/,
    );
  });

  it("is found where its process was killed as it replaced it", async () => {
    copy("replaced", (last) => {
      cpSync(last, at("replaced", ".checkpoint-8"), { recursive: true });
      truncateSync(at("replaced", ".checkpoint-8", "state.safetensors"), 100);
      renameSync(last, at("replaced", ".checkpoint-8-old"));
    });
    expect((await readCheckpoint(at("replaced"))).state.step).to.equal(8);
    expect(await train("replaced", { resume: at("replaced") })).to.deep.equal(whole);
    expect(readdirSync(at("replaced")).sort()).to.deep.equal(["checkpoint-12", "checkpoint-4", "checkpoint-8"]);
  });

  it("is read back before an older one goes: a disk that lies loses nothing", async () => {
    copy("lying", () => undefined);
    const { state } = await readCheckpoint(at("lying"));
    const checkpoints = new Checkpoints(at("lying"), 1, true);
    const saveState = (path: string): Promise<string> => {
      writeFileSync(path, "half of it");
      return Promise.resolve("the checksum of all of it");
    };
    try {
      expect(
        await refusal(checkpoints.save({ saveState } as unknown as PackageRuntime, { ...state, step: 12 })),
      ).to.match(/checkpoint-12: what was written does not read back; the checkpoint before it is kept/);
    } finally {
      checkpoints.close();
    }
    expect(readdirSync(at("lying")).sort()).to.deep.equal(["checkpoint-4", "checkpoint-8"]);
    expect((await readCheckpoint(at("lying"))).state.step).to.equal(8);
  });

  it("are one run's: a second one on the folder is refused while the first goes on", async () => {
    const refused: string[] = [];
    const onStep = async (_: unknown, { step }: { step: number }) => {
      if (step === 2) refused.push(await refusal(train("shared")));
      if (step === 6) refused.push(await refusal(train("shared", { resume: at("shared") })));
    };
    expect(await train("shared", { callbacks: { onStep } })).to.deep.equal(whole);
    expect(refused).to.have.lengthOf(2);
    for (const message of refused)
      expect(message).to.contain(`process ${process.pid} on ${hostname()} has worked here`);
    mkdirSync(at("other"));
    await refusal(train("other", { log: at("nowhere", "log.jsonl") }));
    expect(readdirSync(at("other"))).to.deep.equal([]);
  });
});
