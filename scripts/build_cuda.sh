#!/usr/bin/env bash
# Builds `ebm` for CUDA 13.0 on a machine that needs neither a GPU nor an installed toolkit: the compiler and the
# libraries come as Python wheels from PyPI, the driver's library is replaced by a stub for linking.
#
#   scripts/build_cuda.sh [--full-kernels] [--cudnn] [--nccl] [cargo build arguments]
#
# needs python3 with pip, gcc, g++, cargo, and about 3 GB under $EBM_CUDA_HOME (default ~/.cache/ebm-cuda).
#   --full-kernels     also compile candle's GGUF/MoE kernels, which ebm never calls (10 minutes more)
#   --cudnn            cargo feature cudnn: convolutions by cuDNN
#   --nccl             cargo feature nccl: ranks on several cards exchange by NCCL and not by way of the host
#   CUDA_COMPUTE_CAP   architecture, default 90 (H100, H200)
# The binary, target/cuda/release/ebm, needs libcuda.so.1 (the driver), libcublas.so.13 and libcurand.so.10 where it
# runs: put $EBM_CUDA_HOME/root/lib on LD_LIBRARY_PATH there, never root/lib/stubs.
set -euo pipefail
cd "$(dirname "$0")/.."

work=${EBM_CUDA_HOME:-$HOME/.cache/ebm-cuda}
root=$work/root
slim=yes features=cuda
while [ $# -gt 0 ]; do
  case $1 in
    --full-kernels) slim=no ;;
    --cudnn) features+=,cudnn ;;
    --nccl) features+=,nccl ;;
    *) break ;;
  esac
  shift
done

wheels=(nvidia-cuda-nvcc==13.0.88 nvidia-cuda-crt==13.0.88 nvidia-nvvm==13.0.88 nvidia-cuda-runtime==13.0.96
  nvidia-cuda-cccl==13.0.85 nvidia-cublas==13.0.2.14 nvidia-curand==10.4.0.35 nvidia-cuda-nvrtc==13.0.88)
libraries=(cudart:13 cublas:13 cublasLt:13 curand:10 nvrtc:13)
if [[ $features = *cudnn* ]]; then
  wheels+=(nvidia-cudnn-cu13)
  libraries+=(cudnn:9)
fi
if [[ $features = *nccl* ]]; then
  wheels+=(nvidia-nccl-cu13)
  libraries+=(nccl:2)
fi

fetch_toolkit() {
  local stage=$work/stage
  rm -rf "$root" "$stage"
  mkdir -p "$work/wheels-$features" "$stage"
  python3 -m pip download -q --no-deps -d "$work/wheels-$features" "${wheels[@]}"
  for wheel in "$work/wheels-$features"/*.whl; do python3 -m zipfile -e "$wheel" "$stage"; done
  mv "$stage/nvidia/cu13" "$root"
  for more in cudnn nccl; do
    if [ -d "$stage/nvidia/$more" ]; then cp -r "$stage/nvidia/$more/." "$root/"; fi
  done
  rm -rf "$stage"
  chmod +x "$root"/bin/* "$root"/nvvm/bin/* # zipfile drops the executable bit
  ln -sfn lib "$root/lib64"
  for library in "${libraries[@]}"; do # wheels ship lib*.so.N only; the linker asks for lib*.so
    ln -sf "lib${library%%:*}.so.${library##*:}" "$root/lib/lib${library%%:*}.so"
  done
}

# No wheel has libcuda.so: every cu* symbol that cudarc declares, answering CUDA_ERROR_STUB_LIBRARY.
make_driver_stub() {
  local stubs=$root/lib/stubs bindings
  mkdir -p "$stubs"
  cargo fetch -q --locked
  bindings=$(ls "${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/cudarc-0.19.*/src/driver/sys/mod.rs | tail -1)
  grep -o 'fn cu[A-Za-z0-9_]*' "$bindings" | awk '{print "int " $2 "(void){return 34;}"}' | sort -u >"$stubs/cuda.c"
  gcc -shared -fPIC -w -Wl,-soname,libcuda.so.1 -o "$stubs/libcuda.so" "$stubs/cuda.c"
  ln -sf libcuda.so "$stubs/libcuda.so.1"
}

mkdir -p "$work"
stamp=$work/toolkit-$features
if [ ! -e "$stamp" ]; then
  fetch_toolkit
  make_driver_stub
  rm -f "$work"/toolkit-*
  touch "$stamp"
fi

export CUDA_HOME=$root CUDA_PATH=$root PATH=$root/bin:$PATH NVCC=$root/bin/nvcc
export CUDA_COMPUTE_CAP=${CUDA_COMPUTE_CAP:-90} CUDARC_CUDA_VERSION=13000 CUDAFORGE_THREADS=${CUDAFORGE_THREADS:-$(nproc)}
export LIBRARY_PATH=$root/lib:$root/lib/stubs${LIBRARY_PATH:+:$LIBRARY_PATH}
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target/cuda}

patch=()
if [ $slim = yes ]; then
  python3 scripts/slim_candle_kernels.py "$work/candle-kernels"
  patch=(--config "patch.crates-io.candle-kernels.path='$work/candle-kernels'")
  # The patch rewrites Cargo.lock; put the committed one back whatever happens.
  cp Cargo.lock "$work/Cargo.lock"
  trap 'cp "$work/Cargo.lock" Cargo.lock' EXIT
fi
cargo build --release --features "$features" ${patch[@]+"${patch[@]}"} "$@"
ls -l "$CARGO_TARGET_DIR/release/ebm"
