import { UserError } from "../util/assert.js";

/** What a reader knows about where a model comes from. */
export class Source {
  /** What `ExternalFiles.locate` has already checked, by location. */
  readonly external = new Map<string, { file: string; size: number }>();
  constructor(
    /** How messages call the model: its file, or "model". */
    readonly label: string,
    /** Folder that external data lies in; null where the model came without one. */
    readonly folder: string | null,
    /** The model file itself, where there is one. */
    readonly file: string | null,
  ) {}

  fail(message: string): never {
    // Names are the file's own: a message stays one line whatever they hold.
    const line = message.replace(
      /\p{Cc}|\u2028|\u2029/gu,
      (c) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`,
    );
    throw new UserError(`${this.label}: ${line}`);
  }

  check(condition: unknown, message: () => string): asserts condition {
    if (!condition) this.fail(message());
  }
}
