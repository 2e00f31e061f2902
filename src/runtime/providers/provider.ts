import type { InferenceSession } from "onnxruntime-node";

/** An execution provider of ONNX Runtime: one file each in this folder. */
export interface Provider {
  name: string;
  /** How a session asks for it. */
  config(deviceId: number | undefined): InferenceSession.ExecutionProviderConfig;
  /** What to do where it cannot be used. */
  hint: string;
}
