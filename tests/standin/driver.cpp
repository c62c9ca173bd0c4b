// A GPU of plain memory, for tests on machines without one: enough of CUDA's driver to run what `ebm` asks of a card,
// at once and on the CPU. Memory that was not written holds what is not a number, and what the driver refuses is
// refused: empty allocations, empty launches, places that are none. What is recorded is done when its graph is launched,
// by the arguments that it has then; waits and copies to and from the host are not recorded. At the end of the process
// standard error says how often what was done; STANDIN_NAMES counts every kernel too, STANDIN_MEMORY is how many bytes
// there are, STANDIN_CARDS how many cards.
//
// Our own kernels run as they are, thread after thread; candle's are the functions below, by name and arguments.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <type_traits>
#include <utility>
#include <vector>

#include "standin.h"

#define __device__
#define __global__
#define __forceinline__ inline
#define __grid_constant__
struct Place {
  unsigned x;
};
static Place blockIdx, blockDim, threadIdx, gridDim;
using std::exp;
using std::expm1;
using std::fabs;
using std::log;
using std::log1p;
using std::sqrt;
using std::tanh;
namespace activation {
#include "../../src/ops/cuda/activation.cu"
}
namespace drawing {
#include "../../src/ops/cuda/random.cu"
}
namespace group_norm {
#include "../../src/ops/cuda/group_norm.cu"
}
namespace rows {
#include "../../src/ops/cuda/rows.cu"
}
namespace widening {
#include "../../src/ops/cuda/widen.cu"
}
namespace update {
#include "../../src/ops/cuda/update.cu"
}

std::map<std::string, u64> counts;
static std::map<char *, size_t> memory;
static size_t taken;
static void at_exit() {
  for (auto &c : counts) std::fprintf(stderr, "standin %-28s %llu\n", c.first.c_str(), c.second);
}
bool held(const void *p, size_t bytes) {
  auto next = memory.upper_bound((char *)p);
  if (next == memory.begin()) return false;
  --next;
  return (char *)p + bytes <= next->first + next->second;
}

// A kernel, given the places of its arguments, and how large these are.
struct Run {
  std::function<void(void **)> on;
  std::vector<size_t> sizes;
};
static std::map<std::string, Run> kernels;

// What is recorded instead of done: a graph of nodes, each behind the one before it.
struct Node {
  int kind;  // as the driver numbers them
  std::function<int(const Node &)> run;
  std::string kernel;
  unsigned grid, block;
  std::vector<std::string> arguments;
};
struct Graph {
  std::vector<Node *> nodes;
  std::map<char *, size_t> memory;  // that its nodes take and give back
};
struct Ready {
  Graph *of;
  std::vector<Node> nodes;
};
static Graph *recording;
static bool invalid;
enum { KERNEL = 0, COPY = 1, SET = 2, TAKE = 10, GIVE = 11 };
static int record(Node node) {
  recording->nodes.push_back(new Node(node));
  return 0;
}
// Does what is queued, or records it.
int queued(int kind, std::function<int()> what) {
  return recording ? record({kind, [what](const Node &) { return what(); }, "", 0, 0, {}}) : what();
}
// What no recording takes.
static int refused() {
  invalid = true;
  return 900;
}

template <class... A, size_t... I>
static void call(void (*f)(A...), void **p, std::index_sequence<I...>) {
  f(*(A *)p[I]...);
}
// A kernel of ours: every thread of the launch.
template <class... A>
static Run threads(void (*f)(A...)) {
  auto on = [f](void **p) {
    for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
      for (threadIdx.x = 0; threadIdx.x < blockDim.x; ++threadIdx.x) call(f, p, std::index_sequence_for<A...>());
  };
  return {on, {sizeof(A)...}};
}
// A kernel of candle's, as one function.
template <class... A>
static Run whole(void (*f)(A...)) {
  return {[f](void **p) { call(f, p, std::index_sequence_for<A...>()); }, {sizeof(A)...}};
}

