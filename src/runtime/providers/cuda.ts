import type { Provider } from "./provider.js";

export const provider: Provider = {
  name: "cuda",
  config: (deviceId) => ({ name: "cuda", deviceId: deviceId ?? 0 }),
  loops: true,
  hint: "it needs an NVIDIA GPU, CUDA 12 with cuDNN 9, and `npm rebuild onnxruntime-node --onnxruntime-node-install=cuda12`",
};
