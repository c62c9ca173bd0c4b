// A kernel of a .cu file as a program of C++, thread after thread, for tests on machines without a GPU. It reads the
// entries of the arguments from standard input, one after the other, and writes those of the result:
//
//   twin KERNEL n form activation alpha LENGTH_OF_A LENGTH_OF_B LENGTH_OF_C LENGTH_OF_RESULT     of activation.cu
//   twin KERNEL n m                                         sums of update.cu: n terms, m sums
//   twin KERNEL n first least blocks WORD * 4 NUMBER * 5    of random.cu: x, and g where blocks is 1, of n·blocks entries
//   twin philox WORD * 4 KEY * 2                            the four words that it makes of these
//   twin normal_f32 …, metropolis_f64 …                     as these; of a Metropolis step three results of each
//   twin KERNEL items groups channels each lanes blocks across last LENGTH * 4      of group_norm.cu, with what comes
//                                    before and behind it: x, t, gain and shift, or none of some
//   twin choose_rows_f32 rows n      of rows.cu: a mask in f64, then yes and no of n entries each
//   twin widen n biased plane channels      of widen.cu: x in bf16, and a bias for each channel
//   twin KERNEL n NUMBER * 10        a move of update.cu: a, x, noise and g of n entries each; a is written
//   twin KERNEL limit count (n NUMBER * 10) * count         updates of update.cu: a, b, c and g of each tensor; a, b and c
//                                    of each are written, and sums of squares
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <vector>

#define __device__
#define __global__
#define __forceinline__ inline
#define __grid_constant__
struct Place {
  unsigned x;
};
static Place blockIdx, blockDim, threadIdx, gridDim;
using std::exp, std::expm1, std::fabs, std::log, std::log1p, std::sqrt, std::tanh;

