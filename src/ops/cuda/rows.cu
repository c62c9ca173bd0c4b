// The choice between two tensors, row by row: the twin of cpu/rows.rs. A test compiles it as C++.

typedef unsigned long long Index;

// y, n entries in rows of `width`: those of `yes` where the mask of the row is not 0, and of `no` where it is.
#define CHOOSE(T, name)                                                                                                \
  extern "C" __global__ void choose_rows_##name(const double *mask, const T *yes, const T *no, T *y, Index n,          \
                                                Index width) {                                                         \
    Index every = (Index)gridDim.x * blockDim.x;                                                                       \
    for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += every)                                    \
      y[i] = mask[i / width] != 0.0 ? yes[i] : no[i];                                                                  \
  }

CHOOSE(float, f32)
CHOOSE(double, f64)
