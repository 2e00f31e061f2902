import { holdExports } from "../support/zoo.js";

holdExports(
  "zoo",
  "exports of other families: parameters, gradient and HVP as PyTorch's, and a step that lowers the loss",
);
