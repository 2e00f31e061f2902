import { Tokenizer as Untyped } from "@huggingface/tokenizers";
import { check, UserError } from "../util/assert.js";
import { compileTemplate, fillTemplate, specialCount, type Template } from "./template.js";
import { readTokenizer, tokenName, type ConfigFile } from "./vocabulary.js";

/** What is used of the library: its own declarations import without file extensions, which leaves them untyped here. */
interface Model {
  readonly model: { readonly unk_token_id?: number | undefined };
  tokenize(text: string, options: { add_special_tokens: boolean }): string[];
  token_to_id(token: string): number | undefined;
  id_to_token(id: number): string | undefined;
}
const Model = Untyped as unknown as new (file: object, config: object) => Model;

/** One text or pair, as ids with their special tokens; the attention mask is 1 on all of it. */
export interface Encoded {
  ids: number[];
  /** The segment of each id: 0, or 1 in the second text of models that tell them apart. */
  types: number[];
}

export interface TokenizerOptions {
  /** Longest encoding, special tokens included; default: what the files say, else no limit. */
  maxLength?: number;
  /** Rows of the model's embedding; an id beyond them is an error. Default: not checked. */
  embeddingSize?: number;
}

interface TokenizerFile {
  model?: { type?: string; vocab?: unknown };
  added_tokens?: { id: number; content: string; special?: boolean }[];
  post_processor?: unknown;
  truncation?: { max_length?: number; direction?: string } | null;
  padding?: { pad_id?: number; pad_type_id?: number; direction?: string } | null;
}

/** Wide of any real limit: `model_max_length` is 1e30 in files that state none. */
const noLimit = 1e6;

/** Turns texts into ids as the tokenizer files of a Hugging Face model say. */
export class Tokenizer {
  readonly padId: number;
  readonly padType: number;
  readonly padLeft: boolean;
  readonly maxLength: number | null;
  readonly #path: string;
  readonly #model: Model;
  readonly #template: Template;
  readonly #truncateLeft: boolean;
  readonly #embeddingSize: number;