static size_t strided(size_t i, size_t nd, const size_t *dims, const size_t *strides) {
  size_t at = 0;
  for (size_t d = nd; d-- > 0;) {
    at += i % dims[d] * strides[d];
    i /= dims[d];
  }
  return at;
}
template <class T, class O, class F>
static void binary(size_t n, size_t nd, const size_t *info, const T *l, const T *r, O *o) {
  for (size_t i = 0; i < n; ++i)
    o[i] = F()(info ? l[strided(i, nd, info, info + nd)] : l[i], info ? r[strided(i, nd, info, info + 2 * nd)] : r[i]);
}
template <class T, class F>
static void unary(size_t n, size_t nd, const size_t *info, const T *x, T *o) {
  for (size_t i = 0; i < n; ++i) o[i] = F()(x ? (info ? x[strided(i, nd, info, info + nd)] : x[i]) : o[i]);
}
template <class T>
static void affine(size_t n, size_t nd, const size_t *info, const T *x, T *o, T mul, T add) {
  for (size_t i = 0; i < n; ++i) o[i] = (x ? (info ? x[strided(i, nd, info, info + nd)] : x[i]) : o[i]) * mul + add;
}
template <class T>
static void fill(T *o, T v, size_t n) {
  for (size_t i = 0; i < n; ++i) o[i] = v;
}
template <class T>
static void const_set(size_t n, size_t nd, const size_t *info, T v, T *o) {
  for (size_t i = 0; i < n; ++i) o[info ? strided(i, nd, info, info + nd) : i] = v;
}
template <class T>
static void copy2d(const T *s, T *d, uint32_t d1, uint32_t d2, uint32_t ss, uint32_t ds) {
  for (uint32_t i = 0; i < d1; ++i)
    for (uint32_t j = 0; j < d2; ++j) d[(size_t)i * ds + j] = s[(size_t)i * ss + j];
}
template <class S, class T>
static void cast(size_t n, size_t nd, const size_t *info, const S *x, T *o) {
  for (size_t i = 0; i < n; ++i) o[i] = (T)(info ? x[strided(i, nd, info, info + nd)] : x[i]);
}
template <class C, class T>
static void where(size_t n, size_t nd, const size_t *info, const C *c, const T *t, const T *f, T *o) {
  for (size_t i = 0; i < n; ++i) {
    auto at = [&](int k) { return info ? strided(i, nd, info, info + k * nd) : i; };
    o[i] = c[at(1)] ? t[at(2)] : f[at(3)];
  }
}
template <class T, class F>
static void reduce(size_t outs, size_t each, size_t nd, const size_t *info, const T *x, T *o, T from) {
  for (size_t j = 0; j < outs; ++j) {
    T sum = from;
    for (size_t i = j * each; i < (j + 1) * each; ++i) sum = F()(sum, info ? x[strided(i, nd, info, info + nd)] : x[i]);
    o[j] = sum;
  }
}
template <class T, class F>
static void fast(size_t n, size_t each, size_t nd, const size_t *info, const T *x, T *o) {
  reduce<T, F>(gridDim.x, each, nd, info, x, o, std::is_same<F, std::plus<T>>::value ? (T)0 : x[0]);
  (void)n;
}
template <class T, class F>
static void first_of(size_t, size_t each, size_t nd, const size_t *info, const T *x, uint32_t *o) {
  auto at = [&](size_t i) { return info ? x[strided(i, nd, info, info + nd)] : x[i]; };
  for (size_t j = 0; j < gridDim.x; ++j) {
    o[j] = 0;
    for (size_t i = 1; i < each; ++i) {
      if (F()(at(j * each + i), at(j * each + o[j]))) o[j] = i;
    }
  }
}
template <class T>
static void fast_small(size_t outs, size_t each, size_t nd, const size_t *info, const T *x, T *o) {
  reduce<T, std::plus<T>>(outs, each, nd, info, x, o, 0);
}
template <class I, class T>
static void index_select(size_t n, size_t nd, const size_t *info, const I *ids, const T *x, T *o, size_t left,
                         size_t src, size_t dim, size_t right) {
  (void)left;
  (void)nd;
  (void)info;
  for (size_t i = 0; i < n; ++i) o[i] = x[((i / right / dim) * src + ids[i / right % dim]) * right + i % right];
}
template <class I, class T>
static void index_add(const I *ids, size_t count, const T *x, T *o, size_t left, size_t, size_t dim, size_t right) {
  for (size_t i = 0; i < left * right; ++i) {
    for (size_t j = 0; j < count; ++j) {
      o[(i / right * dim + ids[j]) * right + i % right] += x[(i / right * count + j) * right + i % right];
    }
  }
}
// What is chosen for each index, of which the largest number stands for none; and the sums of what goes back.
template <class I, class T>
static void gather(size_t n, const I *ids, const T *x, T *o, size_t, size_t src, size_t dim, size_t right) {
  for (size_t i = 0; i < n; ++i) {
    o[i] = ids[i] == (I)~(I)0 ? (T)0 : x[(i / (right * dim) * src + ids[i]) * right + i % right];
  }
}
template <class I, class T>
static void scatter_add(const I *ids, const T *x, T *o, size_t left, size_t src, size_t dim, size_t right) {
  for (size_t i = 0; i < left * src * right; ++i) o[(i / (src * right) * dim + ids[i]) * right + i % right] += x[i];
}
template <class T>
struct Max {
  T operator()(T a, T b) { return a > b ? a : b; }
};
template <class T>
struct Min {
  T operator()(T a, T b) { return a < b ? a : b; }
};
#define U(Name, e)                  \
  template <class T>                \
  struct Name {                     \
    T operator()(T x) { return e; } \
  };
