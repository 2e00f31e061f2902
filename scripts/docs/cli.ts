import type { Argument, Command, Option } from "commander";
import { program } from "../../src/cli/program.js";
import { markdownTable } from "../../src/report/table.js";
import { silent } from "../../test/support/cli.js";

const code = (text: string): string => `\`${text}\``;

/** The whole of `docs/CLI.md`, from the program that parses the command line. */
export function cliReference(): string {
  const root = program(silent);
  const commands = root.commands.filter((command) => command.name() !== "help");
  const overview = commands.map((c) => [`[${code(c.name())}](#curvsam-${c.name()})`, c.summary()]);
  return `${[
    "# The command line",
    "<!-- Written by npm run docs from the program itself: do not edit. -->",
    root.description(),
    fence(`${root.name()} ${root.usage()}`),
    markdownTable(["command", "what it does"], overview).trimEnd(),
    "`curvsam <command> --help` prints the same for one command, `curvsam --version` the version.",
    fence(afterHelp(root)),
    ...commands.map(section),
  ].join("\n\n")}\n`;
}

function section(command: Command): string {
  const options = command.options.filter((option) => !option.hidden);
  const others = command.aliases().map(code).join(", ");
  return [
    `## curvsam ${command.name()}`,
    command.description() + (others ? ` Also called ${others}.` : ""),
    fence(`curvsam ${command.name()} ${command.usage()}`),
    ...table("argument", command.registeredArguments.map(argumentRow)),
    ...table("option", options.map(optionRow)),
    ...(afterHelp(command) ? [fence(afterHelp(command))] : []),
  ].join("\n\n");
}

const table = (title: string, rows: string[][]): string[] =>
  rows.length === 0 ? [] : [markdownTable([title, "meaning", "default"], rows).trimEnd()];

const fence = (text: string): string => `\`\`\`text\n${text}\n\`\`\``;

const argumentRow = (argument: Argument): string[] => {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return [code(argument.required ? `<${name}>` : `[${name}]`), meaning(argument.description, argument.argChoices), ""];
};

function optionRow({ flags, description, argChoices, mandatory, negate, defaultValue }: Option): string[] {
  const isShown = defaultValue !== undefined && !negate;
  const shown = mandatory ? "required" : isShown ? code([defaultValue].flat().join(",")) : "";
  return [code(flags), meaning(description, argChoices), shown];
}

const meaning = (description: string, choices: readonly string[] | undefined): string => {
  const text = description.replaceAll("<", "\\<").replaceAll("*", "\\*");
  const isSaid = choices?.every((choice) => description.includes(choice)) ?? true;
  return isSaid ? text : `${text}: ${(choices ?? []).map(code).join(", ")}`;
};

/** What the help says behind its lists: explanations and examples. */
function afterHelp(command: Command): string {
  let all = "";
  command.configureOutput({ ...command.configureOutput(), writeOut: (text) => (all += text) });
  command.outputHelp();
  return all.slice(command.helpInformation().length).trim();
}
