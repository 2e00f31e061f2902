import damerauLevenshtein from "damerau-levenshtein";

/** The candidates that `name` may be a misspelling of, nearest first: at most three, within a third of its length. */
export function nearMisses(name: string, candidates: Iterable<string>): string[] {
  const wanted = name.toLowerCase();
  return [...new Set(candidates)]
    .map((candidate) => ({ candidate, far: damerauLevenshtein(wanted, candidate.toLowerCase()).steps }))
    .filter(({ candidate, far }) => far <= Math.max(1, Math.floor(Math.max(wanted.length, candidate.length) / 3)))
    .sort((a, b) => a.far - b.far)
    .slice(0, 3)
    .map(({ candidate }) => candidate);
}

/** `; did you mean "a" or "b"?`, or nothing where no candidate is near. */
export function didYouMean(name: string, candidates: Iterable<string>): string {
  const near = nearMisses(name, candidates).map((candidate) => JSON.stringify(candidate));
  return near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "";
}
