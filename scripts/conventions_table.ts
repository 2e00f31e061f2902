/**
 * Writes docs/CONVENTIONS.md: our derivatives at kinks, ties and edges beside PyTorch's, from test/fixtures/conventions.json.
 *
 *     python scripts/convention_fixtures.py
 *     npx tsc && node build/scripts/conventions_table.js
 *
 * Exits 1, and writes nothing, where one differs from PyTorch's by more than 1e-7.
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { markdownTable } from "../src/report/table.js";
import { outputsOf } from "../test/reference/evaluate.js";
import { conventions, emitPoint, gradientsAt, type ConventionPoint } from "../test/support/conventions.js";
import { root } from "../test/support/root.js";

const vector = (numbers: Iterable<number>): string =>
  `[${[...numbers].map((n) => Number(n.toPrecision(4))).join(", ")}]`;

/** Our gradients by each input that is not constant; throws where PyTorch's are others. */
function gradients(point: ConventionPoint): Float64Array[] {
  const { graph, feeds } = emitPoint(point, "float64");
  const ours = gradientsAt(point, outputsOf(graph, feeds));
  const same = (n: number, expected: number | string): boolean =>
    n === Number(expected) || Math.abs(n - Number(expected)) <= 1e-7;
  if (ours.some((g, i) => !g.every((n, j) => same(n, point.gradients[i]?.[j] ?? NaN))))
    throw new Error(`${point.op}, ${point.name}: ${ours.map(vector).join("; ")} is not PyTorch's`);
  return ours;
}

const rows = conventions.points.map((point) => [
  point.op,
  point.name,
  `\`${point.torch}\``,
  point.inputs.map((x) => vector(x.data)).join("; "),
  gradients(point).map(vector).join("; "),
]);

writeFileSync(
  join(root, "docs", "CONVENTIONS.md"),
  `# Where a derivative is a convention

At a kink, a tie or an edge a derivative is a choice. Ours is that of PyTorch ${conventions.torch.split("+")[0]}: the table is written by
\`scripts/conventions_table.ts\`, which fails where a number differs; \`test/ops/conventions.test.ts\` holds the graphs to it, in
float64 and in ONNX Runtime.

- **Ties.** Max, Min, ReduceMax, ReduceMin and scatters by \`max\` or \`min\` share a derivative evenly among all that are equal;
  MaxPool and GlobalMaxPool give it to the first of several.
- **Bounds.** Clip has no derivative at constant bounds, like \`clamp\` with numbers, \`relu6\` and \`hardtanh\`, which exporters all
  write as Clip; bounds that are computed share it with x.
- **Zeros.** The derivative of |x| and of norms at 0 is 0. Products (ReduceProd, CumProd, scatters by \`mul\`) have their true
  first and second derivatives at zeros.
- **Steps.** Sign, Round, Floor, Ceil, comparisons, ArgMax and ArgMin have the derivative 0. QuantizeLinear passes it straight
  through within the range, and its scale has the derivative of \`_fake_quantize_learnable_per_tensor_affine\`.
- **Places between pixels.** At a pixel GridSample has the slope on its right; at the first and the last pixel none, where the
  border or a reflection is beyond.
- **Attention.** A row whose keys are all masked gives 0 and passes no derivative.

Gradients are of the sum of the output, or of what PyTorch's fixture weighs it with, by each input that is not constant.

${markdownTable(["operator", "where", "PyTorch", "inputs", "gradient"], rows)}`,
);
