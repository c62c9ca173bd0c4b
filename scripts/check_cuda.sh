#!/usr/bin/env bash
# Checks that `ebm` compiles with its CUDA back end, types and lints, on a machine that has neither a GPU nor a toolkit.
#
#   scripts/check_cuda.sh [cargo clippy arguments]
#
# candle's kernels are not compiled: the compiler that its build script finds writes empty files. What comes out of this
# is therefore never linked; scripts/build_cuda.sh builds a binary.
set -euo pipefail
cd "$(dirname "$0")/.."

# Always at one place, since the build scripts run again where the compiler has moved.
toolkit=${CARGO_TARGET_DIR:-$PWD/target}/cuda-check
mkdir -p "$toolkit/bin"
# nvcc is called as `-o FILE …` and as `--ptx --output-directory FOLDER … SOURCE`.
cat >"$toolkit/bin/nvcc" <<'NVCC'
#!/usr/bin/env bash
file='' folder=''
for word in "$@"; do
  case ${before:-} in
    -o) file=$word ;;
    --output-directory) folder=$word ;;
  esac
  before=$word
done
if [ -n "$folder" ]; then file=$folder/$(basename "${before%.cu}").ptx; fi
if [ -n "$file" ]; then : >"$file"; fi
NVCC
chmod +x "$toolkit/bin/nvcc"

export NVCC=$toolkit/bin/nvcc CUDA_HOME=$toolkit CUDA_PATH=$toolkit
export CUDA_COMPUTE_CAP=90 CUDARC_CUDA_VERSION=13000
cargo clippy --locked --features cudnn "$@" -- -D warnings
