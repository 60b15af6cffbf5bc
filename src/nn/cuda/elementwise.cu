// Sums, multiples and copies of activations, and the activations themselves.
#include "common.cuh"

extern "C" __global__ void fill(float* y, float value, u64 n) {
    EACH(i, n) y[i] = value;
}

// f32 rounded to bfloat16.
extern "C" __global__ void narrow(const float* x, u16* y, u64 n) {
    EACH(quad, (n + 3) / 4) {
        u32 count = count_of(n, quad);
        store_rounded(y + 4 * quad, load(x + 4 * quad, count), count);
    }
}

extern "C" __global__ void residual_add(const float* x, float* y, u64 n) {
    EACH(i, n) y[i] += x[i];
}

extern "C" __global__ void residual_sum(const float* a, const float* b, float* y, u64 n) {
    EACH(i, n) y[i] = a[i] + b[i];
}

extern "C" __global__ void residual_scaled(const float* x, float factor, float* y, u64 n) {
    EACH(i, n) y[i] = factor * x[i];
}

extern "C" __global__ void residual_add_scaled(const float* x, float factor, float* y, u64 n) {
    EACH(i, n) y[i] += factor * x[i];
}

// Sets the marked rows of x [K, rows, width] to zero; `total` is K times rows.
extern "C" __global__ void zero_rows(float* x, const u32* zero, u32 rows, u32 total, u32 width) {
    for (u32 row = blockIdx.y; row < total; row += gridDim.y)
        if (zero[row % rows])
            for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
                x[(u64)row * width + i] = 0.0f;
}

// Every row of y [K, rows, width] becomes its member's bias.
extern "C" __global__ void fill_rows(
    float* y, const float* bias, u64 stride, u32 rows, u32 total, u32 width) {
    for (u32 row = blockIdx.y; row < total; row += gridDim.y) {
        const float* from = bias + row / rows * stride;
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
            y[(u64)row * width + i] = from[i];
    }
}

// y [K, n] is x [n] for every member.
extern "C" __global__ void repeat_members(const float* x, float* y, u32 members, u64 n) {
    EACH(i, n) for (u32 member = 0; member < members; member++) y[member * n + i] = x[i];
}

// Every head of values is handed to the `group` heads of queries that it serves; n numbers of out.
extern "C" __global__ void repeat_heads(const float* values, float* out, u32 group, u32 width, u64 n) {
    EACH(i, n) out[i] = values[i / ((u64)group * width) * width + i % width];
}

// The derivative of repeat_heads; n numbers of dvalues.
extern "C" __global__ void reduce_heads(const float* dout, float* dvalues, u32 group, u32 width, u64 n) {
    EACH(i, n) {
        const float* from = dout + i / width * group * width + i % width;
        float sum = from[0];
        for (u32 head = 1; head < group; head++) sum += from[(u64)head * width];
        dvalues[i] = sum;
    }
}

struct ValueAndSlope {
    float value, slope;
};

__device__ inline float power_of_two(int n) {
    return __int_as_float((int)((u32)(n + 127) << 23));
}

// Exponential, sigmoid and normal distribution as in elementary.rs, term by term.
__device__ inline float exponential(float x) {
    const float rounding = 12582912.0f;
    // NaN stays
    float bounded = x < -104.0f ? -104.0f : (x > 89.0f ? 89.0f : x);
    float shifted = bounded * 1.44269504088896340736f + rounding;
    float n = shifted - rounding;
    float r = bounded - n * 0.6933594f - n * -2.1219444e-4f;
    float series = (float)(1.0f / 5040.0f);
    series = series * r + 1.0f / 720.0f;
    series = series * r + 1.0f / 120.0f;
    series = series * r + 1.0f / 24.0f;
    series = series * r + 1.0f / 6.0f;
    series = series * r + 0.5f;
    series = series * r + 1.0f;
    series = series * r + 1.0f;
    int power = (int)((u32)__float_as_int(shifted) - (u32)__float_as_int(rounding));
    int half = power >> 1;
    return series * power_of_two(half) * power_of_two((int)((u32)power - (u32)half));
}

__device__ inline float sigmoid(float x) {
    return 1.0f / (1.0f + exponential(-x));
}

__device__ inline ValueAndSlope gelu(float x) {
    const float tail_terms[11] = {-4.976689e-5f, 3.4635203e-5f, 4.5269393e-4f, -4.177686e-4f,
        -3.1789858e-3f, 6.465234e-3f, 1.740606e-2f, -0.11604904f, 0.31542507f, -0.5655619f, 0.74441606f};
    float z = fabsf(x);
    float decay = exponential(-0.5f * z * z);
    float reciprocal = 1.0f / (z + 3.5f);
    float u = (z - 3.5f) * reciprocal;
    float polynomial = tail_terms[0];
    for (int i = 1; i < 11; i++) polynomial = polynomial * u + tail_terms[i];
    float tail = decay * polynomial * reciprocal;
    float cumulative = x < 0.0f ? tail : 1.0f - tail;
    float density = decay * 0.3989423f;
    return ValueAndSlope{x * cumulative, cumulative + x * density};
}