namespace activation {
#include "activation.cu"
}
namespace drawing {
#include "random.cu"
}
namespace group_norm {
#include "group_norm.cu"
}
namespace rows {
#include "rows.cu"
}
namespace widening {
#include "widen.cu"
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

static auto update_norm(float) { return update::norm_f32; }
static auto update_norm(double) { return update::norm_f64; }

template <class T> static update::Numbers<T> numbers(char **words) {
  update::Numbers<T> numbers;
  for (int k = 0; k < 10; ++k) numbers.k[k] = (T)std::atof(words[k]);
  return numbers;
}

template <class T>
static int run(void (*kernel)(T *, const T *, const T *, const T *, update::Index, update::Numbers<T>), char **words) {
  long long n = std::atoll(words[2]);
  std::vector<T> a = unwritten<T>(n), x = given<T>(n), noise = given<T>(n), g = given<T>(n);
  threads([&] { kernel(a.data(), x.data(), noise.data(), g.data(), n, numbers<T>(words + 3)); });
  return write(a), 0;
}

template <class T>
static int run(void (*kernel)(double *, const double *, const update::Pieces<T>), char **words) {
  update::Pieces<T> by;
  by.limit = std::atof(words[2]), by.count = std::atoi(words[3]);
  std::vector<std::vector<T>> tensors;
  for (update::Index k = 0; k < by.count; ++k) {
    char **piece = words + 4 + 11 * k;
    long long n = std::atoll(piece[0]);
    for (int t = 0; t < 4; ++t) tensors.push_back(given<T>(n));
    T *at[4];
    for (int t = 0; t < 4; ++t) at[t] = tensors[4 * k + t].data();
    by.at[k] = {at[0], at[1], at[2], at[3], (update::Index)n, numbers<T>(piece + 1)};
  }
  // As many sums as there are threads.
  std::vector<double> sums = unwritten<double>(12), few = unwritten<double>(update::SUMS);
  bool limited = by.limit > 0;
  auto first = limited ? update_norm(T()) : kernel;
  threads([&] { first(sums.data(), nullptr, by); });
  threads([&] { update::sums(sums.data(), few.data(), sums.size(), few.size()); });
  if (limited) threads([&] { kernel(nullptr, few.data(), by); });
  for (size_t t = 0; t < tensors.size(); ++t) {
    if (t % 4 < 3) write(tensors[t]);
  }
  return write(few), 0;
}

template <class T> static int run(void (*kernel)(const T *, double *, update::Index, update::Index), char **words) {
  long long n = std::atoll(words[2]), m = std::atoll(words[3]);
  std::vector<T> x = given<T>(n);
  std::vector<double> y = unwritten<double>(m);
  threads([&] { kernel(x.data(), y.data(), n, m); });
  return write(y), 0;
}

template <class T>
static int run(void (*kernel)(const T *, const T *, T *, drawing::Index, drawing::Draws<T>), char **words) {
  long long n = std::atoll(words[2]), entries = n * std::atoll(words[5]);
  std::vector<T> x = given<T>(entries), g = given<T>(n == entries ? n : 0);
  std::vector<T> y = unwritten<T>(std::strncmp(words[1], "metropolis", 10) ? entries : 3 * entries);
  drawing::Draws<T> by;
  by.first = std::strtoull(words[3], nullptr, 10);
  by.least = std::strtoul(words[4], nullptr, 10), by.blocks = std::atoi(words[5]);
  for (int k = 0; k < 4; ++k) by.words[k] = std::strtoul(words[6 + k], nullptr, 10);
  for (int k = 0; k < 5; ++k) by.k[k] = (T)std::atof(words[10 + k]);
  threads([&] { kernel(x.data(), g.data(), y.data(), n, by); });
  return write(y), 0;
}

template <class T>
using Norm = void (*)(const T *, const T *, const T *, const T *, group_norm::Moments<T> *, T *, group_norm::Index,
                      group_norm::Groups);

// A kernel of group norm behind the moments; of sums in parts, their sums too.
template <class T> static int norm(Norm<T> moments, Norm<T> kernel, Norm<T> sums, char **words) {
  unsigned of[8];
  for (int k = 0; k < 8; ++k) of[k] = std::strtoul(words[2 + k], nullptr, 10);
  group_norm::Groups by = {of[0], of[1], of[2], of[3], of[4], of[5], of[6], of[7], 1e-5};
  std::vector<T> tensors[4];
  const T *at[4];
  for (int k = 0; k < 4; ++k) {
    tensors[k] = given<T>(std::atoll(words[10 + k]));
    at[k] = tensors[k].empty() ? nullptr : tensors[k].data();
  }
  long long tasks = (long long)by.items * by.groups * by.lanes, all = by.groups * by.channels;
  long long parts = (long long)by.blocks * by.across, entries = tensors[0].size();
  T none = std::numeric_limits<T>::quiet_NaN();
  std::vector<group_norm::Moments<T>> lanes(tasks, {none, none, none, none});
  std::vector<T> y = unwritten<T>(sums ? parts * 2 * all : entries);
  threads([&] { moments(at[0], at[1], at[2], at[3], lanes.data(), nullptr, tasks, by); });
  long long n = sums ? parts * all : tasks;
  threads([&] { kernel(at[0], at[1], at[2], at[3], lanes.data(), y.data(), n, by); });
  if (!sums) return write(y), 0;
  std::vector<T> z = unwritten<T>(2 * all);
  threads([&] { sums(y.data(), nullptr, nullptr, nullptr, nullptr, z.data(), 2 * all, by); });
  return write(z), 0;
}

template <class T>
static int run(void (*kernel)(const double *, const T *, const T *, T *, rows::Index, rows::Index), char **words) {
  long long m = std::atoll(words[2]), n = std::atoll(words[3]);
  std::vector<double> mask = given<double>(m);
  std::vector<T> yes = given<T>(n), no = given<T>(n), y = unwritten<T>(n);
  threads([&] { kernel(mask.data(), yes.data(), no.data(), y.data(), n, n / m); });
  return write(y), 0;
}

static int widened(char **words) {
  rows::Index n[4];
  for (int k = 0; k < 4; ++k) n[k] = std::strtoull(words[2 + k], nullptr, 10);
  std::vector<unsigned short> x = given<unsigned short>(n[0]);
  std::vector<float> bias = given<float>(n[3]), y = unwritten<float>(n[0]);
  threads([&] { widening::widen(x.data(), bias.data(), y.data(), n[0], n[1], n[2], n[3]); });
  return write(y), 0;
}

static int known_answer(char **words) {
  std::vector<unsigned> w(6);
  for (int k = 0; k < 6; ++k) w[k] = std::strtoul(words[2 + k], nullptr, 10);
  drawing::philox(w.data(), w[4], w[5]);
  w.resize(4);
  return write(w), 0;
}

#define ROW(name, T)                                                                                                   \
  if (!std::strcmp(words[1], #name)) return run<T>(name, words);
#define ROWS(name) ROW(name##_f32, float) ROW(name##_f64, double)

#define NORM(name, T, kind, sums)                                                                                      \
  if (!std::strcmp(words[1], #name "_" #kind))                                                                         \
    return norm<T>(group_norm::moments_##kind, group_norm::name##_##kind, sums, words);
#define NORMS(name) NORM(name, float, f32, nullptr) NORM(name, double, f64, nullptr)

int main(int count, char **words) {
  using namespace activation;
  using namespace drawing;
  using namespace rows;
  using namespace update;
  if (count < 2) return 2;
  ROWS(value) ROWS(pullback) ROWS(bend) ROWS(tangent) ROWS(tangent_backward) ROWS(curve) ROWS(curve_backward)
  ROWS(langevin) ROWS(normal) ROWS(dropout) ROW(metropolis_f64, double)
  NORMS(normalise) NORMS(jacobian)
  NORM(channel_parts, float, f32, group_norm::channel_sums_f32)
  NORM(channel_parts, double, f64, group_norm::channel_sums_f64)
  ROWS(choose_rows) ROWS(langevin_update) ROWS(adam) ROWS(sgd) ROWS(lerp) ROWS(squares) ROW(sums, double)
  if (!std::strcmp(words[1], "widen")) return widened(words);
  if (!std::strcmp(words[1], "philox")) return known_answer(words);
  return 2;
}
