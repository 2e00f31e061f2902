import { join } from "node:path";
import type { Manifest } from "../format/manifest.js";
import { costOf, type Cost } from "../passes/cost.js";
import { loadModel } from "../serde/index.js";
import { check, must } from "../util/assert.js";
import { factorsOf } from "../util/shape.js";
import { didYouMean } from "../util/suggest.js";
import { orderForMemory } from "../lower/order.js";
import { heldBytes } from "./memory.js";

/** What the steps of a package cost, and what it holds all the time. */
export interface PackageCosts {
  /** Sizes of the dynamic dimensions that this is for. */
  sizes: Record<string, number>;
  /** The fused graphs of the schedule, ordered for memory as on the CPU provider, with what they compute anew there. */
  graphs: Record<string, Cost>;
  /** Bytes of parameters and state, and of the second buffer of each that a step writes. */
  held: number;
}

/** The names of the dynamic dimensions of the model's inputs. */
export function dynamicDimensions({ inputs, targets }: Manifest): string[] {
  const ports = [...Object.values(inputs), ...Object.values(targets)];
  const names = ports.flatMap(({ shape }) => shape.flatMap(factorsOf)).filter((d) => typeof d === "string");
  return [...new Set(names)];
}

/**
 * The costs of the package in `folder` at `sizes` of its dynamic dimensions; where none is given, at 16 of the first and 64
 * of the others. Throws a UserError for a size of a dimension that is not there.
 */
export function packageCosts(
  folder: string,
  manifest: Manifest,
  sizes: Readonly<Record<string, number>> = {},
): PackageCosts {
  const names = dynamicDimensions(manifest);
  for (const [name, size] of Object.entries(sizes)) {
    check(names.includes(name), () => {
      const has = names.length > 0 ? `has ${names.join(", ")}` : "has none";
      return `size of "${name}": the package has no such dynamic dimension; it ${has}${didYouMean(name, names)}`;
    });
    check(Number.isInteger(size) && size > 0, `size of "${name}": ${size}; a whole number from 1 on expected`);
  }
  const all = Object.fromEntries(names.map((name, i) => [name, sizes[name] ?? (i === 0 ? 16 : 64)]));
  const at = new Map(Object.entries(all));
  const graphs = manifest.schedule.map(({ graph }) => {
    const file = join(folder, must(manifest.graphs[graph], graph));
    const ordered = orderForMemory(() => loadModel(file), at);
    return [graph, costOf(ordered.graph, at)] as const;
  });
  return { sizes: all, graphs: Object.fromEntries(graphs), held: heldBytes(manifest) };
}
