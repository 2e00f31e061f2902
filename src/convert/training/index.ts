/** ONNX Runtime's training graphs in standard operators. */
export {
  giveShapes,
  isTrainingGraph,
  lowerTraining,
  refuseUnknownOps,
  trainingOpOf,
  trainingOps,
  typeTwin,
} from "./lower.js";
