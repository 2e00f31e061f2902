import type { RunLog, Track } from "./run_log.js";

/** A quantity of each layer over time: `values[j][i]` of layer j at step i. */
export interface LayerTable {
  steps: number[];
  layers: string[];
  values: number[][];
}

/** What is kept of the Hessian's diagonal, by the kind of state: whose it is, and what is averaged. */
const kinds: Readonly<Record<string, { owner: string; value: string }>> = {
  adahessian_v: { owner: " of AdaHessian", value: "mean of √v" },
  sassha_v: { owner: " of SASSHA", value: "mean of v" },
};

/** A picture's title, and that of its colours. */
export function curvatureTitles(kind: string): { title: string; value: string } {
  const { owner, value } = kinds[kind] ?? { owner: "", value: "mean of h" };
  return { title: `Curvature by layer${owner}`, value };
}

/**
 * The mean curvature of each layer over time, of the tracks of one kind. Where a model has more than `most` tensors, those with equal beginnings of their
 * names (`encoder.layer.0.…`) are taken together, as far as it needs, by the number of their elements.
 */
export function curvatureByLayer(
  curvature: ReadonlyMap<string, Track>,
  elements: RunLog["elements"],
  most = 40,
): LayerTable {
  const groups = groupsOf([...curvature.keys()], most);
  const steps = [...new Set([...curvature.values()].flatMap((track) => track.map(([step]) => step)))].sort(
    (a, b) => a - b,
  );
  const at = new Map(steps.map((step, i) => [step, i]));
  const values = [...groups.values()].map((names) => {
    const sums = new Float64Array(steps.length);
    const weights = new Float64Array(steps.length);
    for (const name of names) {
      const weight = elements[name] ?? 1;
      for (const [step, value] of curvature.get(name) ?? ([] as Track)) {
        const i = at.get(step) ?? 0;
        sums[i] = (sums[i] ?? 0) + weight * value;
        weights[i] = (weights[i] ?? 0) + weight;
      }
    }
    return Array.from(sums, (sum, i) => sum / (weights[i] ?? NaN));
  });
  return { steps, layers: [...groups.keys()], values };
}

/** Names by the longest beginnings that leave at most `most` groups, in their order. */
function groupsOf(names: readonly string[], most: number): Map<string, string[]> {
  // The separators stay with what they follow, so that a joined beginning reads as in the name.
  const parts = names.map((name) => name.split(/(?<=[./])/));
  for (let depth = Math.max(...parts.map(({ length }) => length)); ; depth--) {
    const groups = new Map<string, string[]>();
    parts.forEach((part, i) => {
      const key = part.slice(0, depth).join("").replace(/[./]$/, "");
      groups.set(key, [...(groups.get(key) ?? []), names[i] ?? ""]);
    });
    if (groups.size <= most || depth === 1) return groups;
  }
}