U(Copy, x)
U(Neg, -x)
U(Exp, std::exp(x)) U(Log, std::log(x)) U(Sqr, x *x) U(Sqrt, std::sqrt(x)) U(Recip, 1 / x) U(Abs, std::fabs(x))
    U(Relu, std::isnan(x) ? x
            : x > 0       ? x
                          : 0) U(Tanh, std::tanh(x)) U(Sin, std::sin(x)) U(Cos, std::cos(x))

        template <class T>
        static void floats(const std::string &t) {
  kernels["badd_" + t] = whole(binary<T, T, std::plus<T>>);
  kernels["bsub_" + t] = whole(binary<T, T, std::minus<T>>);
  kernels["bmul_" + t] = whole(binary<T, T, std::multiplies<T>>);
  kernels["bdiv_" + t] = whole(binary<T, T, std::divides<T>>);
  kernels["bmaximum_" + t] = whole(binary<T, T, Max<T>>);
  kernels["bminimum_" + t] = whole(binary<T, T, Min<T>>);
#define N(name, F) kernels[name "_" + t] = whole(unary<T, F<T>>);
  N("ucopy", Copy)
  N("uneg", Neg)
  N("uexp", Exp) N("ulog", Log) N("usqr", Sqr) N("usqrt", Sqrt) N("urecip", Recip) N("uabs", Abs) N("urelu", Relu)
      N("utanh", Tanh) N("usin", Sin) N("ucos", Cos) kernels["affine_" + t] = whole(affine<T>);
  kernels["fast_sum_" + t] = whole(fast<T, std::plus<T>>);
  kernels["fast_max_" + t] = whole(fast<T, Max<T>>);
  kernels["fast_min_" + t] = whole(fast<T, Min<T>>);
  kernels["fast_argmax_" + t] = whole(first_of<T, std::greater<T>>);
  kernels["fast_argmin_" + t] = whole(first_of<T, std::less<T>>);
  kernels["fast_sum_small_" + t] = whole(fast_small<T>);
  kernels["where_u8_" + t] = whole(where<uint8_t, T>);
  kernels["is_u32_" + t] = whole(index_select<uint32_t, T>);
  kernels["ia_u32_" + t] = whole(index_add<uint32_t, T>);
  kernels["gather_u32_" + t] = whole(gather<uint32_t, T>);
  kernels["sa_u32_" + t] = whole(scatter_add<uint32_t, T>);
}
template <class T>
static void any(const std::string &t) {
  kernels["fill_" + t] = whole(fill<T>);
  kernels["const_set_" + t] = whole(const_set<T>);
  kernels["copy2d_" + t] = whole(copy2d<T>);
  kernels["ucopy_" + t] = whole(unary<T, Copy<T>>);
  kernels["eq_" + t] = whole(binary<T, uint8_t, std::equal_to<T>>);
  kernels["ne_" + t] = whole(binary<T, uint8_t, std::not_equal_to<T>>);
  kernels["lt_" + t] = whole(binary<T, uint8_t, std::less<T>>);
  kernels["le_" + t] = whole(binary<T, uint8_t, std::less_equal<T>>);
  kernels["gt_" + t] = whole(binary<T, uint8_t, std::greater<T>>);
  kernels["ge_" + t] = whole(binary<T, uint8_t, std::greater_equal<T>>);
  kernels["cast_" + t + "_f32"] = whole(cast<T, float>);
  kernels["cast_" + t + "_f64"] = whole(cast<T, double>);
  kernels["cast_" + t + "_u8"] = whole(cast<T, uint8_t>);
  kernels["cast_" + t + "_u32"] = whole(cast<T, uint32_t>);
  kernels["cast_" + t + "_i64"] = whole(cast<T, int64_t>);
}
static void list() {
  std::atexit(at_exit);
  floats<float>("f32"), floats<double>("f64");
  any<float>("f32"), any<double>("f64"), any<uint8_t>("u8"), any<uint32_t>("u32"), any<int64_t>("i64");
  kernels["cast_f32_bf16"] = whole(cast<float, Brief>), kernels["cast_bf16_f32"] = whole(cast<Brief, float>);
  kernels["ucopy_bf16"] = whole(unary<Brief, Copy<Brief>>), kernels["copy2d_bf16"] = whole(copy2d<Brief>);
  kernels["badd_bf16"] = whole(binary<Brief, Brief, std::plus<Brief>>);
  kernels["fill_bf16"] = whole(fill<Brief>), kernels["const_set_bf16"] = whole(const_set<Brief>);
#define OWN(space, name) \
  kernels[#name "_f32"] = threads(space::name##_f32), kernels[#name "_f64"] = threads(space::name##_f64);
  OWN(activation, value)
  OWN(activation, pullback)
  OWN(activation, bend) OWN(activation, tangent) OWN(activation, tangent_backward) OWN(activation, curve)
      OWN(activation, curve_backward) OWN(update, adam) OWN(update, sgd) OWN(update, lerp) OWN(update, langevin_update)
          OWN(update, squares) OWN(update, norm) OWN(drawing, langevin) OWN(drawing, dropout) kernels["sums"] = threads(update::sums);
  OWN(drawing, normal)
  kernels["metropolis_f64"] = threads(drawing::metropolis_f64);
  OWN(rows, choose_rows)
  kernels["widen"] = threads(widening::widen);
  OWN(group_norm, moments)
  OWN(group_norm, normalise)
  OWN(group_norm, jacobian)
  OWN(group_norm, channel_parts)
  OWN(group_norm, channel_sums)
}

extern "C" {
int cuInit(unsigned) {
  static bool once = (list(), true);
  return once ? 0 : 1;
}
static int cards() {
  const char *n = std::getenv("STANDIN_CARDS");
  return n ? std::atoi(n) : 1;
}
int cuDeviceGet(int *d, int n) {
  *d = n;
  return n < cards() ? 0 : 101;
}
int cuDeviceGetCount(int *n) {
  *n = cards();
  return 0;
}
int cuDeviceGetName(char *s, int n, int) {
  std::snprintf(s, n, "stand-in of plain memory");
  return 0;
}
int cuDriverGetVersion(int *v) {
  *v = 13000;
  return 0;
}
int cuDeviceGetAttribute(int *v, int which, int) {
  *v = which == 75 ? 9 : which == 76 ? 0 : 1;
  return 0;
}
int cuDevicePrimaryCtxRetain(void **c, int) {
  *c = (void *)0x10;
  return 0;
}
static void *current;
int cuCtxGetCurrent(void **c) {
  *c = current;
  return 0;
}
int cuCtxSetCurrent(void *c) {
  current = c;
  return 0;
}
int cuStreamCreate(void **s, unsigned) {
  *s = (void *)0x20;
  return 0;
}
int cuMemGetInfo_v2(size_t *f, size_t *t) {
  *f = 1ull << 33, *t = 1ull << 34;
  return 0;
}
int cuDeviceGetDefaultMemPool(void **p, int) {
  *p = (void *)0x30;
  return 0;
}
int cuMemPoolSetAttribute(void *p, int a, void *v) {
  counts["pool keeps memory"] += p == (void *)0x30 && a == 4 && *(u64 *)v == ~0ull;
  return 0;
}
int cuGetErrorString(int, const char **s) {
  *s = "refused by the stand-in";
  return 0;
}
int cuGetErrorName(int, const char **s) {
  *s = "STANDIN";
  return 0;
}
static void fresh(char *p, size_t n) {
  taken += n;
  std::memset(p, 0xff, n);
  memory[p] = n;
  ++counts["allocations"];
}
static int take(char **p, size_t n) {
  static const char *most = std::getenv("STANDIN_MEMORY");
  if (!n) return 1;
  if (most && taken + n > std::strtoull(most, nullptr, 10)) return 2;  // out of memory
  *p = (char *)std::malloc(n);
  if (!*p) return 2;
  if (recording) {
    char *place = *p;
    recording->memory[place] = n;
    return record({TAKE, [place, n](const Node &) { return memory.count(place) ? 1 : (fresh(place, n), 0); }, "", 0, 0, {}});
  }
  fresh(*p, n);
  return 0;
}
// Gives back what was taken; memory of a graph stays the graph's.
static int give(char *p) {
  auto piece = memory.find(p);
  if (piece == memory.end()) return 1;
  taken -= piece->second;
  memory.erase(piece);
  return 0;
}
int cuMemAllocAsync(char **p, size_t n, void *) { return take(p, n); }
int cuMemAlloc_v2(char **p, size_t n) { return take(p, n); }
int cuMemFreeAsync(char *p, void *) {
  if (recording) {
    if (!recording->memory.count(p)) return 1;  // other memory cannot be given back
    return record({GIVE, [p](const Node &) { return give(p); }, "", 0, 0, {}});
  }
  if (give(p)) return 1;
  std::free(p);
  return 0;
}
int cuMemFree_v2(char *p) { return cuMemFreeAsync(p, nullptr); }
int cuMemcpyHtoDAsync_v2(char *d, const void *s, size_t n, void *) {
  if (recording) return refused();
  ++counts["copies to the device"];
  if (!held(d, n)) return 1;
  std::memcpy(d, s, n);
  return 0;
}
int cuMemcpyDtoHAsync_v2(void *d, const char *s, size_t n, void *) {
  if (recording) return refused();
  ++counts["copies to the host"];
  if (!held(s, n)) return 1;
  std::memcpy(d, s, n);
  return 0;
}
int cuMemcpyDtoDAsync_v2(char *d, const char *s, size_t n, void *) {
  return queued(COPY, [=]() {
    if (!held(d, n) || !held(s, n)) return 1;
    std::memcpy(d, s, n);
    return 0;
  });
}
int cuMemsetD8Async(char *d, unsigned char v, size_t n, void *) {
  return queued(SET, [=]() {
    if (!held(d, n)) return 1;
    std::memset(d, v, n);
    return 0;
  });
}
int cuStreamIsCapturing(void *, int *status) {
  *status = recording ? 1 : 0;
  return 0;
}
int cuStreamBeginCapture_v2(void *, int) {
  if (recording) return 1;
  recording = new Graph(), invalid = false;
  return 0;
}
int cuStreamGetCaptureInfo_v3(void *, int *status, u64 *, void **, Node ***nodes, void **, size_t *count) {
  *status = recording ? 1 : 0;
  *count = recording && !recording->nodes.empty();
  if (*count) *nodes = &recording->nodes.back();
  return 0;
}
int cuStreamEndCapture(void *, Graph **graph) {
  if (!recording) return 1;
  *graph = std::exchange(recording, nullptr);
  ++counts[invalid ? "recordings that failed" : "recordings"];
  if (invalid) *graph = nullptr;
  return invalid ? 901 : 0;
}
int cuGraphGetNodes(Graph *graph, Node **nodes, size_t *count) {
  if (nodes) std::copy(graph->nodes.begin(), graph->nodes.end(), nodes);
  *count = graph->nodes.size();
  return 0;
}
int cuGraphNodeGetType(Node *node, int *kind) {
  *kind = node->kind;
  return 0;
}
struct Params {
  const char *function;
  unsigned grid[3], block[3], shared;
  void **arguments, **extra;
  void *kernel, *context;
};
int cuGraphKernelNodeGetParams_v2(Node *node, Params *p) {
  if (node->kind != KERNEL || node->kernel.empty()) return 1;
  *p = {kernels.find(node->kernel)->first.c_str(), {node->grid, 1, 1}, {node->block, 1, 1}, 0, nullptr, nullptr, nullptr,
        nullptr};
  return 0;
}
int cuGraphInstantiateWithFlags(Ready **ready, Graph *graph, u64 flags) {
  if (flags) return 1;
  *ready = new Ready{graph, {}};
  for (Node *node : graph->nodes) (*ready)->nodes.push_back(*node);
  return 0;
}
static int hold(Node &node, const std::string &kernel, unsigned grid, unsigned block, void **arguments) {
  const Run &run = kernels[kernel];
  node.kernel = kernel, node.grid = grid, node.block = block, node.arguments.clear();
  for (size_t i = 0; i < run.sizes.size(); ++i) node.arguments.emplace_back((char *)arguments[i], run.sizes[i]);
  return 0;
}
int cuGraphExecKernelNodeSetParams_v2(Ready *ready, Node *node, const Params *p) {
  for (size_t i = 0; i < ready->nodes.size(); ++i) {
    if (ready->of->nodes[i] == node && node->kernel == p->function && !p->extra) {
      return hold(ready->nodes[i], p->function, p->grid[0], p->block[0], p->arguments);
    }
  }
  return 1;
}
int cuGraphLaunch(Ready *ready, void *) {
  if (recording) return refused();
  ++counts["graphs"];
  for (const Node &node : ready->nodes) {
    if (int wrong = node.run(node)) return wrong;
  }
  return 0;
}
int cuGraphExecDestroy(Ready *ready) {
  delete ready;
  return 0;
}
int cuGraphDestroy(Graph *graph) {
  for (auto &piece : graph->memory) std::free(piece.first);
  for (Node *node : graph->nodes) delete node;
  delete graph;
  return 0;
}
// A copy to the host waits too.
int cuStreamSynchronize(void *) {
  if (recording) return refused();
  ++counts["waits"];
  return 0;
}
int cuCtxSynchronize() { return cuStreamSynchronize(nullptr); }
int cuEventSynchronize(void *) { return cuStreamSynchronize(nullptr); }
int cuModuleLoadData(void **m, const void *) {
  *m = (void *)0x40;
  return 0;
}
int cuModuleGetFunction(void **f, void *, const char *name) {
  *f = (void *)kernels.insert({name, Run()}).first->first.c_str();
  return 0;
}
int cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz, unsigned,
                   void *, void **p, void **) {
  if (!gx || !bx || gy != 1 || gz != 1 || by != 1 || bz != 1) return 1;
  const std::string name = (const char *)f;
  Run &run = kernels[name];
  if (!run.on) {
    std::fprintf(stderr, "standin: no kernel %s\n", name.c_str());
    return 500;  // not found
  }
  static bool each = std::getenv("STANDIN_NAMES");
  if (recording) {
    Node node = {KERNEL, nullptr, "", 0, 0, {}};
    node.run = [](const Node &node) {
      std::vector<void *> places;
      for (const std::string &argument : node.arguments) places.push_back((void *)argument.data());
      ++counts["launches in graphs"];
      gridDim.x = node.grid, blockDim.x = node.block;
      kernels[node.kernel].on(places.data());
      return 0;
    };
    hold(node, name, gx, bx, p);
    return record(node);
  }
  ++counts["launches"];
  if (each) ++counts["kernel " + name];
  gridDim.x = gx, blockDim.x = bx;
  run.on(p);
  return 0;
}
}
