import { Command } from "commander";
import { version } from "../util/version.js";
import { commands } from "./commands/index.js";
import type { Context } from "./context.js";
import { usageLine } from "./failure.js";

/** The full name of a command, as a user types it. */
const fullName = (command: Command): string =>
  command.parent ? `${fullName(command.parent)} ${command.name()}` : command.name();

/** The whole command line; parse errors throw `CommanderError` after one line on stderr. */
export function program(context: Context): Command {
  const root = new Command("curvsam")
    .description("Trains exported ONNX models on stock ONNX Runtime, with curvature-aware sharpness minimization.")
    .usage("<command> [options]")
    .version(version, "-V, --version", "print the version")
    .helpOption("-h, --help", "print this help")
    .helpCommand("help [command]", "print the help of a command")
    .addHelpText(
      "after",
      `
Examples:
  $ curvsam inspect model.onnx
  $ curvsam patch model.onnx -o out --loss cross-entropy --logits logits
  $ curvsam train out --data train.tsv --tokenizer tokenizer.json --text sentence --label label

Exit codes: 0 success, 1 failure, 2 wrong usage, 130 interrupted.
Set CURVSAM_DEBUG=1 to see where an error comes from.`,
    );
  for (const build of commands) {
    const command = build(context);
    command.helpOption("-h, --help", "print this help");
    root.addCommand(command);
  }
  for (const command of [root, ...root.commands]) {
    command
      .exitOverride()
      .configureHelp({ showGlobalOptions: false })
      .configureOutput({
        outputError: (message, write) => write(`curvsam: ${usageLine(message, fullName(command))}\n`),
      });
  }
  return root;
}
