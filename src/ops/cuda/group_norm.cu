// Group norm and its derivatives: the twin of cpu/group_norm.rs. Some threads, its lanes, share a group; each leaves the
// moments of every so many-th of its numbers, and whoever needs those of the group adds all lanes in their order. So there
// is nothing here but arithmetic and the place of a thread, and a test compiles it as C++.

typedef unsigned long long Index;

// How tensors [items, groups * channels, each] are divided, or [items, each, groups * channels] where `last` is not 0.
struct Groups {
  unsigned items, groups, channels, each;
  // Threads that share a group; and where numbers of a channel are summed, those that share its items, and an item's
  // numbers.
  unsigned lanes, blocks, across;
  unsigned last;
  double epsilon;
};

// What a lane, or all of them, know of a group: the mean of x, the sum of its squares from there; the sum of t, and that of
// t times x from the mean.
template <class T> struct Moments {
  T mean, spread, sum, along;
};

// What kernels are given: tensors, or null for those they do not read.
template <class T> struct Given {
  const T *x, *t, *gain, *shift;
  Moments<T> *lanes;
  T *y;
  Groups of;

  __device__ __forceinline__ unsigned size() const { return of.channels * of.each; }

  // The numbers of a lane.
  __device__ __forceinline__ unsigned held(unsigned lane) const {
    return size() / of.lanes + (lane < size() % of.lanes ? 1 : 0);
  }

  // The channel of number j of a group, in its item. Numbers that follow each other in memory do so in a group, as far as
  // it goes.
  __device__ __forceinline__ unsigned channel(Index group, unsigned j) const {
    return (unsigned)(group % of.groups) * of.channels + (of.last ? j % of.channels : j / of.each);
  }

  // The place of number `pixel` of a channel of an item.
  __device__ __forceinline__ Index place(Index item, unsigned channel, unsigned pixel) const {
    Index all = of.groups * of.channels;
    return of.last ? (item * of.each + pixel) * all + channel : (item * all + channel) * of.each + pixel;
  }

  // The place of number j of a group.
  __device__ __forceinline__ Index at(Index group, unsigned j) const {
    return of.last ? place(group / of.groups, channel(group, j), j / of.channels) : group * size() + j;
  }

  // Number j of t of a group, times its γ where there is one; 0 where there is no t.
  __device__ __forceinline__ T tangent(Index group, unsigned j) const {
    if (!t) return (T)0;
    T one = t[at(group, j)];
    return gain ? gain[channel(group, j)] * one : one;
  }

  // The moments of a group; `spread` is 1/√(variance + ε) here.
  __device__ __forceinline__ Moments<T> whole(Index group) const {
    const Moments<T> *at = lanes + group * of.lanes;
    Moments<T> all = {0, 0, 0, 0};
    for (unsigned lane = 0; lane < of.lanes; ++lane) all.mean += (T)held(lane) * at[lane].mean;
    all.mean /= (T)size();
    for (unsigned lane = 0; lane < of.lanes; ++lane) {
      T off = at[lane].mean - all.mean;
      all.spread += at[lane].spread + (T)held(lane) * off * off;
      all.sum += at[lane].sum;
      all.along += at[lane].along + off * at[lane].sum;
    }
    all.spread = (T)1 / sqrt(all.spread / (T)size() + (T)of.epsilon);
    return all;
  }
};

// What lane i of all leaves.
template <class T> __device__ __forceinline__ void moments(const Given<T> &e, Index i) {
  Index group = i / e.of.lanes;
  unsigned lane = (unsigned)(i % e.of.lanes);
  Moments<T> own = {0, 0, 0, 0};
  for (unsigned j = lane; j < e.size(); j += e.of.lanes) own.mean += e.x[e.at(group, j)];
  own.mean /= (T)e.held(lane);
  for (unsigned j = lane; j < e.size(); j += e.of.lanes) {
    T off = e.x[e.at(group, j)] - own.mean, t = e.tangent(group, j);
    own.spread += off * off;
    own.sum += t;
    own.along += t * off;
  }
  e.lanes[i] = own;
}

