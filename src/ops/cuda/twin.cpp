// A kernel of a .cu file as a program of C++, thread after thread, for tests on machines without a GPU. It reads the
// entries of the arguments from standard input, one after the other, and writes those of the result:
//
//   twin KERNEL n form activation alpha LENGTH_OF_A LENGTH_OF_B LENGTH_OF_C LENGTH_OF_RESULT     of activation.cu
//   twin KERNEL n m                                         sums of update.cu: n terms, m sums
//   twin KERNEL n NUMBER * 10        updates of update.cu: a, b, c and g of n entries each; a, b and c are written
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
using std::exp, std::expm1, std::fabs, std::log1p, std::sqrt, std::tanh;

namespace activation {
#include "activation.cu"
}
namespace update {
#include "update.cu"
}

// Fewer threads than entries, so that each has several.
template <class F> static void threads(F f) {
  gridDim.x = 3, blockDim.x = 4;
  for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x) {
    for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) f();
  }
}

// So many entries of standard input.
template <class T> static std::vector<T> given(long long n) {
  std::vector<T> entries(n);
  if (std::fread(entries.data(), sizeof(T), n, stdin) != (size_t)n) std::exit(3);
  return entries;
}

template <class T> static void write(const std::vector<T> &entries) {
  if (std::fwrite(entries.data(), sizeof(T), entries.size(), stdout) != entries.size()) std::exit(3);
}

// Memory nobody has written to.
template <class T> static std::vector<T> unwritten(long long n) {
  return std::vector<T>(n, std::numeric_limits<T>::quiet_NaN());
}

template <class T>
static int run(void (*kernel)(const T *, const T *, const T *, T *, activation::Index, activation::Choice<T>),
               char **words) {
  std::vector<T> a = given<T>(std::atoll(words[6])), b = given<T>(std::atoll(words[7]));
  std::vector<T> c = given<T>(std::atoll(words[8])), y = unwritten<T>(std::atoll(words[9]));
  activation::Choice<T> choice = {std::atoi(words[3]), std::atoi(words[4]), (T)std::atof(words[5])};
  threads([&] { kernel(a.data(), b.data(), c.data(), y.data(), std::atoll(words[2]), choice); });
  return write(y), 0;
}

template <class T>
static int run(void (*kernel)(T *, T *, T *, const T *, update::Index, update::Numbers<T>), char **words) {
  long long n = std::atoll(words[2]);
  std::vector<T> a = given<T>(n), b = given<T>(n), c = given<T>(n), g = given<T>(n);
  update::Numbers<T> numbers;
  for (int k = 0; k < 10; ++k) numbers.k[k] = (T)std::atof(words[3 + k]);
  threads([&] { kernel(a.data(), b.data(), c.data(), g.data(), n, numbers); });
  return write(a), write(b), write(c), 0;
}

template <class T> static int run(void (*kernel)(const T *, double *, update::Index, update::Index), char **words) {
  long long n = std::atoll(words[2]), m = std::atoll(words[3]);
  std::vector<T> x = given<T>(n);
  std::vector<double> y = unwritten<double>(m);
  threads([&] { kernel(x.data(), y.data(), n, m); });
  return write(y), 0;
}

#define ROW(name, T)                                                                                                   \
  if (!std::strcmp(words[1], #name)) return run<T>(name, words);
#define ROWS(name) ROW(name##_f32, float) ROW(name##_f64, double)

int main(int count, char **words) {
  using namespace activation;
  using namespace update;
  if (count == 10) {
    ROWS(value) ROWS(pullback) ROWS(bend) ROWS(tangent) ROWS(tangent_backward) ROWS(curve) ROWS(curve_backward)
  } else if (count == 13) {
    ROWS(adam) ROWS(sgd) ROWS(lerp) ROWS(langevin)
  } else if (count == 4) {
    ROWS(squares) ROW(sums, double)
  }
  return 2;
}
