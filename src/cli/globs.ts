import picomatch from "picomatch";
import { check } from "../util/assert.js";
import { nearMisses } from "../util/suggest.js";

/** `*` stands for any run of characters, dots and slashes included; names are compared case by case. */
function matcher(pattern: string): (name: string) => boolean {
  const test = picomatch(pattern, { dot: true, bash: true });
  // Called with more than a name, as by `some`, picomatch answers with an object.
  return (name) => test(name);
}

/** Tells which names one of the globs selects. */
export function globs(patterns: readonly string[]): (name: string) => boolean {
  const tests = patterns.map(matcher);
  return (name) => tests.some((test) => test(name));
}

/** Refuses a glob that selects none of `names`; `flags` holds each flag's globs, by the flag's name without dashes. */
export function refuseUnmatched(
  flags: Readonly<Record<string, readonly string[] | undefined>>,
  names: readonly string[],
): void {
  for (const [flag, patterns = []] of Object.entries(flags)) {
    for (const pattern of patterns) {
      check(
        names.some(matcher(pattern)),
        () => `--${flag} "${pattern}" matches no parameter; ${advice(pattern, names)}`,
      );
    }
  }
}

function advice(pattern: string, names: readonly string[]): string {
  const near = nearGlobs(pattern, names).map((glob) => JSON.stringify(glob));
  if (near.length > 0) return `did you mean ${near.join(" or ")}?`;
  return `names look like ${JSON.stringify(names[0] ?? "")}, and * stands for any characters`;
}

/**
 * Globs that select something and differ from `pattern` in one literal piece, which is replaced by a run of as many dotted parts of a
 * name that it resembles: `*embedings*` gives `*embeddings*`. A whole name that lacks its beginning gets a star.
 */
export function nearGlobs(pattern: string, names: readonly string[]): string[] {
  const selects = (glob: string): boolean => names.some(matcher(glob));
  if (!pattern.startsWith("*") && selects(`*${pattern}`)) return [`*${pattern}`];
  const pieces = pattern.split("*");
  const found = pieces.flatMap((piece, i) => {
    const core = piece.replace(/^\.+|\.+$/g, "");
    if (core === "") return [];
    return nearMisses(core, dottedRuns(names, core.split(".").length)).map((near) =>
      pieces
        .with(
          i,
          piece.replace(core, () => near),
        )
        .join("*"),
    );
  });
  return [...new Set(found)].filter(selects).slice(0, 3);
}

/** Every run of `length` dotted parts in the names. */
function dottedRuns(names: readonly string[], length: number): Set<string> {
  const runs = new Set<string>();
  for (const name of names) {
    const parts = name.split(".");
    for (let i = 0; i + length <= parts.length; i++) runs.add(parts.slice(i, i + length).join("."));
  }
  return runs;
}
