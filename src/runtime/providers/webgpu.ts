import type { Provider } from "./provider.js";

export const provider: Provider = {
  name: "webgpu",
  config: () => ({ name: "webgpu" }),
  configFor: async (file) => {
    // Loaded only here: reading ONNX files is no part of training.
    const [{ loadModel }, { nodesForCpu }] = await Promise.all([
      import("../../serde/index.js"),
      import("../../lower/webgpu.js"),
    ]);
    const names = nodesForCpu(loadModel(file).graph);
    // An empty list is refused.
    return names.length > 0 ? { name: "webgpu", forceCpuNodeNames: names } : { name: "webgpu" };
  },
  hint: "it needs a GPU with a Vulkan, Metal or DirectX 12 driver (without a GPU: Mesa's software Vulkan, VK_ICD_FILENAMES)",
};
