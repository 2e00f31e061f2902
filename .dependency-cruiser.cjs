/** The layers of the architecture: what each folder of src/ may import, transitively closed below. */
const direct = {
  util: [],
  ir: ["util"],
  serde: ["ir"],
  ops: ["ir"],
  convert: ["ops"],
  passes: ["ops"],
  autodiff: ["passes"],
  frontend: ["autodiff", "convert"],
  curvature: ["autodiff"],
  optim: ["curvature"],
  format: ["util"],
  pack: ["optim", "frontend", "serde", "format"],
  lower: ["passes", "serde"],
  runtime: ["format", "lower"],
  data: ["util"],
  train: ["runtime", "data"],
  analysis: ["train"],
  tasks: ["train"],
  report: ["util"],
};

const reach = (folder, seen = new Set()) => {
  for (const next of direct[folder]) {
    seen.add(next);
    reach(next, seen);
  }
  return seen;
};

const layers = Object.keys(direct).map((folder) => ({
  name: `layer-${folder}`,
  comment: `src/${folder} may import only ${[...reach(folder)].join(", ") || "nothing"}`,
  severity: "error",
  from: { path: `^src/${folder}/` },
  to: { path: "^src/", pathNot: `^src/(${[folder, ...reach(folder)].join("|")})/` },
}));

module.exports = {
  forbidden: [
    ...layers,
    {
      name: "no-circular",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "protobuf-only-in-serde",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/serde/" },
      to: { path: "node_modules/(onnx-proto|protobufjs)" },
    },
    {
      name: "no-dev-dependencies-in-src",
      severity: "error",
      from: { path: "^src/" },
      to: { dependencyTypes: ["npm-dev"], pathNot: "node_modules/@types" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.json" },
    enhancedResolveOptions: {
      exportsFields: ["exports"],
      conditionNames: ["import", "require", "node", "default", "types"],
    },
  },
};
