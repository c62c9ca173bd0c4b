// cuBLAS, cuRAND and cuDNN of the stand-in: products and convolutions as their definitions say. Arguments that a
// library would refuse are refused; channels last are too in f64, for 4x4 kernels on an odd number of rows, and, once it
// comes to the call, for 1x1 kernels on five rows, so that somebody has to go on without. Of its algorithms this cuDNN offers the fastest first: one that adds in any order,
// one that does not know the geometry, and a good one.
#include <algorithm>
#include <vector>

#include "standin.h"

extern "C" {
int cublasCreate_v2(void **h) {
  *h = (void *)0x50;
  return 0;
}
int cublasGetVersion_v2(void *, int *v) {
  *v = 130002;
  return 0;
}
int curandCreateGenerator(void **g, int) {
  *g = (void *)0x60;
  return 0;
}
}
// C = alpha·A B + beta·C, column by column, with A or B transposed where it is asked for.
template <class T, class S>
static int gemm(int ta, int tb, int m, int n, int k, S alpha, const T *a, int lda, u64 sa, const T *b, int ldb, u64 sb,
                S beta, T *c, int ldc, u64 sc, int batch) {
  std::vector<S> column(m);
  for (int l = 0; l < batch; ++l) {
    for (int j = 0; j < n; ++j) {
      std::fill(column.begin(), column.end(), (S)0);
      auto of_b = [&](int q) -> S { return tb ? b[l * sb + j + (size_t)q * ldb] : b[l * sb + q + (size_t)j * ldb]; };
      if (ta) {
        for (int i = 0; i < m; ++i) {
          for (int q = 0; q < k; ++q) column[i] += (S)a[l * sa + q + (size_t)i * lda] * of_b(q);
        }
      } else {
        for (int q = 0; q < k; ++q) {
          const S factor = of_b(q);
          const T *from = a + l * sa + (size_t)q * lda;
          for (int i = 0; i < m; ++i) column[i] += (S)from[i] * factor;
        }
      }
      T *to = c + l * sc + (size_t)j * ldc;
      for (int i = 0; i < m; ++i) to[i] = (T)(alpha * column[i] + (beta != 0 ? beta * (S)to[i] : 0));
    }
  }
  return 0;
}
extern "C" {
int cublasGemmStridedBatchedEx(void *, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int at,
                               int lda, long long sa, const void *b, int, int ldb, long long sb, const void *beta,
                               void *c, int, int ldc, long long sc, int batch, int compute, int) {
  ++counts[at == 14 ? "products in bf16" : compute == 77 ? "products in TF32" : "products in f32"];
  const float by = *(float *)alpha, kept = *(float *)beta;
  if (at != 0 && at != 14) return 15;
  return queued(0, [=]() {
    if (at == 14) {
      return gemm<Brief, float>(ta, tb, m, n, k, by, (Brief *)a, lda, sa, (Brief *)b, ldb, sb, kept, (Brief *)c, ldc,
                                sc, batch);
    }
    return gemm<float, float>(ta, tb, m, n, k, by, (float *)a, lda, sa, (float *)b, ldb, sb, kept, (float *)c, ldc, sc,
                              batch);
  });
}
int cublasDgemmStridedBatched(void *, int ta, int tb, int m, int n, int k, const double *alpha, const double *a,
                              int lda, long long sa, const double *b, int ldb, long long sb, const double *beta,
                              double *c, int ldc, long long sc, int batch) {
  ++counts["products in f64"];
  const double by = *alpha, kept = *beta;
  return queued(0, [=]() {
    return gemm<double, double>(ta, tb, m, n, k, by, a, lda, sa, b, ldb, sb, kept, c, ldc, sc, batch);
  });
}
// Shapes are [n, c, h, w] in either order; `last` says that the channels lie last.
struct Desc {
  int kind, shape[4], pad[2], stride[2], math, last;
};
int cudnnCreate(void **h) {
  *h = (void *)0x70;
  return 0;
}
size_t cudnnGetVersion() { return 91002; }
int cudnnSetStream(void *, void *s) { return s == (void *)0x20 ? 0 : 2000; }
int cudnnCreateTensorDescriptor(Desc **d) {
  *d = new Desc();
  return 0;
}
int cudnnCreateFilterDescriptor(Desc **d) {
  *d = new Desc();
  return 0;
}
int cudnnCreateConvolutionDescriptor(Desc **d) {
  *d = new Desc();
  return 0;
}
int cudnnDestroyTensorDescriptor(Desc *d) {
  delete d;
  return 0;
}
int cudnnDestroyFilterDescriptor(Desc *d) {
  delete d;
  return 0;
}
int cudnnDestroyConvolutionDescriptor(Desc *d) {
  delete d;
  return 0;
}
int cudnnCreateActivationDescriptor(Desc **d) {
  *d = new Desc();
  return 0;
}
int cudnnDestroyActivationDescriptor(Desc *d) {
  delete d;
  return 0;
}
int cudnnSetActivationDescriptor(Desc *d, int mode, int nan, double) {
  d->kind = mode;
  return nan == 1 ? 0 : 2000;
}
int cudnnSetTensor4dDescriptor(Desc *d, int format, int kind, int n, int c, int h, int w) {
  if (format > 1 || (format && kind == 1)) return 3000;
  *d = {kind, {n, c, h, w}, {}, {}, 0, format};
  return 0;
}
int cudnnSetFilter4dDescriptor(Desc *d, int kind, int format, int n, int c, int h, int w) {
  if (format > 1 || (format && kind == 1)) return 3000;
  *d = {kind, {n, c, h, w}, {}, {}, 0, format};
  return 0;
}
int cudnnSetConvolution2dDescriptor(Desc *d, int ph, int pw, int sh, int sw, int dh, int dw, int mode, int kind) {
  if (dh != 1 || dw != 1 || mode != 1) return 2000;
  *d = {kind, {}, {ph, pw}, {sh, sw}, 0, 0};
  return 0;
}
int cudnnSetConvolutionMathType(Desc *d, int math) {
  d->math = math;
  return 0;
}
struct Offer {
  int algo, status;
  float time;
  size_t memory;
  int determinism, math, reserved[3];
};
static int offer(int n, int *count, Offer *o, int good) {
  if (n < 3) return 2000;
  o[0] = {0, 0, 0.1f, 0, 0, 0, {}}, o[1] = {good + 1, 3000, -1.f, 0, 1, 0, {}}, o[2] = {good, 0, 0.3f, 100, 1, 0, {}};
  *count = 3;
  return 0;
}
static int known(Desc *x, Desc *w, Desc *y, int n, int *c, Offer *o) {
  if (x->shape[1] != w->shape[1] || y->shape[1] != w->shape[0] || x->last != w->last || x->last != y->last) return 2000;
  return x->last && w->shape[2] == 4 && x->shape[2] % 2 ? 3000 : offer(n, c, o, 1);
}
int cudnnGetConvolutionForwardAlgorithm_v7(void *, Desc *x, Desc *w, Desc *, Desc *y, int n, int *c, Offer *o) {
  return known(x, w, y, n, c, o);
}
int cudnnGetConvolutionBackwardDataAlgorithm_v7(void *, Desc *w, Desc *y, Desc *, Desc *x, int n, int *c, Offer *o) {
  return known(x, w, y, n, c, o);
}
int cudnnGetConvolutionBackwardFilterAlgorithm_v7(void *, Desc *x, Desc *y, Desc *, Desc *w, int n, int *c, Offer *o) {
  return known(x, w, y, n, c, o);
}
static int size(int algo, size_t *s) {
  *s = 1000 + algo;
  return algo == 1 ? 0 : 3000;
}
int cudnnGetConvolutionForwardWorkspaceSize(void *, Desc *, Desc *, Desc *, Desc *, int a, size_t *s) {
  return size(a, s);
}
int cudnnGetConvolutionBackwardDataWorkspaceSize(void *, Desc *, Desc *, Desc *, Desc *, int a, size_t *s) {
  return size(a, s);
}
int cudnnGetConvolutionBackwardFilterWorkspaceSize(void *, Desc *, Desc *, Desc *, Desc *, int a, size_t *s) {
  return size(a, s);
}
}
// The place of an entry of a tensor or a filter.
static size_t place(const Desc *d, int n, int c, int h, int w) {
  const int *s = d->shape;
  return d->last ? (((size_t)n * s[2] + h) * s[3] + w) * s[1] + c : (((size_t)n * s[1] + c) * s[2] + h) * s[3] + w;
}
// f(x, w, y) for every pair of an input entry and an output entry that a window connects.
template <class T, class F>
static void windows(const Desc *x, const Desc *w, const Desc *y, const Desc *c, F f) {
  const int *X = x->shape, *W = w->shape, *Y = y->shape;
  for (int n = 0; n < X[0]; ++n)
    for (int o = 0; o < W[0]; ++o)
      for (int i = 0; i < Y[2]; ++i)
        for (int j = 0; j < Y[3]; ++j)
          for (int k = 0; k < X[1]; ++k)
            for (int a = 0; a < W[2]; ++a)
              for (int b = 0; b < W[3]; ++b) {
                int r = i * c->stride[0] + a - c->pad[0], s = j * c->stride[1] + b - c->pad[1];
                if (r >= 0 && s >= 0 && r < X[2] && s < X[3])
                  f(place(x, n, k, r, s), place(w, o, k, a, b), place(y, n, o, i, j));
              }
}
static size_t entries(const Desc *d) { return (size_t)d->shape[0] * d->shape[1] * d->shape[2] * d->shape[3]; }
static size_t bytes(const Desc *d) { return entries(d) * (d->kind == 1 ? 8 : d->kind == 9 ? 2 : 4); }
template <class T>
static int convolve(int map, const Desc *x, void *xp, const Desc *w, void *wp, const Desc *y, void *yp, const Desc *c) {
  T *X = (T *)xp, *W = (T *)wp, *Y = (T *)yp, *out = map == 0 ? Y : map == 1 ? X : W;
  std::vector<double> sum(entries(map == 0 ? y : map == 1 ? x : w));
  windows<T>(x, w, y, c, [&](size_t i, size_t k, size_t o) {
    if (map == 0)
      sum[o] += (double)X[i] * (double)W[k];
    else if (map == 1)
      sum[i] += (double)Y[o] * (double)W[k];
    else
      sum[k] += (double)X[i] * (double)Y[o];
  });
  for (size_t i = 0; i < sum.size(); ++i) out[i] = (T)sum[i];
  return 0;
}
static int convolution(int map, const void *one, const void *zero, const Desc *x, const void *xp, const Desc *w,
                       const void *wp, const Desc *y, const void *yp, const Desc *c, int algo, void *ws, size_t n) {
  if (algo != 1 || n != 1001) return 2000;
  if (x->kind == 1 ? *(double *)one != 1 || *(double *)zero != 0 : *(float *)one != 1 || *(float *)zero != 0) return 2000;
  for (int d = 0; d < 2; ++d)
    if ((x->shape[2 + d] + 2 * c->pad[d] - w->shape[2 + d]) / c->stride[d] + 1 != y->shape[2 + d]) return 2000;
  if (x->shape[0] != y->shape[0]) return 2000;
  if (w->kind != x->kind || y->kind != x->kind || c->kind != (x->kind == 9 ? 0 : x->kind)) return 2000;
  if (x->last != w->last || x->last != y->last) return 2000;
  if (x->last && w->shape[2] == 1 && x->shape[2] == 5) return 3000;
  if (x->last) ++counts["channels last"];
  ++counts[x->kind == 9 ? "convolutions, bf16" : c->math == 3 ? "convolutions, FMA" : "convolutions, default math"];
  auto of = x->kind == 1 ? convolve<double> : x->kind == 9 ? convolve<Brief> : convolve<float>;
  return queued(0, [=, x = *x, w = *w, y = *y, c = *c]() {
    if (!held(ws, n) || !held(xp, bytes(&x)) || !held(wp, bytes(&w)) || !held(yp, bytes(&y))) return 2000;
    return of(map, &x, (void *)xp, &w, (void *)wp, &y, (void *)yp, &c);
  });
}
extern "C" {
int cudnnConvolutionForward(void *, const void *one, Desc *x, const void *xp, Desc *w, const void *wp, Desc *c,
                            int algo, void *ws, size_t n, const void *zero, Desc *y, void *yp) {
  return convolution(0, one, zero, x, xp, w, wp, y, yp, c, algo, ws, n);
}
int cudnnConvolutionBackwardData(void *, const void *one, Desc *w, const void *wp, Desc *y, const void *yp, Desc *c,
                                 int algo, void *ws, size_t n, const void *zero, Desc *x, void *xp) {
  return convolution(1, one, zero, x, xp, w, wp, y, yp, c, algo, ws, n);
}
int cudnnConvolutionBackwardFilter(void *, const void *one, Desc *x, const void *xp, Desc *y, const void *yp, Desc *c,
                                   int algo, void *ws, size_t n, const void *zero, Desc *w, void *wp) {
  return convolution(2, one, zero, x, xp, w, wp, y, yp, c, algo, ws, n);
}
}
template <class T>
static int add(const T *bias, const Desc *y, T *out) {
  size_t plane = y->last ? 1 : (size_t)y->shape[2] * y->shape[3];
  for (size_t i = 0; i < entries(y); ++i) out[i] += bias[i / plane % y->shape[1]];
  return 0;
}
static int adding(const Desc *b, const void *bias, const Desc *y, void *out) {
  if (b->shape[1] != y->shape[1] || b->last != y->last) return 2000;
  return queued(0, [=, b = *b, y = *y]() {
    if (!held(bias, bytes(&b)) || !held(out, bytes(&y))) return 2000;
    return y.kind == 1 ? add((double *)bias, &y, (double *)out) : add((float *)bias, &y, (float *)out);
  });
}
extern "C" int cudnnAddTensor(void *, const void *one, Desc *b, const void *bias, const void *beta, Desc *y,
                              void *out) {
  if (y->kind == 1 ? *(double *)one != 1 || *(double *)beta != 1 : *(float *)one != 1 || *(float *)beta != 1) return 2000;
  ++counts["additions of a bias"];
  return adding(b, bias, y, out);
}
// The convolution with a bias in one call, as the real one is without a non-linearity: by algorithm 1 only. Where the bias has
// twelve entries it is not supported.
extern "C" int cudnnConvolutionBiasActivationForward(void *, const void *one, Desc *x, const void *xp, Desc *w,
                                                     const void *wp, Desc *c, int algo, void *ws, size_t n,
                                                     const void *kept, Desc *z, const void *, Desc *b, const void *bias,
                                                     Desc *act, Desc *y, void *yp) {
  if (b->kind != y->kind || act->kind != 5) return 2000;
  if (algo != 1 || y->kind == 9 || b->shape[1] == 12) return 3000;
  if (std::memcmp(z->shape, y->shape, sizeof y->shape)) return 2000;
  int made = convolution(0, one, kept, x, xp, w, wp, y, yp, c, algo, ws, n);
  if (made) return made;
  ++counts["biases within a convolution"];
  return adding(b, bias, y, yp);
}
