import type { Provider } from "./provider.js";

export const provider: Provider = {
  name: "webgpu",
  config: () => ({ name: "webgpu" }),
  hint: "it needs a GPU with a Vulkan, Metal or DirectX 12 driver (without a GPU: Mesa's software Vulkan, VK_ICD_FILENAMES)",
};
