// Rows looked up, gathered, pooled, turned, dropped and joined.
#include "common.cuh"

// y [K, rows, width] = scale table[id], or += that.
extern "C" __global__ void embedding_forward(const u32* ids, const float* table, u64 stride, float* y,
    u32 rows, u32 total, u32 width, float scale, u32 accumulate) {
    for (u32 row = blockIdx.y; row < total; row += gridDim.y) {
        const float* from = table + row / rows * stride + (u64)ids[row % rows] * width;
        float* to = y + (u64)row * width;
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
            to[i] = accumulate ? to[i] + scale * from[i] : scale * from[i];
    }
}

// Adds the gradients of rows to the rows of a table that they were read from. `groups` [groups, 3] are
// an id, its first place in `order`, and its rows; each group's rows are summed by one block, so that
// no two threads write one number.
extern "C" __global__ void embedding_backward(const u32* order, const u32* groups, u32 count,
    const float* dy, float scale, float* dtable, u64 stride, u32 rows, u32 width) {
    u32 column = blockIdx.x * blockDim.x + threadIdx.x, member = blockIdx.z;
    for (u32 group = blockIdx.y; group < count; group += gridDim.y) {
        u32 id = groups[3 * group], first = groups[3 * group + 1], places = groups[3 * group + 2];
        double total = 0.0;
        if (column < width)
            for (u32 place = threadIdx.y; place < places; place += blockDim.y)
                total += (double)(scale * dy[((u64)member * rows + order[first + place]) * width + column]);
        total = sum_over_y(total);
        if (threadIdx.y == 0 && column < width)
            dtable[member * stride + (u64)id * width + column] += (float)total;
    }
}

// y [K, count, width] = the rows of x [K, rows, width] with these numbers.
extern "C" __global__ void gather_rows(const float* x, const u32* numbers, float* y, u32 rows, u32 count,
    u32 total, u32 width) {
    for (u32 row = blockIdx.y; row < total; row += gridDim.y) {
        const float* from = x + ((u64)(row / count) * rows + numbers[row % count]) * width;
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
            y[(u64)row * width + i] = from[i];
    }
}

// dx [K, rows, width] += the rows of dy [K, count, width] at these numbers, in their order: a thread
// keeps to one column, so a number may come twice.
extern "C" __global__ void scatter_add_rows(const float* dy, const u32* numbers, float* dx, u32 rows,
    u32 count, u32 width) {
    u32 member = blockIdx.y;
    for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
        for (u32 place = 0; place < count; place++)
            dx[((u64)member * rows + numbers[place]) * width + i] +=
                dy[((u64)member * count + place) * width + i];
}

// The same for numbers that are all different: every row at once.
extern "C" __global__ void scatter_add_distinct(const float* dy, const u32* numbers, float* dx, u32 rows,
    u32 count, u32 total, u32 width) {
    for (u32 row = blockIdx.y; row < total; row += gridDim.y) {
        float* to = dx + ((u64)(row / count) * rows + numbers[row % count]) * width;
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
            to[i] += dy[(u64)row * width + i];
    }
}

// y [K, examples, width] = the mean of each example's counted rows; offsets [examples + 1], counts
// [examples], counted [rows] or absent.
extern "C" __global__ void pool_mean(const float* x, const u32* offsets, const u32* counts,
    const u32* counted, float* y, u32 rows, u32 examples, u32 total, u32 width) {
    for (u32 place = blockIdx.y; place < total; place += gridDim.y) {
        u32 member = place / examples, example = place % examples;
        double share = counts[example] ? 1.0 / (double)counts[example] : 0.0;
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x) {
            double sum = 0.0;
            for (u32 row = offsets[example]; row < offsets[example + 1]; row++)
                if (!counted || counted[row]) sum += share * (double)x[((u64)member * rows + row) * width + i];
            y[(u64)place * width + i] = (float)sum;
        }
    }
}

// Its backward: `example_of` [rows].
extern "C" __global__ void pool_mean_backward(const float* dy, const u32* example_of, const u32* counts,
    const u32* counted, float* dx, u32 rows, u32 examples, u32 total, u32 width) {
    for (u32 place = blockIdx.y; place < total; place += gridDim.y) {
        u32 member = place / rows, row = place % rows, example = example_of[row];
        float share = counts[example] ? (float)(1.0 / (double)counts[example]) : 0.0f;
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
            dx[(u64)place * width + i] =
                !counted || counted[row] ? share * dy[((u64)member * examples + example) * width + i] : 0.0f;
    }
}

// Turns every pair of channels of x [K, rows, heads, head_dim] by its row's angle; `total` is K times
// rows times heads. Cosines and sines are [positions, pairs].
extern "C" __global__ void rotate(float* x, const u32* positions, const float* cosines,
    const float* sines, float direction, u32 rows, u32 heads, u32 head_dim, u32 pairs, u32 total) {
    for (u32 head = blockIdx.y; head < total; head += gridDim.y) {
        u64 angles = (u64)positions[head / heads % rows] * pairs;
        float* at = x + (u64)head * head_dim;
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < pairs; i += gridDim.x * blockDim.x) {
            float a = at[i], b = at[i + pairs], cosine = cosines[angles + i];
            float sine = direction * sines[angles + i];
            at[i] = a * cosine - b * sine;
            at[i + pairs] = b * cosine + a * sine;
        }
    }
}

