/**
 * Makes a folder that can be carried to a bare machine with a GPU: Node, the compiled code, the packages of npm that it needs,
 * training packages, and the scripts. cuda.sh and vulkan.sh in its `scripts/gpu` are the commands there.
 *
 *     npx tsc && node build/scripts/gpu/bundle.js OUT [--bench build/bench/encoder] [--wheels FOLDER]
 *
 * `--bench` takes the folder that `npm run bench -- --prepare` made, for the benchmark against PyTorch; `--wheels` a folder of
 * Python wheels, made by `pip download onnxruntime-gpu numpy`. What is missing is said, and written to OUT/MISSING.txt.
 */
import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, relative, sep } from "node:path";
import { parseArgs } from "node:util";
import { check } from "../../src/util/assert.js";
import { root } from "../../test/support/root.js";
import { runScript } from "../script.js";
import { writeModels } from "./models.js";

/** The provider's libraries, of the platform that this runs on. */
const binaries = join("onnxruntime-node", "bin", "napi-v6");
const native = join(binaries, process.platform, process.arch);
const cudaLibrary = "libonnxruntime_providers_cuda.so";

/** The folders of every package that is needed at run time. */
function dependencies(): string[] {
  const listed = execFileSync("npm", ["ls", "--omit=dev", "--all", "--parseable"], {
    cwd: root,
    encoding: "utf8",
    stdio: ["ignore", "pipe", "ignore"],
  });
  return listed.split("\n").filter((path) => path.includes(`${sep}node_modules${sep}`));
}

function copyDependencies(out: string): void {
  for (const from of dependencies()) {
    cpSync(from, join(out, relative(root, from)), {
      recursive: true,
      dereference: true,
      // Packages within packages are listed by themselves; of the runtime's binaries only this platform's are taken.
      filter: (path) => {
        const inside = relative(from, path);
        if (inside.split(sep)[0] === "node_modules") return false;
        const place = path.slice(path.lastIndexOf("node_modules") + "node_modules".length + 1);
        return !place.startsWith(binaries) || native.startsWith(place) || place.startsWith(native);
      },
    });
  }
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { bench: { type: "string" }, wheels: { type: "string" } },
  });
  const [out, ...more] = positionals;
  check(out !== undefined && more.length === 0, "bundle: one folder to make is expected");
  check(!existsSync(out), `${out}: it exists; name another folder, or remove it`);
  for (const folder of [values.bench, values.wheels])
    check(folder === undefined || existsSync(folder), `${folder ?? ""}: there is no such folder`);
  mkdirSync(out, { recursive: true });
  cpSync(process.execPath, join(out, "node"));
  for (const name of ["package.json", "LICENSE", "models", "scripts"])
    cpSync(join(root, name), join(out, name), { recursive: true });
  for (const name of ["src", "scripts", "test"])
    cpSync(join(root, "build", name), join(out, "build", name), {
      recursive: true,
      filter: (path) => !path.endsWith(".map"),
    });
  copyDependencies(out);
  await writeModels(join(out, "build", "gpu"));
  const missing: string[] = [];
  if (!existsSync(join(out, "node_modules", native, cudaLibrary)))
    missing.push(
      `onnxruntime-node is without ${cudaLibrary}: Node has the CPU and WebGPU there, CUDA is left to Python. ` +
        "To have it: ONNXRUNTIME_NODE_INSTALL=cuda12 node node_modules/onnxruntime-node/script/install.js, then bundle again.",
    );
  if (values.bench === undefined) missing.push("no --bench: there is no benchmark against PyTorch.");
  else cpSync(values.bench, join(out, "build", "bench", "encoder"), { recursive: true });
  if (values.wheels === undefined) missing.push("no --wheels: Python there has to have onnxruntime-gpu already.");
  else cpSync(values.wheels, join(out, "wheels"), { recursive: true });
  writeFileSync(join(out, "MISSING.txt"), missing.map((line) => `${line}\n`).join(""));
  for (const line of missing) process.stdout.write(`missing: ${line}\n`);
  process.stdout.write(`${out}: carry it, then run scripts/gpu/cuda.sh or scripts/gpu/vulkan.sh in it\n`);
}

await runScript(main);
