import picomatch from "picomatch";

/** Tells which names the globs select, and which glob selected none so far. */
export interface Matcher {
  readonly matches: (name: string) => boolean;
  readonly unused: () => string[];
}

/** `*` stands for any run of characters, dots and slashes included; names are compared case by case. */
export function globs(patterns: readonly string[]): Matcher {
  const tests = patterns.map((pattern) => ({
    pattern,
    test: picomatch(pattern, { dot: true, bash: true }),
    used: false,
  }));
  return {
    matches: (name) => {
      let any = false;
      for (const entry of tests) {
        if (!entry.test(name)) continue;
        entry.used = true;
        any = true;
      }
      return any;
    },
    unused: () => tests.filter((entry) => !entry.used).map((entry) => entry.pattern),
  };
}
