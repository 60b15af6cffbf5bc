// Cross entropy with its gradient, in f64 as on the CPU.
#include "common.cuh"

#define IGNORE 0xffffffffu

// log of the sum of e^x over `count` numbers `step` apart of which the counted ones take part; NaN if
// one of them is not finite. One warp.
__device__ inline double log_sum_exp(const float* x, u32 step, const u32* counted, u32 count) {
    u32 lane = threadIdx.x % WARP, bad = 0;
    float largest = -INFINITY;
    for (u32 i = lane; i < count; i += WARP)
        if (!counted || counted[i]) {
            float value = x[(u64)i * step];
            bad |= !isfinite(value);
            largest = fmaxf(largest, value);
        }
    bad = warp_or(bad);
    double top = (double)warp_max(largest), sum = 0.0;
    for (u32 i = lane; i < count; i += WARP)
        if (!counted || counted[i]) sum += exp((double)x[(u64)i * step] - top);
    sum = warp_sum(sum);
    return bad ? (double)NAN : top + log(sum);
}

// One warp an example of every member; `rows` is K times examples. losses [K, examples].
extern "C" __global__ void cross_entropy(const float* logits, const u32* targets, double smoothing,
    double weight, double* losses, float* dlogits, u32 examples, u32 classes, u32 rows) {
    u32 row = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (row >= rows) return;
    logits += (u64)row * classes;
    dlogits += (u64)row * classes;
    u32 target = targets[row % examples];
    if (target == IGNORE) {
        for (u32 i = lane; i < classes; i += WARP) dlogits[i] = 0.0f;
        if (lane == 0) losses[row] = 0.0;
        return;
    }
    double log_sum = log_sum_exp(logits, 1, 0, classes), smooth = 0.0;
    for (u32 i = lane; i < classes; i += WARP) {
        double log_probability = (double)logits[i] - log_sum;
        smooth -= log_probability / (double)classes;
        double wanted = smoothing / (double)classes + (i == target ? 1.0 - smoothing : 0.0);
        dlogits[i] = (float)(weight * (exp(log_probability) - wanted));
    }
    smooth = warp_sum(smooth);
    if (lane == 0)
        losses[row] = (1.0 - smoothing) * (log_sum - (double)logits[target]) + smoothing * smooth;
}

// One warp an end of an example's answer; logits [K, rows, 2], targets [examples, 2] count from their
// segment's first row, losses [K, examples, 2], `ends` is K times examples times 2. dlogits is zero.
extern "C" __global__ void span_cross_entropy(const float* logits, const u32* offsets, const u32* counted,
    const u32* targets, double weight, double* losses, float* dlogits, u32 rows, u32 examples, u32 ends) {
    u32 index = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP, lane = threadIdx.x % WARP;
    if (index >= ends) return;
    u32 end = index % 2, example = index / 2 % examples, member = index / 2 / examples;
    u32 first = offsets[example], count = offsets[example + 1] - first, target = targets[2 * example + end];
    u64 start = ((u64)member * rows + first) * 2 + end;
    const u32* here = counted ? counted + first : 0;
    double log_sum = log_sum_exp(logits + start, 2, here, count);
    if (here && !here[target]) log_sum = (double)NAN;
    for (u32 i = lane; i < count; i += WARP)
        if (!here || here[i]) {
            double probability = exp((double)logits[start + (u64)i * 2] - log_sum);
            dlogits[start + (u64)i * 2] = (float)(weight * (probability - (i == target ? 1.0 : 0.0)));
        }
    if (lane == 0) losses[index] = log_sum - (double)logits[start + (u64)target * 2];
}

// results [K] = weight times the sum of a member's numbers [K, count]; one block a member.
extern "C" __global__ void weighted_sum(const double* numbers, double weight, double* results, u32 count) {
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < count; i += blockDim.x) sum += numbers[(u64)blockIdx.x * count + i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) results[blockIdx.x] = sum * weight;
}
