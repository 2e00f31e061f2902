import { existsSync, readdirSync, statSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { check, UserError } from "../util/assert.js";
import { unreadable } from "./cells.js";

/** A token as `added_tokens` of a tokenizer.json lists it. */
export interface AddedToken {
  id: number;
  content: string;
  special: boolean;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
}

/** What the files beside a tokenizer may say: tokenizer_config.json and special_tokens_map.json. */
export interface ConfigFile {
  pad_token?: NamedToken | null;
  unk_token?: NamedToken | null;
  cls_token?: NamedToken | null;
  sep_token?: NamedToken | null;
  mask_token?: NamedToken | null;
  model_max_length?: number;
  truncation_side?: string;
  padding_side?: string;
  add_prefix_space?: boolean;
  do_lower_case?: boolean;
  strip_accents?: boolean | null;
  tokenize_chinese_chars?: boolean;
  added_tokens_decoder?: Record<string, { content?: string; lstrip?: boolean; rstrip?: boolean; special?: boolean }>;
}

export type NamedToken = string | { content?: string };

export const tokenName = (token: NamedToken | null | undefined): string | undefined =>
  typeof token === "object" ? token?.content : token;

export interface TokenizerSource {
  /** The file that messages name. */
  path: string;
  /** The tokenizer.json, as it stands there or as the vocabulary's files make it. */
  file: unknown;
  config: ConfigFile;
}

/**
 * Reads a tokenizer: a tokenizer.json, a folder that holds one, or the files from before there was one, vocab.json with merges.txt
 * (byte-level BPE, as GPT-2 and RoBERTa) or vocab.txt (WordPiece, as BERT), by the folder or one of their names.
 */
export async function readTokenizer(path: string): Promise<TokenizerSource> {
  check(existsSync(path), `${path}: no such file`);
  const isFolder = statSync(path).isDirectory();
  const folder = isFolder ? path : dirname(path);
  const map = (await readJson(join(folder, "special_tokens_map.json"))) as ConfigFile | null;
  const stated = (await readJson(join(folder, "tokenizer_config.json"))) as ConfigFile | null;
  const config = { ...map, ...stated };
  const name = isFolder ? firstOf(folder) : basename(path);
  const file = join(folder, name);
  if (/(^|[-_.])merges\.txt$/.test(name) || /(^|[-_.])vocab\.json$/.test(name)) {
    return { path: file, file: await bytePairs(folder, file, config), config };
  }
  if (/(^|[-_.])vocab\.txt$/.test(name)) return { path: file, file: await wordPieces(file, config), config };
  return { path: file, file: await readJson(file), config };
}

/** The tokenizer of a folder: the file that says most. */
function firstOf(folder: string): string {
  const files = readdirSync(folder);
  if (files.includes("tokenizer.json")) return "tokenizer.json";
  if (files.includes("vocab.json") && files.includes("merges.txt")) return "vocab.json";
  if (files.includes("vocab.txt")) return "vocab.txt";
  const sentencePiece = files.find((name) => /\.(model|spm|bpe\.model)$/.test(name));
  const hint =
    sentencePiece === undefined
      ? ""
      : `; ${sentencePiece} alone is not supported: save the tokenizer as tokenizer.json with Hugging Face's save_pretrained`;
  throw new UserError(
    `${folder}: no tokenizer is there; expected tokenizer.json, or vocab.json and merges.txt, or vocab.txt${hint}`,
  );
}

/** Byte-level BPE of GPT-2; with `<s>` and `</s>` in its vocabulary, RoBERTa's; with `[CLS]` and `[SEP]`, DeBERTa's. */
async function bytePairs(folder: string, named: string, config: ConfigFile): Promise<object> {
  const other = (from: string, to: string): string => join(folder, basename(named).replace(from, to));
  const vocabPath = named.endsWith(".txt") ? other("merges.txt", "vocab.json") : named;
  const mergesPath = named.endsWith(".txt") ? named : other("vocab.json", "merges.txt");
  for (const path of [vocabPath, mergesPath]) {
    check(existsSync(path), `${path}: no such file; byte-level BPE needs vocab.json and merges.txt, side by side`);
  }
  const vocab = checkVocabulary(vocabPath, await readJson(vocabPath));
  const has = (token: string): boolean => Object.hasOwn(vocab, token);
  check(
    !has("<|startoftext|>"),
    `${vocabPath}: this is CLIP's vocabulary, whose pieces are not GPT-2's; give the model's tokenizer.json`,
  );
  const merges = (await readText(mergesPath)).split(/\r?\n/).flatMap((line, i) => {
    if (line === "" || line.startsWith("#version")) return [];
    const pieces = line.split(" ");
    check(
      pieces.length === 2,
      () => `${mergesPath} line ${i + 1}: ${JSON.stringify(line)} is no merge; expected two pieces`,
    );
    return [pieces];
  });
  const [cls, sep] = surroundings(vocab, config);
  const unknown = tokenName(config.unk_token) ?? (has("<unk>") ? "<unk>" : "[UNK]");
  const space = config.add_prefix_space ?? false;
  return {
    version: "1.0",
    added_tokens: addedTokens(vocab, config, [
      "<s>",
      "<pad>",
      "</s>",
      "<unk>",
      "<mask>",
      "<|endoftext|>",
      ...bertSpecials,
    ]),
    normalizer: null,
    pre_tokenizer: { type: "ByteLevel", add_prefix_space: space, trim_offsets: true, use_regex: true },
    post_processor:
      cls === null || sep === null
        ? { type: "ByteLevel" }
        : { type: has("<s>") ? "RobertaProcessing" : "BertProcessing", cls, sep, add_prefix_space: space },
    model: {
      type: "BPE",
      unk_token: has(unknown) ? unknown : null,
      continuing_subword_prefix: "",
      end_of_word_suffix: "",
      fuse_unk: false,
      vocab,
      merges,
    },
  };
}

const bertSpecials = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"];

/** WordPiece of BERT; lower case unless the configuration says otherwise, as in its first implementation. */
async function wordPieces(path: string, config: ConfigFile): Promise<object> {
  const lines = (await readText(path)).split(/\r?\n/);
  if (lines.at(-1) === "") lines.pop();
  const vocab = checkVocabulary(path, Object.fromEntries(lines.map((token, id) => [token, id])));
  const unknown = tokenName(config.unk_token) ?? "[UNK]";
  check(
    Object.hasOwn(vocab, unknown),
    `${path}: it has no "${unknown}"; this is not the vocabulary of a WordPiece tokenizer`,
  );
  const [cls, sep] = surroundings(vocab, config);
  return {
    version: "1.0",
    added_tokens: addedTokens(vocab, config, [...bertSpecials, "<s>", "<pad>", "</s>", "<mask>"]),
    normalizer: {
      type: "BertNormalizer",
      clean_text: true,
      handle_chinese_chars: config.tokenize_chinese_chars ?? true,
      strip_accents: config.strip_accents ?? null,
      lowercase: config.do_lower_case ?? true,
    },
    pre_tokenizer: { type: "BertPreTokenizer" },
    post_processor:
      cls === null || sep === null
        ? null
        : { type: cls[0] === "<s>" ? "RobertaProcessing" : "BertProcessing", cls, sep },
    model: {
      type: "WordPiece",
      unk_token: unknown,
      continuing_subword_prefix: "##",
      max_input_chars_per_word: 100,
      vocab,
    },
  };
}

type Vocabulary = Record<string, number>;

/** The tokens that stand before and after a text, with their ids; null where the vocabulary has none. */
function surroundings(vocab: Vocabulary, config: ConfigFile): [[string, number] | null, [string, number] | null] {
  const first = (names: (string | undefined)[]): [string, number] | null => {
    for (const name of names) {
      const id = name === undefined || !Object.hasOwn(vocab, name) ? undefined : vocab[name];
      if (name !== undefined && id !== undefined) return [name, id];
    }
    return null;
  };
  return [first([tokenName(config.cls_token), "[CLS]", "<s>"]), first([tokenName(config.sep_token), "[SEP]", "</s>"])];
}

/** The special tokens among `usual` that the vocabulary has, and those that the configuration adds. */
function addedTokens(vocab: Vocabulary, config: ConfigFile, usual: readonly string[]): AddedToken[] {
  const tokens = new Map<string, AddedToken>();
  const add = (content: string, id: number, more: Partial<AddedToken> = {}): void => {
    const plain = { special: true, single_word: false, lstrip: false, rstrip: false, normalized: false };
    tokens.set(content, { id, content, ...plain, ...more });
  };
  // RoBERTa's mask swallows the space before it.
  for (const name of usual) {
    const id = Object.hasOwn(vocab, name) ? vocab[name] : undefined;
    if (id !== undefined) add(name, id, { lstrip: name === "<mask>" });
  }
  for (const [id, { content, lstrip = false, rstrip = false, special = true }] of Object.entries(
    config.added_tokens_decoder ?? {},
  )) {
    if (content !== undefined) add(content, Number(id), { lstrip, rstrip, special });
  }
  return [...tokens.values()].sort((a, b) => a.id - b.id);
}

function checkVocabulary(path: string, json: unknown): Vocabulary {
  check(
    typeof json === "object" && json !== null && !Array.isArray(json),
    `${path}: not a vocabulary: expected an object of tokens and their ids`,
  );
  const entries = Object.entries(json);
  check(entries.length > 0, `${path}: the vocabulary is empty`);
  for (const [token, id] of entries) {
    check(
      Number.isInteger(id) && (id as number) >= 0,
      () =>
        `${path}: token ${JSON.stringify(token)} has the id ${JSON.stringify(id)}; a whole number from 0 on expected`,
    );
  }
  return json as Vocabulary;
}

async function readText(path: string): Promise<string> {
  return readFile(path, "utf8").catch((error: unknown) => unreadable(path, error));
}

/** The JSON in `path`; null where there is no such file. */
async function readJson(path: string): Promise<unknown> {
  if (!existsSync(path)) return null;
  const text = await readText(path);
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UserError(`${path}: not valid JSON: ${(error as Error).message}`);
  }
}
