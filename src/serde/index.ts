/** ONNX files to the IR and back. */
export { loadModel, parseModel } from "./load.js";
export { saveModel, serializeModel } from "./save.js";