// y = γ∘x̂ + β at the numbers of lane i.
template <class T> __device__ __forceinline__ void normalise(const Given<T> &e, Index i) {
  Index group = i / e.of.lanes;
  Moments<T> all = e.whole(group);
  for (unsigned j = (unsigned)(i % e.of.lanes); j < e.size(); j += e.of.lanes) {
    unsigned c = e.channel(group, j);
    Index at = e.at(group, j);
    e.y[at] = (e.x[at] - all.mean) * all.spread * e.gain[c] + e.shift[c];
  }
}

// y = J t, or J (γ∘t), at the numbers of lane i.
template <class T> __device__ __forceinline__ void jacobian(const Given<T> &e, Index i) {
  Index group = i / e.of.lanes;
  Moments<T> all = e.whole(group);
  T rate = all.spread, level = all.sum / (T)e.size(), along = all.along * rate * rate / (T)e.size();
  for (unsigned j = (unsigned)(i % e.of.lanes); j < e.size(); j += e.of.lanes) {
    Index at = e.at(group, j);
    e.y[at] = rate * (e.tangent(group, j) - level - (e.x[at] - all.mean) * along);
  }
}

// y = [Σ t∘x̂; Σ t] of a channel over every `blocks`-th item, and in it over every `across`-th number: [2, groups * channels]
// for each part.
template <class T> __device__ __forceinline__ void channel_parts(const Given<T> &e, Index i) {
  unsigned all = e.of.groups * e.of.channels;
  // Threads beside each other read numbers beside each other, as far as there are some.
  unsigned inner = e.of.last ? all : e.of.across, outer = e.of.last ? e.of.across : all;
  unsigned own = (unsigned)(i % inner), other = (unsigned)(i / inner % outer);
  unsigned from = e.of.last ? other : own, c = e.of.last ? own : other;
  unsigned block = (unsigned)(i / e.of.across / all);
  T along = 0, plain = 0;
  for (unsigned item = block; item < e.of.items; item += e.of.blocks) {
    Moments<T> group = e.whole((Index)item * e.of.groups + c / e.of.channels);
    const Index row = e.place(item, c, 0), step = e.of.last ? all : 1;
    T product = 0, sum = 0;
    for (unsigned j = from; j < e.of.each; j += e.of.across) {
      const Index at = row + j * step;
      product += (e.x[at] - group.mean) * e.t[at];
      sum += e.t[at];
    }
    along += product * group.spread;
    plain += sum;
  }
  T *y = e.y + ((Index)block * e.of.across + from) * 2 * all;
  y[c] = along, y[all + c] = plain;
}

// y = the sum of all parts x of [Σ t∘x̂; Σ t].
template <class T> __device__ __forceinline__ void channel_sums(const Given<T> &e, Index i) {
  unsigned all = 2 * e.of.groups * e.of.channels;
  T sum = 0;
  for (unsigned part = 0; part < e.of.blocks * e.of.across; ++part) sum += e.x[(Index)part * all + i];
  e.y[i] = sum;
}

// All kernels take the same; n is the number of tasks.
#define GROUPED(map, T, name)                                                                                          \
  extern "C" __global__ void map##_##name(const T *x, const T *t, const T *gain, const T *shift, Moments<T> *lanes,    \
                                          T *y, Index n, Groups of) {                                                  \
    Given<T> e = {x, t, gain, shift, lanes, y, of};                                                                    \
    Index every = (Index)gridDim.x * blockDim.x;                                                                       \
    for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += every) map<T>(e, i);                      \
  }
#define BOTH(map) GROUPED(map, float, f32) GROUPED(map, double, f64)

BOTH(moments)
BOTH(normalise)
BOTH(jacobian)
BOTH(channel_parts)
BOTH(channel_sums)
