import type { InferenceSession } from "onnxruntime-node";

/** What a session of any binding of ONNX Runtime can do for a package. */
export type Session = Pick<InferenceSession, "inputNames" | "outputNames" | "inputMetadata" | "run" | "release">;

/** An execution provider of ONNX Runtime: one file each in this folder. */
export interface Provider {
  name: string;
  /** How a session of onnxruntime-node asks for it. */
  config(deviceId: number | undefined): InferenceSession.ExecutionProviderConfig;
  /** The same for the model in `file`, where it depends on that. */
  configFor?: (file: string) => Promise<InferenceSession.ExecutionProviderConfig>;
  /** Opens a model, in a file or in memory, where the provider is of another binding than onnxruntime-node. */
  open?: (model: string | Uint8Array) => Promise<Session>;
  /** Whether its Loop keeps what goes from step to step where the provider computes, so that several steps are one run. */
  loops?: true;
  /** What to do where it cannot be used. */
  hint: string;
}
