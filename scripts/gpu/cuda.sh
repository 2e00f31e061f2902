#!/usr/bin/env bash
# On a machine with an NVIDIA GPU: holds training there against the CPU (gradients, Hessian-vector products, 20 steps), in
# float32 and in mixed precision, then times it against PyTorch on the same GPU where that is installed.
#
#     scripts/gpu/cuda.sh [PYTHON]
#
# From a compiled clone (npx tsc), or from the folder that bundle.ts made, which needs no network. PYTHON (default python3) is to have
# onnxruntime-gpu and NumPy; wheels in the folder are installed into a virtual environment of its own where it has not.
set -euo pipefail
cd "$(dirname "$0")/../.."
python=${1:-python3}
node=./node
[ -x "$node" ] || node=node
failed=0

fail() {
  echo "error: $*" >&2
  exit 1
}

command -v nvidia-smi >/dev/null || fail "no nvidia-smi: this machine has no NVIDIA driver; without a GPU use scripts/gpu/vulkan.sh"
nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader
[ ! -s MISSING.txt ] || sed 's/^/missing: /' MISSING.txt
[ -d build/scripts/gpu ] || fail "build/scripts/gpu: not there; run npm ci && npx tsc first"

echo "== Node"
if ls node_modules/onnxruntime-node/bin/napi-v6/linux/*/libonnxruntime_providers_cuda.so >/dev/null 2>&1; then
  "$node" build/scripts/gpu/check.js --provider cuda || failed=1
else
  echo "onnxruntime-node has no CUDA provider here; not run"
fi

echo "== Python"
has() { "$python" -c "import $1" 2>/dev/null; }
if ! has onnxruntime && [ -d wheels ]; then
  "$python" -m venv --system-site-packages build/venv
  python=build/venv/bin/python
  "$python" -m pip install --quiet --no-index --find-links wheels onnxruntime-gpu numpy
fi
has onnxruntime || fail "$python has no onnxruntime: install onnxruntime-gpu, or name another Python"
[ -f build/gpu/curvsam-mixed/manifest.json ] || "$node" build/scripts/gpu/check.js --prepare
for optimizer in adamw sam curvsam; do
  "$python" scripts/gpu/train_package.py "build/gpu/$optimizer" --batches build/gpu/batches.json \
    --provider cuda --steps 20 --compare || failed=1
done

echo "== Python, mixed precision"
for optimizer in adamw sam curvsam; do
  "$python" scripts/gpu/train_package.py "build/gpu/$optimizer-mixed" --reference "build/gpu/$optimizer" \
    --batches build/gpu/batches.json --provider cuda --steps 20 --compare || failed=1
done

echo "== Benchmark"
if ! has torch || ! has transformers; then
  echo "$python has no PyTorch with transformers; not run"
elif [ ! -d build/bench/encoder ]; then
  echo "build/bench/encoder is not there (npm run bench -- --prepare makes it); not run"
else
  "$python" scripts/gpu/bench.py build/bench/encoder --device cuda || failed=1
fi
exit "$failed"