  private constructor(path: string, file: TokenizerFile, config: ConfigFile, options: TokenizerOptions) {
    this.#path = path;
    try {
      // Special tokens are added here, after truncation; the library would add them before.
      const complete = {
        normalizer: null,
        pre_tokenizer: null,
        decoder: null,
        added_tokens: [],
        ...file,
        post_processor: null,
      };
      this.#model = new Model(complete, config);
    } catch (error) {
      throw new UserError(`${path}: this tokenizer is not supported: ${(error as Error).message}`);
    }
    this.#template = compileTemplate(file.post_processor, path);
    this.#embeddingSize = options.embeddingSize ?? Infinity;
    const stated = file.truncation?.max_length ?? config.model_max_length ?? Infinity;
    this.maxLength = options.maxLength ?? (stated < noLimit ? stated : null);
    this.#truncateLeft = (file.truncation?.direction ?? config.truncation_side ?? "right").toLowerCase() === "left";
    this.padLeft = (file.padding?.direction ?? config.padding_side ?? "right").toLowerCase() === "left";
    this.padType = file.padding?.pad_type_id ?? 0;
    this.padId = this.#findPadding(file, config);
    const specials = specialCount(this.#template.pair);
    check(
      this.maxLength === null || this.maxLength > specials,
      `the maximum length of ${this.maxLength ?? 0} tokens leaves no room for text beside ${specials} special tokens`,
    );
    this.#checkVocabulary(file);
    this.#checkId(this.padId);
    for (const item of this.#template.pair) if ("id" in item) this.#checkId(item.id);
  }

  /**
   * Reads a `tokenizer.json`, `vocab.json` with `merges.txt`, or `vocab.txt`, by the file's name or its folder's; and
   * `tokenizer_config.json` where it lies beside it. Throws `UserError` naming the file.
   */
  static async open(path: string, options: TokenizerOptions = {}): Promise<Tokenizer> {
    const source = await readTokenizer(path);
    const file = source.file as TokenizerFile | null;
    check(
      typeof file === "object" && typeof file?.model === "object",
      `${source.path}: not a tokenizer: expected the tokenizer.json of a Hugging Face model, with a "model"`,
    );
    return new Tokenizer(source.path, file, source.config, options);
  }

  /** Encodes a text, or a pair; what is longer than `maxLength` loses tokens from its end, of a pair the longer text first. */
  encode(text: string, pair?: string): Encoded {
    const items = pair === undefined ? this.#template.single : this.#template.pair;
    let a = this.#tokenize(text);
    let b = pair === undefined ? [] : this.#tokenize(pair);
    if (this.maxLength !== null) {
      const room = this.maxLength - specialCount(items);
      if (a.length + b.length > room) {
        const [lengthA, lengthB] = pair === undefined ? [room, 0] : longestFirst(a.length, b.length, room);
        a = this.#cut(a, lengthA);
        b = this.#cut(b, lengthB);
      }
    }
    return fillTemplate(items, a, b);
  }

  #cut(ids: number[], length: number): number[] {
    return this.#truncateLeft ? ids.slice(ids.length - Math.min(length, ids.length)) : ids.slice(0, length);
  }

  #tokenize(text: string): number[] {
    const unknown = this.#model.model.unk_token_id;
    return this.#model.tokenize(text, { add_special_tokens: false }).map((token) => {
      const id = this.#model.token_to_id(token) ?? unknown;
      check(
        id !== undefined,
        () => `${this.#path}: no id for ${JSON.stringify(token)}, and the tokenizer has no unknown token`,
      );
      this.#checkId(id);
      return id;
    });
  }

  /** A vocabulary that reaches beyond the embedding is another model's; tokens that were added to it may be unused. */
  #checkVocabulary({ model }: TokenizerFile): void {
    if (!Number.isFinite(this.#embeddingSize)) return;
    const vocab = model?.vocab;
    if (typeof vocab !== "object" || vocab === null) return;
    // Unigram models list pairs of piece and score, in the order of their ids.
    const ids = Array.isArray(vocab) ? [vocab.length - 1] : Object.values(vocab as Record<string, number>);
    const last = ids.reduce((most, id) => Math.max(most, id), 0);
    check(
      last < this.#embeddingSize,
      `${this.#path}: its vocabulary has ids up to ${last}, but the model's embedding has ${this.#embeddingSize} rows; ` +
        "give the tokenizer that the model was made with",
    );
  }

  #checkId(id: number): void {
    check(id < this.#embeddingSize, () => {
      const token = JSON.stringify(this.#model.id_to_token(id) ?? "");
      const rows = `the model's embedding has ${this.#embeddingSize} rows`;
      return `${this.#path}: token ${token} has id ${id}, but ${rows}; give the tokenizer that the model was made with`;
    });
  }

  #findPadding(file: TokenizerFile, config: ConfigFile): number {
    const configured = tokenName(config.pad_token);
    const names = [...(configured === undefined ? [] : [configured]), "[PAD]", "<pad>"];
    const id =
      file.padding?.pad_id ?? names.map((name) => this.#model.token_to_id(name)).find((found) => found !== undefined);
    check(
      id !== undefined,
      `${this.#path}: no padding token; name it as "pad_token" in a tokenizer_config.json beside this file`,
    );
    return id;
  }
}

/** The lengths that two texts of `a` and `b` tokens are cut to, so that both fit into `room`: the longer one gives first. */
export function longestFirst(a: number, b: number, room: number): [number, number] {
  const short = Math.min(a, b);
  const half = Math.floor(room / 2);
  const [less, more] = short > half ? [half, room - half] : [short, room - short];
  return a <= b ? [Math.min(a, less), Math.min(b, more)] : [Math.min(a, more), Math.min(b, less)];
}