__device__ inline ValueAndSlope gelu_tanh(float x) {
    const float twice_root = 1.5957692f, cubic = 0.044715f;
    float gate = sigmoid(twice_root * (x + cubic * x * x * x));
    float near = x < -10.0f ? -10.0f : (x > 10.0f ? 10.0f : x);
    float slope = twice_root * (1.0f + 3.0f * cubic * near * near);
    return ValueAndSlope{x * gate, gate + near * gate * (1.0f - gate) * slope};
}

__device__ inline ValueAndSlope silu(float x) {
    float gate = sigmoid(x);
    return ValueAndSlope{x * gate, gate + x * gate * (1.0f - gate)};
}

// Kinds in the order of the enum `Activation`.
__device__ inline ValueAndSlope activate(u32 kind, float x) {
    switch (kind) {
        case 0: return x <= 0.0f ? ValueAndSlope{0.0f, 0.0f} : ValueAndSlope{x, 1.0f};
        case 1: return gelu(x);
        case 2: return gelu_tanh(x);
        default: return silu(x);
    }
}

// The input of an activation: four channels of row `row` of x, with their bias, if there is one.
__device__ inline Quad biased(const float* x, const float* bias, u64 bias_stride, u32 row, u32 rows, u32 width,
    u32 channel, u32 count) {
    Quad value = load(x + (u64)row * width + channel, count);
    if (bias) {
        Quad by = load(bias + row / rows * bias_stride + channel, count);
        for (u32 i = 0; i < 4; i++) value.at[i] += by.at[i];
    }
    return value;
}

// y [K, rows, width] = a(x + bias); bias may be absent, as may y's bfloat16. `total` is K times rows.
extern "C" __global__ void activation_forward(u32 kind, const float* x, const float* bias, u64 bias_stride,
    float* y, u16* rounded, u32 rows, u32 total, u32 width) {
    for (u32 row = blockIdx.y; row < total; row += gridDim.y)
        for (u32 channel = 4 * (blockIdx.x * blockDim.x + threadIdx.x); channel < width;
             channel += 4 * gridDim.x * blockDim.x) {
            u32 count = width - channel < 4 ? width - channel : 4;
            Quad value = biased(x, bias, bias_stride, row, rows, width, channel, count);
            for (u32 i = 0; i < 4; i++) value.at[i] = activate(kind, value.at[i]).value;
            store(y + (u64)row * width + channel, value, count);
            if (rounded) store_rounded(rounded + (u64)row * width + channel, value, count);
        }
}

extern "C" __global__ void activation_backward(u32 kind, const float* x, const float* bias, u64 bias_stride,
    const float* dy, float* dx, u16* rounded, u32 rows, u32 total, u32 width) {
    for (u32 row = blockIdx.y; row < total; row += gridDim.y)
        for (u32 channel = 4 * (blockIdx.x * blockDim.x + threadIdx.x); channel < width;
             channel += 4 * gridDim.x * blockDim.x) {
            u32 count = width - channel < 4 ? width - channel : 4;
            Quad value = biased(x, bias, bias_stride, row, rows, width, channel, count);
            Quad gradient = load(dy + (u64)row * width + channel, count);
            for (u32 i = 0; i < 4; i++) gradient.at[i] *= activate(kind, value.at[i]).slope;
            store(dx + (u64)row * width + channel, gradient, count);
            if (rounded) store_rounded(rounded + (u64)row * width + channel, gradient, count);
        }
}

extern "C" __global__ void gated_forward(
    u32 kind, const float* gate, const float* up, float* y, u16* rounded, u64 n) {
    EACH(i, n) {
        float value = activate(kind, gate[i]).value * up[i];
        y[i] = value;
        if (rounded) rounded[i] = (u16)bfloat16_bits(value);
    }
}

extern "C" __global__ void gated_backward(u32 kind, const float* gate, const float* up, const float* dy,
    float* dgate, u16* rounded_dgate, float* dup, u16* rounded_dup, u64 n) {
    EACH(i, n) {
        ValueAndSlope at = activate(kind, gate[i]);
        float of_gate = dy[i] * up[i] * at.slope, of_up = dy[i] * at.value;
        dgate[i] = of_gate;
        dup[i] = of_up;
        if (rounded_dgate) rounded_dgate[i] = (u16)bfloat16_bits(of_gate);
        if (rounded_dup) rounded_dup[i] = (u16)bfloat16_bits(of_up);
    }
}
