import { check } from "../util/assert.js";

/** One place of a template: a special token, or all of text A or B; `type` is the segment id of what stands there. */
type Item = { id: number; type: number } | { text: "A" | "B"; type: number };

/** How special tokens surround a single text and a pair. */
export interface Template {
  single: Item[];
  pair: Item[];
}

interface Processor {
  type: string;
  cls?: [string, number];
  sep?: [string, number];
  single?: TemplateItem[];
  pair?: TemplateItem[];
  special_tokens?: Record<string, { ids: number[] }>;
  processors?: Processor[];
}

interface TemplateItem {
  SpecialToken?: { id: string; type_id?: number };
  Sequence?: { id: string; type_id?: number };
}

const bare: Template = {
  single: [{ text: "A", type: 0 }],
  pair: [
    { text: "A", type: 0 },
    { text: "B", type: 1 },
  ],
};

/**
 * The template that the `post_processor` of a tokenizer.json describes. It works on ids, so that truncation can happen
 * between tokenizing and adding the special tokens, as in the original library; segment ids are that library's too (all 0 for RoBERTa).
 */
export function compileTemplate(postProcessor: unknown, where: string): Template {
  if (postProcessor === null || postProcessor === undefined) return bare;
  const processor = postProcessor as Processor;
  switch (processor.type) {
    case "ByteLevel":
      return bare;
    case "BertProcessing":
    case "RobertaProcessing": {
      const cls = processor.cls?.[1];
      const sep = processor.sep?.[1];
      check(cls !== undefined && sep !== undefined, `${where}: its ${processor.type} lacks "cls" or "sep"`);
      const roberta = processor.type === "RobertaProcessing";
      const second = roberta ? 0 : 1;
      const single: Item[] = [
        { id: cls, type: 0 },
        { text: "A", type: 0 },
        { id: sep, type: 0 },
      ];
      const between: Item[] = roberta ? [{ id: sep, type: 0 }] : [];
      return { single, pair: [...single, ...between, { text: "B", type: second }, { id: sep, type: second }] };
    }
    case "TemplateProcessing":
      return {
        single: compileItems(processor.single ?? [], processor, where),
        pair: compileItems(processor.pair ?? [], processor, where),
      };
    case "Sequence": {
      const templates = (processor.processors ?? []).filter((each) => each.type !== "ByteLevel");
      check(
        templates.length <= 1,
        `${where}: a post-processor that is a sequence of ${templates.length} templates is not supported`,
      );
      return compileTemplate(templates[0], where);
    }
    default:
      check(false, `${where}: post-processor ${JSON.stringify(processor.type)} is not supported`);
  }
}

function compileItems(items: readonly TemplateItem[], processor: Processor, where: string): Item[] {
  return items.flatMap(({ SpecialToken: special, Sequence: sequence }): Item[] => {
    if (sequence) return [{ text: sequence.id === "B" ? "B" : "A", type: sequence.type_id ?? 0 }];
    const name = special?.id ?? "";
    const ids = processor.special_tokens?.[name]?.ids;
    check(
      ids !== undefined,
      `${where}: its template names the special token ${JSON.stringify(name)} but does not define it`,
    );
    return ids.map((id) => ({ id, type: special?.type_id ?? 0 }));
  });
}

/** How many special tokens the template adds. */
export const specialCount = (items: readonly Item[]): number => items.filter((item) => "id" in item).length;

/** Puts the ids of the texts into the template: the ids of the whole and the segment of each. */
export function fillTemplate(
  items: readonly Item[],
  a: readonly number[],
  b: readonly number[],
): { ids: number[]; types: number[] } {
  const ids: number[] = [];
  const types: number[] = [];
  for (const item of items) {
    const part = "id" in item ? [item.id] : item.text === "A" ? a : b;
    for (const id of part) {
      ids.push(id);
      types.push(item.type);
    }
  }
  return { ids, types };
}
