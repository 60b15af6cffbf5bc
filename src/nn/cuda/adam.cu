// Adam in one pass over values, gradients and both moments, and the norms that clipping needs.
#include "common.cuh"

// One run of parameters of every member (blockIdx.y); scale [K] multiplies the gradients.
extern "C" __global__ void adam_step(float* values, const float* grads, float* first, float* second,
    const float* scale, u64 offset, u64 len, u64 stride, float shrink, float decay, float towards,
    float beta2, float fresh, float root_correction, float eps, float rate) {
    u64 start = blockIdx.y * stride + offset;
    float by = scale[blockIdx.y];
    EACH(i, len) {
        u64 at = start + i;
        float value = values[at] * shrink;
        float grad = grads[at] * by + decay * value;
        float m = first[at], v = second[at];
        m += (grad - m) * towards;
        v = v * beta2 + fresh * grad * grad;
        first[at] = m;
        second[at] = v;
        values[at] = value - rate * (m / (sqrtf(v) / root_correction + eps));
    }
}

// partial [K, parts]: the sum of squares of a run's numbers that this block takes, at `first_part` on.
extern "C" __global__ void square_sums(const float* x, u64 offset, u64 len, u64 stride, double* partial,
    u32 parts, u32 first_part) {
    const float* from = x + blockIdx.y * stride + offset;
    double sum = 0.0;
    EACH(i, len) sum += (double)from[i] * (double)from[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) partial[(u64)blockIdx.y * parts + first_part + blockIdx.x] = sum;
}
