import { holdExports } from "../support/zoo.js";

holdExports(
  "folded",
  "exports with batch norms folded into convolutions, in groups too: names, gradient and HVP as PyTorch's",
);
