// Adam in one pass over values, gradients and both moments, and the norms that clipping needs.
#include "common.cuh"

__device__ inline bool all_zero(Quad quad) {
    return quad.at[0] == 0.0f && quad.at[1] == 0.0f && quad.at[2] == 0.0f && quad.at[3] == 0.0f;
}

// One run of parameters of every member (blockIdx.y); scale [K] multiplies the gradients, and `rounded`,
// which may be absent, holds the values in bfloat16.
extern "C" __global__ void adam_step(float* values, u16* rounded, const float* grads, float* first,
    float* second, const float* scale, u64 offset, u64 len, u64 stride, float shrink, float decay, float towards,
    float beta2, float fresh, float root_correction, float eps, float rate, u32 leaves_rest) {
    u64 start = blockIdx.y * stride + offset;
    float by = scale[blockIdx.y];
    EACH(quad, (len + 3) / 4) {
        u64 at = start + 4 * quad;
        u32 count = count_of(len, quad);
        Quad grad = load(grads + at, count), m = load(first + at, count), v = load(second + at, count);
        // words that no batch has had yet: a quarter of BERT's parameters is its table of words
        if (leaves_rest && all_zero(grad) && all_zero(m) && all_zero(v)) continue;
        Quad value = load(values + at, count);
        for (u32 i = 0; i < 4; i++) {
            value.at[i] *= shrink;
            float g = grad.at[i] * by + decay * value.at[i];
            m.at[i] += (g - m.at[i]) * towards;
            v.at[i] = v.at[i] * beta2 + fresh * g * g;
            value.at[i] -= rate * (m.at[i] / (sqrtf(v.at[i]) / root_correction + eps));
        }
        store(first + at, m, count);
        store(second + at, v, count);
        store(values + at, value, count);
        if (rounded) store_rounded(rounded + at, value, count);
    }
}

// partial [K, parts]: the sum of squares of a run's numbers that this block takes, at `first_part` on.
extern "C" __global__ void square_sums(const float* x, u64 offset, u64 len, u64 stride, double* partial,
    u32 parts, u32 first_part) {
    const float* from = x + blockIdx.y * stride + offset;
    double sum = 0.0;
    EACH(quad, (len + 3) / 4) {
        Quad numbers = load(from + 4 * quad, count_of(len, quad));
        for (u32 i = 0; i < 4; i++) sum += (double)numbers.at[i] * (double)numbers.at[i];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[(u64)blockIdx.y * parts + first_part + blockIdx.x] = sum;
}