// y [K, rows, width] = x + drop(branch + bias), of which x, bias and names may be absent: without names
// [3, rows], position and low and high word of the example's id, nothing is dropped. A thread takes four
// channels of a row, whose mask it draws once for all members. y may be the branch.
extern "C" __global__ void join(const float* x, const float* branch, const float* bias, u64 bias_stride,
    const u32* names, u32 seed_low, u32 seed_high, float probability, float scale, float* y, u16* rounded,
    u32 members, u32 rows, u32 width) {
    u32 quads = (width + 3) / 4;
    for (u32 row = blockIdx.y; row < rows; row += gridDim.y)
        for (u32 quad = blockIdx.x * blockDim.x + threadIdx.x; quad < quads; quad += gridDim.x * blockDim.x) {
            u32 channel = 4 * quad, count = width - channel < 4 ? width - channel : 4;
            Quad factors = {{1.0f, 1.0f, 1.0f, 1.0f}};
            if (names) {
                Words words =
                    philox(quad, names[row], names[rows + row], names[2 * rows + row], seed_low, seed_high);
                for (u32 i = 0; i < 4; i++) factors.at[i] = dropout_factor(words.at[i], probability, scale);
            }
            for (u32 member = 0; member < members; member++) {
                u64 at = ((u64)member * rows + row) * width + channel;
                Quad value = load(branch + at, count);
                if (bias) {
                    Quad by = load(bias + member * bias_stride + channel, count);
                    for (u32 i = 0; i < 4; i++) value.at[i] += by.at[i];
                }
                if (names)
                    for (u32 i = 0; i < 4; i++) value.at[i] *= factors.at[i];
                if (x) {
                    Quad stream = load(x + at, count);
                    for (u32 i = 0; i < 4; i++) value.at[i] += stream.at[i];
                }
                store(y + at, value, count);
                if (rounded) store_rounded(rounded + at, value, count);
            }
        }
}

// windows [K, rows, inputs, taps]: what each output row of a convolution reads, zeros beyond its example's
// ends. offsets [examples + 1]; `total` is K times rows.
extern "C" __global__ void read_windows(const float* x, const u32* offsets, const u32* example_of,
    float* windows, u32 rows, u32 total, u32 inputs, u32 taps) {
    u32 window = inputs * taps, before = (taps - 1) / 2;
    for (u32 row = blockIdx.y; row < total; row += gridDim.y) {
        u32 place = row % rows, example = example_of[place];
        u32 first = offsets[example] + before, end = offsets[example + 1] + before;
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < window; i += gridDim.x * blockDim.x) {
            u32 tap = i % taps, at = place + tap;
            windows[(u64)row * window + i] =
                at >= first && at < end ? x[((u64)row + tap - before) * inputs + i / taps] : 0.0f;
        }
    }
}

// Its backward: dx [K, rows, inputs] is the sum over the windows that a row stands in.
extern "C" __global__ void add_windows(const float* windows, const u32* offsets, const u32* example_of,
    float* dx, u32 rows, u32 total, u32 inputs, u32 taps) {
    u32 before = (taps - 1) / 2;
    u64 window = (u64)inputs * taps;
    for (u32 row = blockIdx.y; row < total; row += gridDim.y) {
        u32 place = row % rows, example = example_of[place];
        u32 first = offsets[example], end = offsets[example + 1];
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < inputs; i += gridDim.x * blockDim.x) {
            float sum = 0.0f;
            // the row is tap t of the output row that many rows before it, plus the middle
            for (u32 t = taps; t-- > 0;) {
                u32 at = place + before;
                if (at >= first + t && at - t < end) sum += windows[((u64)row + before - t) * window + i * taps + t];
            }
            dx[(u64)row * inputs + i] = sum;
        }
    }
}

// y [count, width] = weights times the rows of x with these numbers.
extern "C" __global__ void gather_weighted(const float* x, const u32* numbers, const float* weights, float* y,
    u32 count, u32 width) {
    for (u32 row = blockIdx.y; row < count; row += gridDim.y)
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
            y[(u64)row * width + i] = weights[row] * x[(u64)numbers[row] * width + i];
}

// The rows of y with these numbers, all different, += weights times x [count, width].
extern "C" __global__ void scatter_weighted(const float* x, const u32* numbers, const float* weights, float* y,
    u32 count, u32 width) {
    for (u32 row = blockIdx.y; row < count; row += gridDim.y)
        for (u32 i = blockIdx.x * blockDim.x + threadIdx.x; i < width; i += gridDim.x * blockDim.x)
            y[(u64)numbers[row] * width + i] += weights[row] * x[(u64)row * width + i];
}

// gradients[slots] = the product of each expert's output row, x [count, width], with the row of dy that it
// was added to: one block a row.
extern "C" __global__ void route_gradients(const float* x, const float* dy, const u32* numbers,
    const u32* slots, float* gradients, u32 width) {
    const float* output = x + (u64)blockIdx.x * width;
    const float* from = dy + (u64)numbers[blockIdx.x] * width;
    double sum = 0.0;
    for (u32 i = threadIdx.x; i < width; i += blockDim.x) sum += (double)output[i] * (double)from[i];
    sum = block_sum(sum);
    if (threadIdx.x == 0) gradients[slots[blockIdx.x]] = (float)sum;
}

// dscores [rows, experts]: the derivative of a softmax over the chosen experts; chosen, weights and
// gradients are [rows, top].
extern "C" __global__ void score_gradients(const u32* chosen, const float* weights, const float* gradients,
    float* dscores, u32 experts, u32 top, u64 rows) {
    EACH(row, rows) {
        float mean = 0.0f;
        for (u32 slot = 0; slot < top; slot++) mean += weights[row * top + slot] * gradients[row * top + slot];
        for (u32 expert = 0; expert < experts; expert++) dscores[row * experts + expert] = 0.0f;
        for (u32 slot = 0; slot < top; slot++)
            dscores[row * experts + chosen[row * top + slot]] =
                weights[row * top + slot] * (gradients[row * top + slot] - mean);
    }
}
