/** Writes what of the documentation follows from the code: docs/CLI.md and the tables of docs/OPTIMIZERS.md. */
import { readFileSync, writeFileSync } from "node:fs";
import { cliReference } from "./cli.js";
import { optimizerReference } from "./optimizers.js";

writeFileSync("docs/CLI.md", cliReference());
writeFileSync("docs/OPTIMIZERS.md", optimizerReference(readFileSync("docs/OPTIMIZERS.md", "utf8")));
