// The part of CUDA C++ that the kernels use, for a host compiler. A block's threads are fibres that run
// until a barrier; blocks run one after another, so `__shared__` is static memory. The order of the
// fibres changes from one barrier to the next: a barrier that is missing shows as a wrong number.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <utility>

using std::isfinite;

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)

struct float4 {
    float x, y, z, w;
};
struct uint2 {
    unsigned x, y;
};

struct Index {
    unsigned x, y, z;
};
extern Index threadIdx, blockIdx, blockDim, gridDim;

namespace emulated {
void block_barrier();
void warp_barrier();
// Eight bytes for each thread of the block, and the number of the one that runs.
extern uint64_t exchanged[1024];
unsigned thread();
using Call = void (*)(const void *function, void **arguments);
void announce(const char *name, const void *function, Call call);

template <class... A, size_t... I>
void call(void (*function)(A...), void **arguments, std::index_sequence<I...>) {
    function(*(A *)arguments[I]...);
}

template <class... A>
struct Kernel {
    Kernel(const char *name, void (*function)(A...)) {
        announce(name, (const void *)function, [](const void *f, void **arguments) {
            call((void (*)(A...))f, arguments, std::index_sequence_for<A...>());
        });
    }
};
} // namespace emulated

#define __syncthreads emulated::block_barrier

template <class T>
T __shfl_xor_sync(unsigned, T value, unsigned offset) {
    static_assert(sizeof(T) <= 8, "a shuffle exchanges eight bytes");
    std::memcpy(&emulated::exchanged[emulated::thread()], &value, sizeof(T));
    emulated::warp_barrier();
    std::memcpy(&value, &emulated::exchanged[emulated::thread() ^ offset], sizeof(T));
    emulated::warp_barrier();
    return value;
}

static inline float __int_as_float(int bits) {
    float number;
    std::memcpy(&number, &bits, 4);
    return number;
}

static inline int __float_as_int(float number) {
    int bits;
    std::memcpy(&bits, &number, 4);
    return bits;
}
