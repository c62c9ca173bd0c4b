// The activations and their derivatives, entry by entry: the twin of cpu/curve.rs and cpu/activation.rs. There is nothing
// here but arithmetic and the place of a thread, so that a test compiles it as C++ and holds it against those (twin.cpp).

// The numbers of the activations, which plan.rs has too.
enum { SWISH, SOFTPLUS, SIGMOID, TANH, LEAKY_RELU, ELU };

template <class T> struct Jet {
  T value, slope, bend, third;
};

template <class T> __device__ __forceinline__ Jet<T> jet(int kind, T alpha, T u) {
  const T zero = 0, one = 1, two = 2, three = 3, six = 6;
  if (kind == TANH) {
    T t = tanh(u), slope = (one - t) * (one + t);
    return {t, slope, -two * t * slope, (six * t * t - two) * slope};
  }
  if (kind == LEAKY_RELU) return {u > zero ? u : alpha * u, u > zero ? one : alpha, zero, zero};
  if (kind == ELU) {
    T below = expm1(u), bend = alpha * (below + one);
    if (u > zero) return {u, one, zero, zero};
    return {alpha * below, bend, bend, bend};
  }
  // The sigmoid s and its complement c, both to full relative precision.
  T e = exp(-fabs(u)), large = one / (one + e), small = e * large;
  T s = u < zero ? small : large, c = u < zero ? large : small, p = s * c, d = c - s;
  if (kind == SOFTPLUS) return {(u < zero ? zero : u) + log1p(e), s, p, p * d};
  if (kind == SIGMOID) return {s, p, p * d, p * (one - six * p)};
  return {u * s, s * (one + u * c), p * (two + u * d), p * (three * d + u * (one - six * p))};
}

typedef unsigned long long Index;

// What a map is told beside its tensors: how many blocks there are, or what else is asked for; the activation and its α.
template <class T> struct Choice {
  int form, kind;
  T alpha;
};

// What an entry i < n of a map is made of: up to three arguments and the result, in blocks of n entries.
template <class T> struct Entry {
  const T *a, *b, *c;
  T *y;
  Index i, n;
  Choice<T> of;

  __device__ __forceinline__ Jet<T> sigma() const { return jet(of.kind, of.alpha, a[i]); }
};

// y = σ(u).
template <class T> __device__ __forceinline__ void value(const Entry<T> &e) { e.y[e.i] = e.sigma().value; }

// y = σ'(u)·v.
template <class T> __device__ __forceinline__ void pullback(const Entry<T> &e) { e.y[e.i] = e.sigma().slope * e.b[e.i]; }

// y = σ''(u)·v·g, and behind it σ'(u)·g where `form` is 2.
template <class T> __device__ __forceinline__ void bend(const Entry<T> &e) {
  Jet<T> f = e.sigma();
  e.y[e.i] = f.bend * e.b[e.i] * e.c[e.i];
  if (e.of.form == 2) e.y[e.n + e.i] = f.slope * e.c[e.i];
}

// y = [σ(u); σ'(u)·u'] of a = [u; u'].
template <class T> __device__ __forceinline__ void tangent(const Entry<T> &e) {
  Jet<T> f = e.sigma();
  e.y[e.i] = f.value;
  e.y[e.n + e.i] = f.slope * e.a[e.n + e.i];
}

// y = [σ'g + σ''u'h; σ'h] of a = [u; u'] and b = [g; h].
template <class T> __device__ __forceinline__ void tangent_backward(const Entry<T> &e) {
  Jet<T> f = e.sigma();
  T h = e.b[e.n + e.i];
  e.y[e.i] = f.slope * e.b[e.i] + f.bend * e.a[e.n + e.i] * h;
  e.y[e.n + e.i] = f.slope * h;
}

// y = [σ(u); σ'u'; σ''u'² + σ'u''] of `form` blocks a = [u; u'; u''], or [u; u'] where u'' = 0.
template <class T> __device__ __forceinline__ void curve(const Entry<T> &e) {
  Jet<T> f = e.sigma();
  T first = e.a[e.n + e.i], second = f.bend * first * first;
  e.y[e.i] = f.value;
  e.y[e.n + e.i] = f.slope * first;
  e.y[2 * e.n + e.i] = e.of.form == 2 ? second : second + f.slope * e.a[2 * e.n + e.i];
}

// y = [σ'g + σ''u'h + (σ'''u'² + σ''u'')k; σ'h + 2σ''u'k; σ'k] of a as above and b = [g; h; k], without the last block
// where a has no u''.
template <class T> __device__ __forceinline__ void curve_backward(const Entry<T> &e) {
  Jet<T> f = e.sigma();
  T first = e.a[e.n + e.i], h = e.b[e.n + e.i], k = e.b[2 * e.n + e.i], third = f.third * first * first;
  if (e.of.form == 3) third = third + f.bend * e.a[2 * e.n + e.i];
  e.y[e.i] = f.slope * e.b[e.i] + f.bend * first * h + third * k;
  e.y[e.n + e.i] = f.slope * h + (T)2 * f.bend * first * k;
  if (e.of.form == 3) e.y[2 * e.n + e.i] = f.slope * k;
}

// All kernels take the same.
#define KERNEL(map, T, name)                                                                                           \
  extern "C" __global__ void map##_##name(const T *a, const T *b, const T *c, T *y, Index n, Choice<T> of) {           \
    Index every = (Index)gridDim.x * blockDim.x;                                                                       \
    for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += every) map<T>({a, b, c, y, i, n, of});    \
  }
#define KERNELS(map) KERNEL(map, float, f32) KERNEL(map, double, f64)

KERNELS(value)
KERNELS(pullback)
KERNELS(bend)
KERNELS(tangent)
KERNELS(tangent_backward)
KERNELS(curve)
KERNELS(curve_backward)
