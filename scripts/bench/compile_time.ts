// Writes docs/COMPILE_TIME.md: how long the graphs of a gradient and of a Hessian-vector product take to build, by the size of
// the model. Run it by hand on an idle machine: node build/scripts/bench/compile_time.js
import { execFileSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { cpus } from "node:os";
import { join } from "node:path";
import { root } from "../../test/support/root.js";
import { slope } from "../scale/slope.js";
import type { Compiled } from "./compile_once.js";

const sizes = [1_000, 10_000, 100_000];
const repeats = 3;
/** Megabytes of heap: the largest model needs more than Node takes by itself. */
const heap = 16_384;

const total = (c: Compiled): number => c.read + c.gradient + c.hvp + c.write;
const once = join(root, "build", "scripts", "bench", "compile_once.js");
const compile = (nodes: number): Compiled =>
  JSON.parse(
    execFileSync(process.execPath, [`--max-old-space-size=${heap}`, once, String(nodes)], { encoding: "utf8" }),
  ) as Compiled;

/** The run of least time. */
function best(nodes: number): Compiled {
  const runs = Array.from({ length: nodes < 100_000 ? repeats : 1 }, () => compile(nodes));
  return runs.reduce((a, b) => (total(b) < total(a) ? b : a));
}

const rows = sizes.map((nodes) => {
  const compiled = best(nodes);
  console.log(JSON.stringify(compiled));
  return compiled;
});
const s = (seconds: number): string => seconds.toFixed(2);
const table = rows.map((c) =>
  [
    ...["", c.nodes.toLocaleString("en-US"), s(c.read), s(c.gradient), s(c.hvp), s(c.write), `**${s(total(c))}**`],
    ...[c.emitted.toLocaleString("en-US"), (c.bytes / 1e6).toFixed(1), (c.peak / 1e9).toFixed(2), ""],
  ]
    .join(" | ")
    .trim(),
);
writeFileSync(
  join(root, "docs", "COMPILE_TIME.md"),
  `# Time to compile

How long \`curvsam patch\` takes to read a model, type it, and build and write the graphs of its gradient and of its gradient
with a Hessian-vector product. The models are residual, of attention and perceptron blocks in turn, each with parameters of
its own, 8 wide: what is timed is the graph, not its weights. Seconds; of ${repeats} runs (one of the largest) the fastest. Written by
\`scripts/bench/compile_time.ts\` on ${cpus()[0]?.model ?? "an unknown processor"} (${cpus().length} threads), Node ${process.versions.node}.

| nodes | read and type | gradient | HVP | write | total | nodes of the HVP graph | its MB | peak GB |
| ----: | ------------: | -------: | --: | ----: | ----: | ---------------------: | -----: | ------: |
${table.join("\n")}

Time grows as nodes to the power of **${slope(rows.map((c) => [c.nodes, total(c)] as const)).toFixed(2)}**.
`,
);
