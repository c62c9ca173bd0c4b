// What convolutions of bf16 make, as f32 and with their bias. The CPU has no bf16; a test compiles it as C++.

typedef unsigned long long Index;

// y, n entries: those of x, whose channels of `plane` entries follow one another in turn, and on the first `biased` of them
// the number of their channel.
extern "C" __global__ void widen(const unsigned short *x, const float *bias, float *y, Index n, Index biased, Index plane,
                                 Index channels) {
  Index every = (Index)gridDim.x * blockDim.x;
  for (Index i = (Index)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += every) {
    union {
      unsigned word;
      float value;
    } wide;
    wide.word = (unsigned)x[i] << 16; // a bf16 is the first half of an f32
    y[i] = i < biased ? wide.value + bias[i / plane % channels] : wide.value;
  }
}
