import type { StateDictReport } from "../pack/torch.js";
import type { PackageRuntime } from "../runtime/runtime.js";
import { counted } from "./format.js";
import { globs, refuseUnmatched } from "./globs.js";

/** Puts the weights of a PyTorch state dict into `runtime`, but for the parameters that `skip` (globs) selects. */
export async function warmStart(
  runtime: PackageRuntime,
  file: string,
  skip: readonly string[] | undefined,
): Promise<StateDictReport> {
  const { readStateDict } = await import("../pack/torch.js");
  refuseUnmatched({ "init-skip": skip }, Object.keys(runtime.manifest.parameters));
  const { values, report } = readStateDict(runtime.folder, file, skip === undefined ? {} : { skip: globs(skip) });
  await runtime.write(values);
  return report;
}

const few = (names: readonly string[]): string =>
  names.slice(0, 4).join(", ") + (names.length > 4 ? ` and ${names.length - 4} more` : "");

const prefixed = (prefix: string): string => (prefix === "" ? "no prefix" : `"${prefix}."`);

/** What to tell the user of a state dict that was read. */
export function initLines(file: string, report: StateDictReport): string[] {
  const { matched, transposed, byLayer, missing, unexpected, prefix } = report;
  const turned = transposed.length > 0 ? `, ${transposed.length} of them transposed` : "";
  const renamed = prefix ? `, ${prefixed(prefix.there)} there for ${prefixed(prefix.here)} here` : "";
  return [
    `--init ${file}: ${counted(matched.length, "tensor")} taken${turned}${renamed}`,
    ...(byLayer.length > 0 ? [layerLine(byLayer, transposed)] : []),
    ...(missing.length > 0 ? [`not in it, and left as they are: ${few(missing)}`] : []),
    ...(unexpected.length > 0 ? [`in it, and not in the package: ${few(unexpected)}`] : []),
  ];
}

/** How square matrices were laid out whose shape does not tell. */
export function layerLine(byLayer: readonly string[], transposed: readonly string[]): string {
  const turned = new Set(transposed);
  const part = (names: readonly string[], how: string): string[] => (names.length > 0 ? [`${few(names)} ${how}`] : []);
  return `square matrices, by their kind of layer: ${[
    ...part(
      byLayer.filter((name) => turned.has(name)),
      "transposed",
    ),
    ...part(
      byLayer.filter((name) => !turned.has(name)),
      "as they are",
    ),
  ].join("; ")}`;
}
