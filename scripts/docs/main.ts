/**
 * Writes what of the documentation follows from the code: docs/CLI.md, the tables of docs/OPTIMIZERS.md, the picture of the idea;
 * and README's table of results from docs/RESULTS.md.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { cliReference } from "./cli.js";
import { ideaPictures } from "./idea.js";
import { optimizerReference } from "./optimizers.js";
import { readmeResults } from "./results.js";

const at = (name: string): string => join("docs", name);

writeFileSync(at("CLI.md"), cliReference());
writeFileSync(at("OPTIMIZERS.md"), optimizerReference(readFileSync(at("OPTIMIZERS.md"), "utf8")));
for (const [name, svg] of Object.entries(await ideaPictures())) writeFileSync(at(name), svg);
writeFileSync("README.md", readmeResults(readFileSync("README.md", "utf8"), readFileSync(at("RESULTS.md"), "utf8")));
