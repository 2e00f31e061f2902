// Writes docs/API.md, the reference of what src/index.ts exports, from its types and their comments.
// `--check` writes nothing and fails when it is not current.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Application } from "typedoc";

const root = fileURLToPath(new URL("..", import.meta.url));
const target = join(root, "docs", "API.md");
const folder = mkdtempSync(join(tmpdir(), "curvsam-api-"));
try {
  const app = await Application.bootstrapWithPlugins({
    name: "The library",
    entryPoints: [join(root, "src", "index.ts")],
    tsconfig: join(root, "tsconfig.build.json"),
    plugin: ["typedoc-plugin-markdown"],
    outputs: [{ name: "markdown", path: folder }],
    outputFileStrategy: "modules",
    hideBreadcrumbs: true,
    // Headings alone would collide: Feed.data and FeedData.
    useHTMLAnchors: true,
    hidePageHeader: true,
    excludePrivate: true,
    disableSources: true,
    readme: "none",
    logLevel: "Warn",
    // Constants that a type is made of are not for callers; the type says what they hold.
    intentionallyNotExported: ["drivers", "dtypeCodes", "manifestSchema", "places", "scheduleNames", "tableFormats"],
  });
  const project = await app.convert();
  if (project) app.validate(project);
  if (!project || app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error("docs/API.md: see above");
  await app.generateOutputs(project);
  const text = readFileSync(join(folder, "README.md"), "utf8");
  if (!process.argv.includes("--check")) writeFileSync(target, text);
  else if (text !== readFileSync(target, "utf8")) {
    console.error('docs/API.md is not current: run "npm run docs"');
    process.exitCode = 1;
  }
} finally {
  rmSync(folder, { recursive: true });
}
