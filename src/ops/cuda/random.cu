// What draws random numbers by counter: the Langevin move with its noise, noise alone, the decisions of a Metropolis step,
// and dropout with its mask, one launch each. The twin of cpu/philox.rs and cpu/random.rs, bit for bit, where the compiler
// fuses no product with a sum (-fmad=false): what is drawn is made of operations alone that every device rounds alike;
// exp and log in f64, by which a Metropolis step decides, may differ in their last digit. A test compiles it as C++.

typedef unsigned long long Index;

// What a kernel is told beside its tensors: the key of the stream in two words and the upper half of its counter in two,
// the number that comes first; the least word that keeps a number, the blocks with one mask; the numbers of a move.
template <class T> struct Draws {
  unsigned words[4];
  Index first;
  unsigned least, blocks;
  T k[5];
};

// The four words c of a counter become four others by Philox 4x32 with 10 rounds (Salmon et al. 2011, section 3.3).
__device__ __forceinline__ void philox(unsigned c[4], unsigned k0, unsigned k1) {
  for (int round = 0; round < 10; ++round) {
    Index x = (Index)0xD2511F53u * c[0], y = (Index)0xCD9E8D57u * c[2];
    c[0] = (unsigned)(y >> 32) ^ c[1] ^ k0;
    c[2] = (unsigned)(x >> 32) ^ c[3] ^ k1;
    c[1] = (unsigned)y;
    c[3] = (unsigned)x;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
}

union Bits {
  float number;
  unsigned word;
};

// The logarithm of a normal number x = 2^e m with √½ ≤ m < √2, as e ln 2 + 2 artanh((m - 1)/(m + 1)), by its series.
__device__ __forceinline__ float log_of(float x) {
  Bits bits;
  bits.number = x;
  int exponent = (int)(bits.word - 0x3F3504F3u) >> 23;
  bits.word -= (unsigned)exponent << 23;
  float s = (bits.number - 1.0f) / (bits.number + 1.0f), z = s * s;
  float p = z * (1.0f / 9.0f) + 1.0f / 7.0f;
  p = p * z + 1.0f / 5.0f;
  p = p * z + 1.0f / 3.0f;
  return (float)exponent * 0.693147180559945309f + 2.0f * (s + s * (p * z));
}

__device__ __forceinline__ float with_sign(float x, unsigned quarter) {
  Bits bits;
  bits.number = x;
  bits.word ^= (quarter & 2u) << 30;
  return bits.number;
}

// Two independent normal numbers √(-2 ln u)·(cos 2πv, sin 2πv) of words that stand for u in (0, 1] and v in [0, 1).
__device__ __forceinline__ void pair(unsigned u, unsigned v, float *z0, float *z1) {
  float radius = sqrt(-2.0f * log_of(((float)(int)(u >> 1) + 0.5f) * (1.0f / 2147483648.0f)));
  // The nearest quarter of a turn, and what is left, at most π/4 either way: Taylor polynomials.
  unsigned quarter = (v + (1u << 29)) >> 30;
  float x = (float)(int)(v - (quarter << 30)) * (6.28318530717958647693f / 4294967296.0f), z = x * x;
  float p = z * (1.0f / 362880.0f) - 1.0f / 5040.0f;
  p = p * z + 1.0f / 120.0f;
  p = p * z - 1.0f / 6.0f;
  float sine = x * (p * z + 1.0f);
  p = z * (-1.0f / 3628800.0f) + 1.0f / 40320.0f;
  p = p * z - 1.0f / 720.0f;
  p = p * z + 1.0f / 24.0f;
  p = p * z - 0.5f;
  float cosine = p * z + 1.0f;
  bool odd = quarter & 1u;
  *z0 = radius * with_sign(odd ? sine : cosine, quarter + 1u);
  *z1 = radius * with_sign(odd ? cosine : sine, quarter);
}

// x between two numbers; what is not a number stays so.
template <class T> __device__ __forceinline__ T within(T x, T low, T high) {
  return x < low ? low : x > high ? high : x;
}

// y ← x after a Langevin move with noise z.
template <class T>
__device__ __forceinline__ void langevin(const T *x, const T *g, T *y, Index i, Index, float z, unsigned,
                                         const Draws<T> &by) {
  y[i] = within(x[i] - by.k[0] * within(g[i], -by.k[2], by.k[2]) + by.k[1] * (T)z, by.k[3], by.k[4]);
}

// y ← z.
template <class T>
__device__ __forceinline__ void normal(const T *, const T *, T *y, Index i, Index, float z, unsigned, const Draws<T> &) {
  y[i] = (T)z;
}

// y = [accepted; non-finite; chance] of n proposals with log-ratios x and energies g. A comparison with NaN is false.
template <class T>
__device__ __forceinline__ void metropolis(const T *x, const T *g, T *y, Index i, Index n, float, unsigned word,
                                           const Draws<T> &) {
  bool finite = g[i] - g[i] == (T)0;
  T uniform = ((T)word + (T)0.5) * (T)(1.0 / 4294967296.0), chance = x[i] >= (T)0 ? (T)1 : exp(x[i]);
  y[i] = finite && log(uniform) < x[i] ? (T)1 : (T)0;
  y[n + i] = finite ? (T)0 : (T)1;
  y[2 * n + i] = finite && chance == chance ? chance : (T)0;
}

// y ← x∘m/(1-p) at the i-th of n numbers of each block.
template <class T>
__device__ __forceinline__ void dropout(const T *x, const T *, T *y, Index i, Index n, float, unsigned word,
                                        const Draws<T> &by) {
  for (unsigned block = 0; block < by.blocks; ++block, i += n) y[i] = word >= by.least ? x[i] * by.k[0] : (T)0;
}

// All kernels take the same. A thread takes the four numbers of a counter: number i of a stream is word ⌊i/16⌋ mod 4 of
// counter 16·⌊i/64⌋ + i mod 16, so that neighbours write beside each other.
#define DRAWING(map, T, name)                                                                                          \
  extern "C" __global__ void map##_##name(const T *x, const T *g, T *y, Index n, Draws<T> by) {                        \
    Index from = by.first / 64 * 16, until = (by.first + n + 63) / 64 * 16, every = (Index)gridDim.x * blockDim.x;     \
    for (Index c = from + (Index)blockIdx.x * blockDim.x + threadIdx.x; c < until; c += every) {                       \
      unsigned w[4] = {(unsigned)c, (unsigned)(c >> 32), by.words[2], by.words[3]};                                    \
      float z[4];                                                                                                      \
      philox(w, by.words[0], by.words[1]);                                                                             \
      pair(w[0], w[1], z, z + 1), pair(w[2], w[3], z + 2, z + 3);                                                      \
      for (int j = 0; j < 4; ++j) {                                                                                    \
        Index i = c / 16 * 64 + c % 16 + 16 * j - by.first;                                                            \
        if (i < n) map<T>(x, g, y, i, n, z[j], w[j], by);                                                              \
      }                                                                                                                \
    }                                                                                                                  \
  }
#define DRAWINGS(map) DRAWING(map, float, f32) DRAWING(map, double, f64)

DRAWINGS(langevin)
DRAWINGS(normal)
DRAWING(metropolis, double, f64)
DRAWINGS(dropout)
