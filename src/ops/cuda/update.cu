// What changes tensors in place, all tensors of an optimiser in one launch, with the sum of the squares of their gradients;
// the Langevin move with noise that is given, and sums of squares: the twin of cpu/update.rs, without its care for faint
// numbers, with which a GPU computes as fast as with others. A test compiles it as C++.

typedef unsigned long long Index;

// The numbers of an update, in the order of update.rs.
template <class T> struct Numbers {
  T k[10];
};

// p = a, m = b, v = c: p ← keep·p - rate·m/(root·√v + eps), with ĝ = scale·g + l2·p in both moments.
template <class T>
__device__ __forceinline__ void adam(T &p, T &m, T &v, T g, const Numbers<T> &n) {
  const T scale = n.k[0], l2 = n.k[1], keep = n.k[6], rate = n.k[7], root = n.k[8], eps = n.k[9];
  g = scale * g + l2 * p;
  m = n.k[2] * m + n.k[3] * g;
  v = n.k[4] * v + n.k[5] * (g * g);
  p = keep * p - rate * m / (sqrt(v) * root + eps);
}

// p = a and its velocity b; `ahead` is 1 for Nesterov's momentum, else 0.
template <class T> __device__ __forceinline__ void sgd(T &p, T &b, T &, T g, const Numbers<T> &n) {
  const T lr = n.k[0], momentum = n.k[1], decay = n.k[2], scale = n.k[3], ahead = n.k[4];
  g = scale * g + decay * p;
  b = momentum * b + g;
  p = p - lr * (ahead > (T)0 ? g + momentum * b : b);
}

// a ← a + weight·(g - a).
template <class T> __device__ __forceinline__ void lerp(T &a, T &, T &, T g, const Numbers<T> &n) {
  a = a + n.k[0] * (g - a);
}

// Runs the body for every entry i < n, divided among all threads.
#define EACH(n)                                                                                                        \
  for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x, every = (Index)gridDim.x * blockDim.x; i < n; i += every)

// A tensor with n entries that is changed, and its gradient; of a, b and c some may be one.
template <class T> struct Piece {
  T *a, *b, *c;
  const T *g;
  Index n;
  Numbers<T> numbers;
};

// As many as plan.rs has, and as the arguments of a kernel have room for. The first `count` are there.
enum { PIECES = 128, SUMS = 256 };

template <class T> struct Pieces {
  Piece<T> at[PIECES];
  Index count;
  double limit;
};

// The factor that brings gradients with these sums of squares to a norm of at most `limit`.
__device__ __forceinline__ double limited(const double *squares, double limit) {
  double sum = 0.0;
  for (int k = 0; k < SUMS; ++k) sum += squares[k];
  double norm = sqrt(sum);
  return norm > limit ? limit / norm : 1.0;
}

// Nothing changes: for the sums alone.
template <class T> __device__ __forceinline__ void norm(T &, T &, T &, T, const Numbers<T> &) {}

// All updates take the same: `sums` is nothing, or gets Σ g² of each thread; `squares` is nothing, or the sums of squares
// by which gradients are limited.
#define UPDATE(map, T, name)                                                                                           \
  extern "C" __global__ void map##_##name(double *sums, const double *squares, const __grid_constant__ Pieces<T> by) { \
    T factor = squares ? (T)limited(squares, by.limit) : (T)1;                                                         \
    double sum = 0.0;                                                                                                  \
    for (Index k = 0; k < by.count; ++k) {                                                                             \
      const Piece<T> &p = by.at[k];                                                                                    \
      EACH(p.n) {                                                                                                      \
        T g = p.g[i];                                                                                                  \
        sum += (double)g * (double)g;                                                                                  \
        map<T>(p.a[i], p.b[i], p.c[i], squares ? factor * g : g, p.numbers);                                           \
      }                                                                                                                \
    }                                                                                                                  \
    if (sums) sums[(Index)blockIdx.x * blockDim.x + threadIdx.x] = sum;                                                \
  }
#define UPDATES(map) UPDATE(map, float, f32) UPDATE(map, double, f64)

UPDATES(norm)
UPDATES(adam)
UPDATES(sgd)
UPDATES(lerp)

// a ← x - drift·g + std·noise.
#define LANGEVIN(T, name)                                                                                              \
  extern "C" __global__ void langevin_update_##name(T *a, const T *x, const T *noise, const T *g, Index n,             \
                                                    Numbers<T> by) {                                                   \
    EACH(n) a[i] = x[i] - by.k[0] * g[i] + by.k[1] * noise[i];                                                         \
  }

LANGEVIN(float, f32)
LANGEVIN(double, f64)

// y, m entries: partial sums of f(x), each over every m-th of n entries, in one order whatever the threads.
#define SUM(kernel, T, term)                                                                                           \
  extern "C" __global__ void kernel(const T *x, double *y, Index n, Index m) {                                         \
    EACH(m) {                                                                                                          \
      double sum = 0.0;                                                                                                \
      for (Index j = i; j < n; j += m) sum += term;                                                                    \
      y[i] = sum;                                                                                                      \
    }                                                                                                                  \
  }

SUM(squares_f32, float, (double)x[j] * (double)x[j])
SUM(squares_f64, double, x[j] * x[j])
SUM(sums, double, x[j])
