// What all kernels share. They compile with nvcc, and with a host compiler through
// bench/cuda/emulate/emulated.h, which runs the threads of a block as fibres.
//
// Products and sums are not contracted (nvcc --fmad=false), so that elementwise results are those of
// the CPU; sums over rows and columns are in f64, as there. No kernel uses atomic additions: every
// result depends on sizes only.
#pragma once
#ifdef PIFI_EMULATED
#include "emulated.h"
#endif

typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

#define WARP 32u
#define ALL_LANES 0xffffffffu

// Every i below n, spread over the grid.
#define EACH(i, n) \
    for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < (n); i += gridDim.x * (u64)blockDim.x)

__device__ inline double warp_sum(double value) {
    for (u32 offset = WARP / 2; offset; offset /= 2) value += __shfl_xor_sync(ALL_LANES, value, offset);
    return value;
}

__device__ inline float warp_max(float value) {
    // fmaxf passes over NaN, as the CPU's maximum does
    for (u32 offset = WARP / 2; offset; offset /= 2)
        value = fmaxf(value, __shfl_xor_sync(ALL_LANES, value, offset));
    return value;
}

__device__ inline u32 warp_or(u32 value) {
    for (u32 offset = WARP / 2; offset; offset /= 2) value |= __shfl_xor_sync(ALL_LANES, value, offset);
    return value;
}

// The sum over a block of whole warps, the same in every thread.
__device__ inline double block_sum(double value) {
    __shared__ double parts[32];
    value = warp_sum(value);
    if (threadIdx.x % WARP == 0) parts[threadIdx.x / WARP] = value;
    __syncthreads();
    value = 0.0;
    for (u32 warp = 0; warp < blockDim.x / WARP; warp++) value += parts[warp];
    __syncthreads();
    return value;
}

// The sum of `value` over threadIdx.y, in the threads of row 0; at most 512 threads.
__device__ inline double sum_over_y(double value) {
    __shared__ double parts[512];
    if (blockDim.y == 1) return value;
    parts[threadIdx.y * blockDim.x + threadIdx.x] = value;
    __syncthreads();
    value = 0.0;
    if (threadIdx.y == 0)
        for (u32 y = 0; y < blockDim.y; y++) value += parts[y * blockDim.x + threadIdx.x];
    __syncthreads();
    return value;
}

__device__ inline void put(float* to, float value, u32 accumulate) {
    *to = accumulate ? *to + value : value;
}

// Four neighbouring numbers, or the last ones of a row: one access where they begin at 16 bytes.
struct Quad {
    float at[4];
};

__device__ inline Quad load(const float* from, u32 count) {
    if (count == 4 && (u64)from % 16 == 0) {
        float4 numbers = *(const float4*)from;
        return Quad{{numbers.x, numbers.y, numbers.z, numbers.w}};
    }
    Quad quad = {{0.0f, 0.0f, 0.0f, 0.0f}};
    // places known to the compiler stay in registers
    for (u32 i = 0; i < 4; i++)
        if (i < count) quad.at[i] = from[i];
    return quad;
}

__device__ inline void store(float* to, Quad quad, u32 count) {
    if (count == 4 && (u64)to % 16 == 0) {
        *(float4*)to = float4{quad.at[0], quad.at[1], quad.at[2], quad.at[3]};
        return;
    }
    for (u32 i = 0; i < 4; i++)
        if (i < count) to[i] = quad.at[i];
}

// The bits of the bfloat16 nearest to a number, ties to even; a NaN stays one.
__device__ inline u32 bfloat16_bits(float x) {
    u32 bits = (u32)__float_as_int(x);
    return x != x ? bits >> 16 | 0x40u : (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

// A number rounded to bfloat16.
__device__ inline float to_bfloat16(float x) {
    return __int_as_float((int)(bfloat16_bits(x) << 16));
}

// The same as [store], rounded to bfloat16.
__device__ inline void store_rounded(u16* to, Quad quad, u32 count) {
    if (count == 4 && (u64)to % 8 == 0) {
        u32 low = bfloat16_bits(quad.at[0]) | bfloat16_bits(quad.at[1]) << 16;
        u32 high = bfloat16_bits(quad.at[2]) | bfloat16_bits(quad.at[3]) << 16;
        *(uint2*)to = uint2{low, high};
        return;
    }
    for (u32 i = 0; i < 4; i++)
        if (i < count) to[i] = (u16)bfloat16_bits(quad.at[i]);
}

// How many of `len` numbers stand in this quad.
__device__ inline u32 count_of(u64 len, u64 quad) {
    u64 left = len - 4 * quad;
    return left < 4 ? (u32)left : 4;
}

struct Words {
    u32 at[4];
};

// Philox4x32-10 (Salmon et al. 2011), as in seed.rs.
__device__ inline Words philox(u32 c0, u32 c1, u32 c2, u32 c3, u32 k0, u32 k1) {
    for (int round = 0; round < 10; round++) {
        u64 a = 0xD2511F53ull * c0, b = 0xCD9E8D57ull * c2;
        u32 n0 = (u32)(b >> 32) ^ c1 ^ k0, n2 = (u32)(a >> 32) ^ c3 ^ k1;
        c1 = (u32)b;
        c3 = (u32)a;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return Words{{c0, c1, c2, c3}};
}

// What one channel of a quad is multiplied by: 0 or 1 / (1 - probability).
__device__ inline float dropout_factor(u32 word, float probability, float scale) {
    return (float)(word >> 8) / 16777216.0f >= probability ? scale : 0.0f;
}
