// Counts what a program asks of CUDA's driver, of cuBLAS and of cuDNN, and says so at its end on standard error:
//
//   LD_PRELOAD=count.so program
//
// What these libraries launch by themselves is not seen. All arguments are numbers and places, of which a call has at most
// twenty; those that it has not are passed on too, and nobody reads them.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>

static unsigned long long launches, libraries, copies, waits;

#define COUNTED(name, count)                                                                                              \
  int name(long a, long b, long c, long d, long e, long f, long g, long h, long i, long j, long k, long l, long m, long n, \
           long o, long p, long q, long r, long s, long t) {                                                              \
    static int (*next)(long, long, long, long, long, long, long, long, long, long, long, long, long, long, long, long,    \
                       long, long, long, long);                                                                           \
    if (!next) *(void **)&next = dlsym(RTLD_NEXT, #name);                                                                 \
    ++count;                                                                                                              \
    return next ? next(a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p, q, r, s, t) : 1;                                   \
  }

COUNTED(cuLaunchKernel, launches)
COUNTED(cuGraphLaunch, launches)
COUNTED(cublasGemmEx, libraries)
COUNTED(cublasGemmStridedBatchedEx, libraries)
COUNTED(cublasSgemmStridedBatched, libraries)
COUNTED(cublasDgemmStridedBatched, libraries)
COUNTED(cudnnConvolutionForward, libraries)
COUNTED(cudnnConvolutionBackwardData, libraries)
COUNTED(cudnnConvolutionBackwardFilter, libraries)
COUNTED(cuMemcpyDtoHAsync_v2, copies)
COUNTED(cuStreamSynchronize, waits)
COUNTED(cuCtxSynchronize, waits)

__attribute__((destructor)) static void said(void) {
  fprintf(stderr, "counted launches %llu\ncounted calls of libraries %llu\n", launches, libraries);
  fprintf(stderr, "counted copies to the host %llu\ncounted waits %llu\n", copies, waits);
}
