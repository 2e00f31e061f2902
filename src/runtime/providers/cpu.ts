import type { Provider } from "./provider.js";

export const provider: Provider = {
  name: "cpu",
  config: () => "cpu",
  hint: "onnxruntime-node may not be installed for this platform",
};
