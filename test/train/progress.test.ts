import { expect } from "chai";
import { Writable } from "node:stream";
import type { WriteStream } from "node:tty";
import { duration, Progress, Speed } from "../../src/train/progress.js";

describe("progress", () => {
  it("measures examples a second of the last steps, and the time left by the clock", () => {
    const speed = new Speed(100, 1000, 2);
    expect(speed.step(41, 16, 2, 1003)).to.deep.equal({ examplesPerSecond: 8, secondsLeft: 3 * 59 });
    expect(speed.step(42, 16, 2, 1006)).to.deep.equal({ examplesPerSecond: 8, secondsLeft: 3 * 58 });
    expect(speed.step(43, 8, 1, 1012)).to.deep.equal({ examplesPerSecond: 8, secondsLeft: 4 * 57 });
    expect(speed.step(44, 16, 1, 1012).examplesPerSecond).to.equal(12);
  });

  it("writes durations as people read them", () => {
    expect([0.4, 59.4, 59.6, 61, 3599, 3600, 7625].map(duration)).to.deep.equal([
      "0s",
      "59s",
      "1m00s",
      "1m01s",
      "59m59s",
      "1h00m",
      "2h07m",
    ]);
  });

  it("draws where someone watches, and nothing where nobody does", () => {
    for (const isTTY of [true, false]) {
      let text = "";
      const stream = new Writable({ write: (chunk, _, done) => ((text += String(chunk)), done()) });
      const progress = new Progress(Object.assign(stream, { isTTY, columns: 120 }) as unknown as WriteStream, 20, 0);
      progress.update({ step: 20, epoch: 1, epochs: 2, loss: 0.25, examples: 30, seconds: 0.5 });
      progress.stop();
      if (isTTY) expect(text).to.match(/epoch 2\/2 .*20\/20 steps \| loss 0\.2500 \| 60\.0 examples\/s \| 0s left/);
      else expect(text).to.equal("");
    }
  });
});
