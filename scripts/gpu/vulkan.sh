#!/usr/bin/env bash
# On a machine with a Vulkan driver, of a GPU or in software: holds training on WebGPU against the CPU (gradients, Hessian-vector
# products, 20 steps), in float32 and in mixed precision.
#
#     scripts/gpu/vulkan.sh
#
# From a compiled clone (npx tsc), or from the folder that bundle.ts made, which needs no network. webgpu_check.js beside
# check.js goes through every operator too.
set -euo pipefail
cd "$(dirname "$0")/../.."
node=./node
[ -x "$node" ] || node=node
if [ ! -d build/scripts/gpu ]; then
  echo "error: build/scripts/gpu: not there; run npm ci && npx tsc first" >&2
  exit 1
fi
exec "$node" build/scripts/gpu/check.js --provider webgpu "$@"
