/** How the names of a package's tensors correspond to those of a PyTorch state dict. */
export interface NameMatch {
  /** The state dict's name of each tensor of the package that it has. */
  pairs: ReadonlyMap<string, string>;
  /** What stands before the package's names, and what stands there in the state dict; null where names are equal. */
  prefix: { here: string; there: string } | null;
}

/** Older checkpoints call a norm's weight gamma and its bias beta. */
const aliases = (name: string): string[] => {
  const old = name.replace(/\.weight$/, ".gamma").replace(/\.bias$/, ".beta");
  return old === name ? [name] : [name, old];
};

const join = (prefix: string, rest: string): string => (prefix === "" ? rest : `${prefix}.${rest}`);

/**
 * Matches names: equal ones first. For the others, one change of prefix (`roberta.` here and nothing there, nothing here and `module.`
 * there) is believed where it fits more than half of all names, so that a head never takes the weights of another head.
 */
export function matchNames(here: readonly string[], there: ReadonlySet<string>): NameMatch {
  const pairs = new Map<string, string>();
  const take = (name: string, candidate: string): void => {
    const found = aliases(candidate).find((each) => there.has(each));
    if (found !== undefined) pairs.set(name, found);
  };
  for (const name of here) take(name, name);
  const left = here.filter((name) => !pairs.has(name));
  const taken = new Set(pairs.values());
  const prefix = commonPrefix(
    left,
    [...there].filter((name) => !taken.has(name)),
    here.length / 2,
  );
  if (!prefix) return { pairs, prefix };
  for (const name of left) {
    if (prefix.here !== "" && !name.startsWith(`${prefix.here}.`)) continue;
    const rest = prefix.here === "" ? name : name.slice(prefix.here.length + 1);
    take(name, join(prefix.there, rest));
  }
  return { pairs, prefix };
}

/** The change of prefix that turns most names of `here` into one of `there`, if it is more than `least` of them. */
function commonPrefix(here: readonly string[], there: readonly string[], least: number): NameMatch["prefix"] {
  const parts = there.map((name) =>
    name
      .replace(/\.gamma$/, ".weight")
      .replace(/\.beta$/, ".bias")
      .split("."),
  );
  const counts = new Map<string, { count: number; prefix: { here: string; there: string } }>();
  for (const name of here) {
    const mine = name.split(".");
    for (const theirs of parts) {
      let same = 0;
      while (same < Math.min(mine.length, theirs.length) && mine.at(-1 - same) === theirs.at(-1 - same)) same++;
      if (same === 0) continue;
      const prefix = {
        here: mine.slice(0, mine.length - same).join("."),
        there: theirs.slice(0, theirs.length - same).join("."),
      };
      const key = `${prefix.here}\0${prefix.there}`;
      const entry = counts.get(key) ?? { count: 0, prefix };
      entry.count++;
      counts.set(key, entry);
    }
  }
  const best = [...counts.values()].sort((a, b) => b.count - a.count)[0];
  return best && best.count > least ? best.prefix : null;
}

/** What a tensor is to the model, as far as its layout in PyTorch goes. */
export type LayerKind =
  /** PyTorch's layout, by the graph: an embedding, a norm, a convolution, a weight that is transposed before its product. */
  | "same"
  /** The exporter stored the transpose of PyTorch's weight. */
  | "folded"
  /** Under its own name, and multiplied as it is, [in, out]: a linear layer's weight, which PyTorch holds as [out, in]. */
  | "product"
  /** The same in a Gemm: PyTorch's `addmm`, whose weight is [in, out] there too (Conv1D of GPT-2). */
  | "addmm";

/** Whether PyTorch holds the transpose, where shapes do not tell. */
const usuallyTransposed: Record<LayerKind, boolean> = { same: false, folded: true, product: true, addmm: false };

export interface Layout {
  transposed: boolean;
  /** What told: the shapes; the other weights of its kind, whose shapes tell; or the kind of layer alone. */
  by: "shape" | "siblings" | "layer";
}

/** A tensor here, and the shape that a state dict has for it. */
export interface Matched {
  name: string;
  kind: LayerKind;
  here: readonly number[];
  there: readonly number[];
}

const equal = (a: readonly number[], b: readonly number[]): boolean =>
  a.length === b.length && a.every((n, i) => n === b[i]);
const isMatrix = ({ kind, here }: Matched): boolean => kind !== "same" && here.length === 2;
const isSquare = ({ here }: Matched): boolean => here[0] === here[1];

/**
 * The layout of every matched tensor in the state dict. Oblong matrices tell by their shapes; square ones follow the oblong ones of their
 * kind, or where there are none, their kind of layer. `misfits` are those whose shape fits neither way; `mixed` names a kind whose
 * oblong matrices disagree, with one of each, though square ones depend on them.
 */
export function layoutsOf(all: readonly Matched[]): {
  layouts: Map<string, Layout>;
  misfits: Matched[];
  mixed: [asIs: string, transposed: string] | null;
} {
  const layouts = new Map<string, Layout>();
  const misfits: Matched[] = [];
  const seen = new Map<LayerKind, { asIs?: string; transposed?: string }>();
  const squares: Matched[] = [];
  for (const each of all) {
    const { name, kind, here, there } = each;
    if (isMatrix(each) && isSquare(each) && equal(here, there)) {
      squares.push(each);
      continue;
    }
    const asIs = equal(here, there);
    const transposed = isMatrix(each) && equal([...here].reverse(), there);
    if (!asIs && !transposed) misfits.push(each);
    else layouts.set(name, { transposed: !asIs, by: "shape" });
    if (isMatrix(each) && asIs !== transposed) {
      const evidence = seen.get(kind) ?? {};
      evidence[asIs ? "asIs" : "transposed"] = name;
      seen.set(kind, evidence);
    }
  }
  let mixed: [string, string] | null = null;
  for (const { name, kind } of squares) {
    const { asIs, transposed } = seen.get(kind) ?? {};
    if (asIs !== undefined && transposed !== undefined) mixed = [asIs, transposed];
    if (asIs === undefined && transposed === undefined) {
      layouts.set(name, { transposed: usuallyTransposed[kind], by: "layer" });
    } else layouts.set(name, { transposed: transposed !== undefined, by: "siblings" });
  }
  return { layouts, misfits, mixed };
}

/** The shape that PyTorch usually has for a tensor of this kind. */
export const usualShape = ({ kind, here }: Pick<Matched, "kind" | "here">): readonly number[] =>
  usuallyTransposed[kind] && here.length === 2 ? [...here].reverse() : here;

/** The transpose of a row-major matrix of `rows` by `columns`. */
export function transpose(data: Float32Array, rows: number, columns: number): Float32Array<ArrayBuffer> {
  const result = new Float32Array(data.length);
  // In tiles, so that neither side is walked across the whole cache.
  const tile = 32;
  for (let i0 = 0; i0 < rows; i0 += tile) {
    for (let j0 = 0; j0 < columns; j0 += tile) {
      const [iEnd, jEnd] = [Math.min(rows, i0 + tile), Math.min(columns, j0 + tile)];
      for (let i = i0; i < iEnd; i++) {
        for (let j = j0; j < jEnd; j++) result[j * rows + i] = data[i * columns + j] ?? NaN;
      }
    }
  }
  return result;
}
