// LayerNorm and RMSNorm, and sums over rows: gradients of norm weights and of biases.
#include "common.cuh"

// Kinds in the order of the enum `Kind`: LayerNorm, RMSNorm, RMSNorm with 1 + w.
__device__ inline float weight_offset(u32 kind) {
    return kind == 2 ? 1.0f : 0.0f;
}

// One block a row of x [K, rows, width]; weights of a member start `stride` numbers apart. `rounded`, here
// and elsewhere, is y in bfloat16, and may be absent.
extern "C" __global__ void norm_forward(u32 kind, double eps, const float* x, const float* weight,
    u64 weight_stride, const float* bias, u64 bias_stride, float* y, u16* rounded, float* means,
    float* inverses, u32 rows, u32 width) {
    u32 row = blockIdx.x, member = row / rows;
    x += (u64)row * width;
    y += (u64)row * width;
    weight += member * weight_stride;
    double mean = 0.0;
    if (kind == 0) {
        double sum = 0.0;
        for (u32 i = threadIdx.x; i < width; i += blockDim.x) sum += (double)x[i];
        mean = block_sum(sum) / (double)width;
    }
    double squares = 0.0;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        double from_mean = (double)x[i] - mean;
        squares += from_mean * from_mean;
    }
    double variance = block_sum(squares) / (double)width;
    float m = (float)mean, inverse = (float)(1.0 / sqrt(variance + eps));
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        float value = (x[i] - m) * inverse * (weight_offset(kind) + weight[i]);
        if (bias) value += bias[member * bias_stride + i];
        y[i] = value;
        if (rounded) rounded[(u64)row * width + i] = (u16)bfloat16_bits(value);
    }
    if (threadIdx.x == 0) {
        means[row] = m;
        inverses[row] = inverse;
    }
}

extern "C" __global__ void norm_backward(u32 kind, const float* x, const float* weight, u64 weight_stride,
    const float* means, const float* inverses, const float* dy, float* dx, u32 rows, u32 width,
    u32 accumulate) {
    u32 row = blockIdx.x;
    x += (u64)row * width;
    dy += (u64)row * width;
    dx += (u64)row * width;
    weight += row / rows * weight_stride;
    float mean = means[row], inverse = inverses[row];
    double sum = 0.0, sum_with_x = 0.0;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        float g = dy[i] * (weight_offset(kind) + weight[i]);
        sum += (double)g;
        sum_with_x += (double)(g * ((x[i] - mean) * inverse));
    }
    float of_g = kind == 0 ? (float)(block_sum(sum) / (double)width) : 0.0f;
    float of_g_with_x = (float)(block_sum(sum_with_x) / (double)width);
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) {
        float g = dy[i] * (weight_offset(kind) + weight[i]);
        float gradient = (g - of_g - (x[i] - mean) * inverse * of_g_with_x) * inverse;
        dx[i] = accumulate ? dx[i] + gradient : gradient;
    }
}

// Gradients of weight and bias; either may be absent, and each is added to what stands there or replaces
// it. A block sums 32 columns of one member.
extern "C" __global__ void norm_weights(const float* x, const float* means, const float* inverses,
    const float* dy, float* dweight, u64 dweight_stride, u32 add_to_weight, float* dbias, u64 dbias_stride,
    u32 add_to_bias, u32 rows, u32 width) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x, member = blockIdx.y;
    double of_weight = 0.0, of_bias = 0.0;
    if (column < width)
        for (u32 row = threadIdx.y; row < rows; row += blockDim.y) {
            u64 place = (u64)member * rows + row, at = place * width + column;
            float d = dy[at];
            of_weight += (double)(d * ((x[at] - means[place]) * inverses[place]));
            of_bias += (double)d;
        }
    of_weight = sum_over_y(of_weight);
    of_bias = sum_over_y(of_bias);
    if (threadIdx.y == 0 && column < width) {
        if (dweight) put(dweight + member * dweight_stride + column, (float)of_weight, add_to_weight);
        if (dbias) put(dbias + member * dbias_stride + column, (float)of_bias, add_to_bias);
    }
}

// sums [K, width] = the sum over the rows of x [K, rows, width], or += that.
extern "C" __global__ void column_sums(const float* x, float* sums, u64 stride, u32 rows, u32 width,
    u32 accumulate) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x, member = blockIdx.y;
    double total = 0.0;
    if (column < width)
        for (u32 row = threadIdx.y; row < rows; row += blockDim.y)
            total += (double)x[((u64)member * rows + row) * width + column];
    total = sum_over_y(total);
    if (threadIdx.y == 0 && column < width) put(sums + member * stride + column, (float)total, accumulate);
}
