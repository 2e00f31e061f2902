/** Heading of the section of docs/MODELS.md that scripts/full_size_step.ts writes, and scripts/models_table.ts keeps. */
export const fullSize = "## At full size";

/** The section with its heading; empty where the document has none. */
export function sectionOf(document: string): string {
  const start = document.indexOf(`${fullSize}\n`);
  if (start < 0) return "";
  const end = document.indexOf("\n## ", start + 1);
  return `${document.slice(start, end < 0 ? undefined : end).trimEnd()}\n`;
}

/** The document with `section` in the place of its own, or at its end. */
export function withSection(document: string, section: string): string {
  const old = sectionOf(document);
  const text = `${section.trimEnd()}\n`;
  return old ? document.replace(old, () => text) : `${document.trimEnd()}\n\n${text}`;
}
