// A kernel of activation.cu as a program of C++, thread after thread, for tests on machines without a GPU:
//
//   twin KERNEL n form activation alpha LENGTH_OF_A LENGTH_OF_B LENGTH_OF_C LENGTH_OF_RESULT
//
// reads the entries of the arguments from standard input, one after the other, and writes those of the result.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
struct Place {
  unsigned x;
};
static Place blockIdx, blockDim, threadIdx, gridDim;
using std::exp, std::expm1, std::fabs, std::log1p, std::tanh;

#include "activation.cu"

template <class T> using Kernel = void (*)(const T *, const T *, const T *, T *, Index, int, int, T);

template <class T> static int run(Kernel<T> kernel, char **words) {
  std::vector<T> arguments[3], result(std::atoll(words[9]), std::numeric_limits<T>::quiet_NaN());
  for (int k = 0; k < 3; ++k) {
    arguments[k].resize(std::atoll(words[6 + k]));
    if (std::fread(arguments[k].data(), sizeof(T), arguments[k].size(), stdin) != arguments[k].size()) return 3;
  }
  // Fewer threads than entries, so that each has several.
  gridDim.x = 3, blockDim.x = 4;
  for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) {
      kernel(arguments[0].data(), arguments[1].data(), arguments[2].data(), result.data(), std::atoll(words[2]),
             std::atoi(words[3]), std::atoi(words[4]), (T)std::atof(words[5]));
    }
  }
  return std::fwrite(result.data(), sizeof(T), result.size(), stdout) == result.size() ? 0 : 3;
}

#define ROW(Map)                                                                                                       \
  if (!std::strcmp(words[1], #Map "_f32")) return run<float>(Map##_f32, words);                                        \
  if (!std::strcmp(words[1], #Map "_f64")) return run<double>(Map##_f64, words);

int main(int count, char **words) {
  if (count != 10) return 2;
  ROW(value)
  ROW(pullback)
  ROW(bend)
  ROW(tangent)
  ROW(tangent_backward)
  ROW(curve)
  ROW(curve_backward)
  return 2;
}
