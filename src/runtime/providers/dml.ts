import type { Provider } from "./provider.js";

export const provider: Provider = {
  name: "dml",
  config: (deviceId) => ({ name: "dml", deviceId: deviceId ?? 0 }),
  hint: "DirectML is there on Windows only, with a GPU of DirectX 12",
};
