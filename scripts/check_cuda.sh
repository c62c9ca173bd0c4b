#!/usr/bin/env bash
# Looks after the CUDA back end on a machine that has neither a GPU nor a toolkit.
#
#   scripts/check_cuda.sh [cargo clippy arguments]   compiles and lints everything under the features cudnn and
#                                                    nccl
#   scripts/check_cuda.sh kernels                    compiles our own kernels for sm_80 and sm_90 with the nvcc of CUDA
#                                                    13.0, which comes as wheels from PyPI, and fails where one spills
#                                                    registers or takes more than 80
#   scripts/check_cuda.sh counts OUT                 builds ebm so, and on a stand-in, a driver, cuBLAS and cuDNN of plain
#                                                    memory (tests/standin/), tries every operation, holds what a step
#                                                    costs against its bounds, and looks for old faults
#   scripts/check_cuda.sh run OUT                    does that, and then runs scripts/gpu_check.sh OUT there
#
# candle's kernels are not compiled in either case: the compiler that its build script finds writes empty files. What is
# built here runs on nothing but the stand-in; scripts/build_cuda.sh builds for a card. `counts` and `run` need g++.
set -euo pipefail
cd "$(dirname "$0")/.."

# Always at one place, since the build scripts run again where the compiler has moved.
toolkit=$(realpath -m "${CARGO_TARGET_DIR:-target}")/cuda-check
mkdir -p "$toolkit/bin" "$toolkit/lib"
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
case $file in
  '') ;;
  *.a) printf '!<arch>\n' >"$file" ;; # an empty archive
  *) : >"$file" ;;
esac
NVCC
chmod +x "$toolkit/bin/nvcc"

export NVCC=$toolkit/bin/nvcc CUDA_HOME=$toolkit CUDA_PATH=$toolkit
export CUDA_COMPUTE_CAP=90 CUDARC_CUDA_VERSION=13000

# One library in the place of all: what tests/standin/ defines, and for every other name that the binary could ask for a
# function that answers 0.
make_standin() {
  local work=$toolkit/standin registry=${CARGO_HOME:-$HOME/.cargo}/registry/src bindings foreign part library
  mkdir -p "$work"
  cargo fetch -q --locked
  bindings=$(echo "$registry"/*/cudarc-0.19.*/src)
  foreign=$(echo "$registry"/*/candle-kernels-0.11.*/src/ffi.rs)
  for part in driver libraries nccl; do
    g++ -O2 -std=c++17 -fPIC -Wall -Wextra -ffp-contract=off -c "tests/standin/$part.cpp" -o "$work/$part.o"
  done
  nm --defined-only "$work"/{driver,libraries,nccl}.o | awk '$2 == "T" {print $3}' | sort -u >"$work/defined"
  { grep -rohE 'fn (cu|nccl|nvrtc)[A-Za-z0-9_]+' "$bindings"/{driver,cublas,cublaslt,curand,nvrtc,cudnn,nccl}/sys
    grep -ohE 'fn [A-Za-z0-9_]+' "$foreign"; } | awk '{print $2}' | sort -u |
    comm -23 - "$work/defined" | awk '{print "int " $1 "(void) { return 0; }"}' >"$work/rest.c"
  gcc -w -fPIC -c "$work/rest.c" -o "$work/rest.o"
  g++ -shared -Wl,-soname,libstandin.so -o "$toolkit/lib/libstandin.so" "$work"/{driver,libraries,nccl,rest}.o -lpthread
  for library in cuda cublas cublasLt curand nvrtc cudnn cudart nccl; do
    ln -sf libstandin.so "$toolkit/lib/lib$library.so"
  done
}

# The compiler proper, 120 MB of wheels.
compile_kernels() {
  local work=$toolkit/nvcc root=$toolkit/nvcc/stage/nvidia/cu13 wheel name architecture log used
  if ! [ -x "$root/bin/nvcc" ]; then
    mkdir -p "$work"
    python3 -m pip download -q --no-deps -d "$work/wheels" nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 \
      nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96
    for wheel in "$work"/wheels/*.whl; do python3 -m zipfile -e "$wheel" "$work/stage"; done
    chmod +x "$root"/bin/* "$root"/nvvm/bin/* # zipfile drops the executable bit
  fi
  for architecture in 80 90; do
    for name in activation group_norm random rows update widen; do
      log=$work/$name.$architecture.log
      "$root/bin/nvcc" $([ $name = random ] && echo -fmad=false) -cubin -O3 -std=c++17 "-arch=sm_$architecture" \
        -Xptxas -v -o "$work/$name.cubin" "src/ops/cuda/$name.cu" 2>"$log" || { cat "$log" >&2; return 1; }
      used=$(grep -oE 'Used [0-9]+' "$log" | sort -k2 -n | tail -1 | cut -d' ' -f2)
      echo "$name for sm_$architecture: at most $used registers"
      if [ "$used" -gt 80 ] || grep -E '[1-9][0-9]* bytes (spill|stack)' "$log" >&2; then
        echo "$name: a kernel takes too many registers, or memory in their place" >&2
        return 1
      fi
    done
  done
}

if [ "${1:-}" = kernels ]; then
  compile_kernels
  exit
fi
if [ "${1:-}" != run ] && [ "${1:-}" != counts ]; then
  exec cargo clippy --locked --features cudnn,nccl "$@" -- -D warnings
fi
make_standin
export LIBRARY_PATH=$toolkit/lib${LIBRARY_PATH:+:$LIBRARY_PATH}
cargo build --locked --features cudnn,nccl
export EBM=${CARGO_TARGET_DIR:-target}/debug/ebm LD_LIBRARY_PATH=$toolkit/lib
out=${2:?a folder for what comes out}
"$EBM" doctor --device cuda:0
tests/standin/counts.py "$EBM" "$out/counts"
tests/standin/faults.py "$EBM" "$out/counts"
if [ "$1" = run ]; then STEPS=4 scripts/gpu_check.sh "$out"; fi
