// What changes tensors in place, one launch a tensor, the Langevin move, and sums of squares: the twin of cpu/update.rs,
// without its care for faint numbers, with which a GPU computes as fast as with others. A test compiles it as C++.

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

// a ← b - drift·g + std·c: positions b, noise c.
template <class T> __device__ __forceinline__ void langevin(T &a, T &b, T &c, T g, const Numbers<T> &n) {
  a = b - n.k[0] * g + n.k[1] * c;
}

// Runs the body for every entry i < n, divided among all threads.
#define EACH(n)                                                                                                        \
  for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x, every = (Index)gridDim.x * blockDim.x; i < n; i += every)

// All updates take the same; a tensor that one has no use for is any other of its tensors.
#define UPDATE(map, T, name)                                                                                           \
  extern "C" __global__ void map##_##name(T *a, T *b, T *c, const T *g, Index n, Numbers<T> numbers) {                 \
    EACH(n) map<T>(a[i], b[i], c[i], g[i], numbers);                                                                   \
  }
#define UPDATES(map) UPDATE(map, float, f32) UPDATE(map, double, f64)

UPDATES(adam)
UPDATES(sgd)
UPDATES(lerp)
UPDATES(langevin)

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
