import { holdExports } from "../support/zoo.js";

holdExports(
  "recurrent",
  "exports with recurrent layers, loops and branches: parameters, gradient and HVP as PyTorch's",
);
