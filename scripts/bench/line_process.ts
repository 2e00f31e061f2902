import { spawn, type ChildProcess } from "node:child_process";
import { createInterface } from "node:readline";
import { UserError } from "../../src/util/assert.js";
import type { JsonValue } from "../../src/util/json.js";

export type Answer = Readonly<Record<string, JsonValue>>;

/** A process that answers each line that it is given with a line of JSON, and says one line when it is ready. */
export class LineProcess {
  private readonly answers: AsyncIterator<string>;
  private errors = "";

  private constructor(
    private readonly name: string,
    private readonly child: ChildProcess,
  ) {
    if (!child.stdout || !child.stderr) throw new Error(`${name}: started without pipes`);
    child.stderr.on("data", (text: Buffer) => {
      this.errors = (this.errors + text.toString()).slice(-4000);
    });
    this.answers = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  }

  /** Starts the process; resolves with it and the line that it says when it is ready. */
  static async start(name: string, command: string, args: readonly string[]): Promise<[LineProcess, Answer]> {
    const child = spawn(command, args, { stdio: ["pipe", "pipe", "pipe"] });
    const failed = new Promise<never>((_, reject) => child.once("error", reject));
    const process = new LineProcess(name, child);
    return [process, await Promise.race([process.read(), failed])];
  }

  async ask(line: string): Promise<Answer> {
    this.child.stdin?.write(`${line}\n`);
    return this.read();
  }

  private async read(): Promise<Answer> {
    for (;;) {
      const answer = await this.answers.next();
      if (answer.done === true)
        throw new UserError(`${this.name} ended: ${this.errors.trim().split("\n").slice(-3).join(" | ")}`);
      // Libraries write lines of their own.
      if (answer.value.startsWith("{")) return JSON.parse(answer.value) as Answer;
    }
  }
}
