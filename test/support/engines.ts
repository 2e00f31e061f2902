import { Engine } from "../../src/runtime/engine.js";
import type { EngineOptions } from "../../src/runtime/options.js";

/** Opens engines with `usual` options where a test gives no others, and closes them after each test of the enclosing `describe`. */
export function engines(usual: EngineOptions): (folder: string, options?: EngineOptions) => Promise<Engine> {
  let opened: Engine[] = [];
  afterEach(async () => {
    for (const engine of opened) await engine.close();
    opened = [];
  });
  return async (folder, options = {}) => {
    const engine = await Engine.open(folder, { ...usual, ...options });
    opened.push(engine);
    return engine;
  };
}
