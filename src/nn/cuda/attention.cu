// Attention over packed segments: products of the small matrices of one head, what positions add to
// them, and the softmax. Scores stand as [K, example, head, query, key].
#include "common.cuh"

#define TILE 32u
#define SIDE 16u

// One example: its rows among all queries and keys, and the pairs of query and key before it.
struct Segment {
    u32 query, queries, key, keys, pairs_before;
};

// Which product a block belongs to.
struct Place {
    Segment segment;
    u32 member, head, row, column;
    u64 scores;
};

// A matrix in rows of something wider.
struct Matrix {
    const float* at;
    u64 row, column;
};

__device__ inline Segment segment_of(const u32* segments, u32 example) {
    const u32* at = segments + 5 * example;
    return Segment{at[0], at[1], at[2], at[3], at[4]};
}

// Where scores of a head begin.
__device__ inline u64 scores_of(Segment s, u32 member, u32 head, u32 heads, u64 pairs_of_all) {
    return (member * pairs_of_all + s.pairs_before) * heads + (u64)head * s.queries * s.keys;
}

// Reads a block's number as (member, example, head, tile); heads are those that the result has.
__device__ inline Place place_of(const u32* segments, u32 examples, u32 heads, u32 tiles_down, u32 tiles_across) {
    u32 tiles = tiles_down * tiles_across, tile = blockIdx.x % tiles, rest = blockIdx.x / tiles;
    Place place;
    place.head = rest % heads;
    rest /= heads;
    place.segment = segment_of(segments, rest % examples);
    place.member = rest / examples;
    place.row = tile / tiles_across * TILE;
    place.column = tile % tiles_across * TILE;
    place.scores = 0;
    return place;
}

// Adds a [m, k] times b [k, n] to the four sums of this thread, whose tile starts at (row, column).
__device__ inline void add_product(Matrix a, Matrix b, u32 m, u32 n, u32 k, u32 row, u32 column, float sums[4]) {
    __shared__ float left[TILE][TILE + 1], right[TILE][TILE + 1];
    u32 x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
    for (u32 from = 0; from < k; from += TILE) {
        for (u32 t = threadIdx.x; t < TILE * TILE; t += SIDE * SIDE) {
            // neighbouring threads read neighbouring numbers
            u32 slow = t / TILE, fast = t % TILE;
            u32 i = a.column == 1 ? slow : fast, s = a.column == 1 ? fast : slow;
            left[i][s] = row + i < m && from + s < k ? a.at[(row + i) * a.row + (from + s) * a.column] : 0.0f;
            u32 j = b.column == 1 ? fast : slow, r = b.column == 1 ? slow : fast;
            right[r][j] = from + r < k && column + j < n ? b.at[(from + r) * b.row + (column + j) * b.column] : 0.0f;
        }
        __syncthreads();
        for (u32 s = 0; s < TILE; s++) {
            float a0 = left[y][s], a1 = left[y + SIDE][s], b0 = right[s][x], b1 = right[s][x + SIDE];
            sums[0] = fmaf(a0, b0, sums[0]);
            sums[1] = fmaf(a0, b1, sums[1]);
            sums[2] = fmaf(a1, b0, sums[2]);
            sums[3] = fmaf(a1, b1, sums[3]);
        }
        __syncthreads();
    }
}

// Writes the four sums, times `factor`, to a matrix [m, n] whose rows start `stride` apart, or adds them.
__device__ inline void write_tile(float* to, u64 stride, u32 m, u32 n, u32 row, u32 column, float factor,
    u32 accumulate, const float sums[4]) {
    u32 x = threadIdx.x % SIDE, y = threadIdx.x / SIDE;
    for (u32 part = 0; part < 4; part++) {
        u32 i = row + y + part / 2 * SIDE, j = column + x + part % 2 * SIDE;
        if (i >= m || j >= n) continue;
        float* at = to + i * stride + j;
        *at = accumulate ? *at + sums[part] * factor : sums[part] * factor;
    }
}

// scores = factor a bᵀ: queries with keys, or the output's gradient with values. a is [K, Rq, H * d],
// b [K, Rk, G * d].
extern "C" __global__ void __launch_bounds__(256) score_product(const float* a, const float* b, float* scores,
    const u32* segments, float factor, u32 accumulate, u32 examples, u32 heads, u32 kv_heads, u32 width, u32 all_queries,
    u32 all_keys, u64 pairs_of_all, u32 tiles_down, u32 tiles_across) {
    Place p = place_of(segments, examples, heads, tiles_down, tiles_across);
    Segment s = p.segment;
    if (p.row >= s.queries || p.column >= s.keys) return;
    u64 a_row = (u64)heads * width, b_row = (u64)kv_heads * width;
    Matrix left = {a + ((u64)p.member * all_queries + s.query) * a_row + (u64)p.head * width, a_row, 1};
    Matrix right = {
        b + ((u64)p.member * all_keys + s.key) * b_row + (u64)(p.head / (heads / kv_heads)) * width, 1, b_row};
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    add_product(left, right, s.queries, s.keys, width, p.row, p.column, sums);
    float* to = scores + scores_of(s, p.member, p.head, heads, pairs_of_all);
    write_tile(to, s.keys, s.queries, s.keys, p.row, p.column, factor, accumulate, sums);
}

// out [K, Rq, H * d] = factor scores b: weights with values, or gradients of scores with keys.
extern "C" __global__ void __launch_bounds__(256) query_product(const float* scores, const float* b, float* out,
    const u32* segments, float factor, u32 accumulate, u32 examples, u32 heads, u32 kv_heads, u32 width, u32 all_queries,
    u32 all_keys, u64 pairs_of_all, u32 tiles_down, u32 tiles_across) {
    Place p = place_of(segments, examples, heads, tiles_down, tiles_across);
    Segment s = p.segment;
    if (p.row >= s.queries) return;
    u64 out_row = (u64)heads * width, b_row = (u64)kv_heads * width;
    Matrix left = {scores + scores_of(s, p.member, p.head, heads, pairs_of_all), s.keys, 1};
    Matrix right = {
        b + ((u64)p.member * all_keys + s.key) * b_row + (u64)(p.head / (heads / kv_heads)) * width, b_row, 1};
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    add_product(left, right, s.queries, width, s.keys, p.row, p.column, sums);
    float* to = out + ((u64)p.member * all_queries + s.query) * out_row + (u64)p.head * width;
    write_tile(to, out_row, s.queries, width, p.row, p.column, factor, accumulate, sums);
}

// out [K, Rk, G * d] = factor times the sum over the heads of queries that a head of keys serves of
// scoresᵀ a, a [K, Rq, H * d]: gradients of values, or of keys.
extern "C" __global__ void __launch_bounds__(256) key_product(const float* scores, const float* a, float* out,
    const u32* segments, float factor, u32 accumulate, u32 examples, u32 heads, u32 kv_heads, u32 width, u32 all_queries,
    u32 all_keys, u64 pairs_of_all, u32 tiles_down, u32 tiles_across) {
    Place p = place_of(segments, examples, kv_heads, tiles_down, tiles_across);
    Segment s = p.segment;
    if (p.row >= s.keys) return;
    u32 group = heads / kv_heads;
    u64 a_row = (u64)heads * width, out_row = (u64)kv_heads * width;
    float sums[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    for (u32 head = p.head * group; head < (p.head + 1) * group; head++) {
        Matrix left = {scores + scores_of(s, p.member, head, heads, pairs_of_all), 1, s.keys};
        Matrix right = {a + ((u64)p.member * all_queries + s.query) * a_row + (u64)head * width, a_row, 1};
        add_product(left, right, s.keys, width, s.queries, p.row, p.column, sums);
    }
    float* to = out + ((u64)p.member * all_keys + s.key) * out_row + (u64)p.head * width;
    write_tile(to, out_row, s.keys, width, p.row, p.column, factor, accumulate, sums);
}

// Who sees whom.
struct Mask {
    const u32 *query_positions, *key_positions, *real_queries, *real_keys;
    u32 causal, window, window_size;
};

__device__ inline u32 sees(Mask mask, u32 query, u32 key) {
    long long back = (long long)mask.query_positions[query] - (long long)mask.key_positions[key];
    if (mask.real_queries && !mask.real_queries[query]) return 0;
    if (mask.real_keys && !mask.real_keys[key]) return 0;
    if (mask.causal && back < 0) return 0;
    if (mask.window == 1) return back >= 0 && back < (long long)mask.window_size;
    if (mask.window == 2) return (back < 0 ? -back : back) <= (long long)mask.window_size;
    return 1;
}

// Which score row a warp works on.
struct Row {
    Segment segment;
    u32 member, head, query, example;
    u64 start;
};

__device__ inline Row row_of(u64 index, const u32* segments, const u32* example_of, u32 heads, u32 all_queries, u64 pairs_of_all) {
    Row row;
    row.query = (u32)(index % all_queries);
    row.head = (u32)(index / all_queries % heads);
    row.member = (u32)(index / all_queries / heads);
    row.example = example_of[row.query];
    row.segment = segment_of(segments, row.example);
    row.start = scores_of(row.segment, row.member, row.head, heads, pairs_of_all) +
        (u64)(row.query - row.segment.query) * row.segment.keys;
    return row;
}

// Cap, masks, softmax and dropout of every row of scores, one warp a row, in place; `slopes` are there
// with a cap, `dropped` with dropout. `masked` is 0 where every query sees every key. `ids` [2, examples]
// are the low and the high words of the examples' ids. `rows` is K * H * Rq.
extern "C" __global__ void softmax_forward(float* scores, float* slopes, float* dropped, const u32* segments,
    const u32* example_of, const u32* ids, const u32* query_positions, const u32* key_positions,
    const u32* real_queries, const u32* real_keys, u32 masked, u32 causal, u32 window, u32 window_size,
    float cap, float empty_is_uniform, u32 seed_low, u32 seed_high, float probability, float scale,
    u32 examples, u32 heads, u32 all_queries, u64 pairs_of_all, u64 rows) {
    u64 index = blockIdx.x * (u64)(blockDim.x / WARP) + threadIdx.x / WARP;
    if (index >= rows) return;
    Mask mask = {query_positions, key_positions, real_queries, real_keys, causal, window, window_size};
    Row row = row_of(index, segments, example_of, heads, all_queries, pairs_of_all);
    Segment s = row.segment;
    u32 lane = threadIdx.x % WARP, any = 0;
    float* weights = scores + row.start;
    float highest = -INFINITY;
    for (u32 key = lane; key < s.keys; key += WARP) {
        float score = weights[key];
        if (slopes) {
            float bent = tanhf(score / cap);
            score = cap * bent;
            slopes[row.start + key] = 1.0f - bent * bent;
        }
        if (!masked || sees(mask, row.query, s.key + key)) {
            any = 1;
            highest = fmaxf(highest, score);
        } else {
            score = -INFINITY;
        }
        weights[key] = score;
    }
    any = warp_or(any);
    highest = warp_max(highest);
    if (any) {
        double sum = 0.0;
        for (u32 key = lane; key < s.keys; key += WARP) {
            float power = expf(weights[key] - highest);
            weights[key] = power;
            sum += (double)power;
        }
        float share = (float)(1.0 / warp_sum(sum));
        for (u32 key = lane; key < s.keys; key += WARP) weights[key] *= share;
    } else {
        for (u32 key = lane; key < s.keys; key += WARP)
            weights[key] = empty_is_uniform != 0.0f ? 1.0f / (float)s.keys : 0.0f;
    }
    if (!dropped) return;
    for (u32 key = lane; key < s.keys; key += WARP) {
        u32 channel = row.head * 65536u + key_positions[s.key + key];
        Words words = philox(channel / 4, query_positions[row.query], ids[row.example], ids[examples + row.example], seed_low, seed_high);
        dropped[row.start + key] = weights[key] * dropout_factor(words.at[channel % 4], probability, scale);
    }
}

// Turns the gradients of weights into those of scores, in place. What a blind query attends to does not
// depend on any score.
extern "C" __global__ void softmax_backward(float* gradients, const float* probabilities, const float* slopes,
    const float* dropped, const u32* segments, const u32* example_of, const u32* query_positions,
    const u32* key_positions, const u32* real_queries, const u32* real_keys, u32 masked, u32 causal,
    u32 window, u32 window_size, float scale, u32 heads, u32 all_queries, u64 pairs_of_all, u64 rows) {
    u64 index = blockIdx.x * (u64)(blockDim.x / WARP) + threadIdx.x / WARP;
    if (index >= rows) return;
    Mask mask = {query_positions, key_positions, real_queries, real_keys, causal, window, window_size};
    Row row = row_of(index, segments, example_of, heads, all_queries, pairs_of_all);
    Segment s = row.segment;
    u32 lane = threadIdx.x % WARP, any = !masked;
    double sum = 0.0;
    for (u32 key = lane; key < s.keys; key += WARP) {
        u64 at = row.start + key;
        float gradient = gradients[at];
        if (dropped) gradient = dropped[at] == 0.0f ? 0.0f : gradient * scale;
        gradients[at] = gradient;
        sum += (double)probabilities[at] * (double)gradient;
        if (masked) any |= sees(mask, row.query, s.key + key);
    }
    any = warp_or(any);
    float mean = (float)warp_sum(sum);
    for (u32 key = lane; key < s.keys; key += WARP) {
        u64 at = row.start + key;
        float gradient = any ? probabilities[at] * (gradients[at] - mean) : 0.0f;
        gradients[at] = slopes ? gradient * slopes[at] : gradient;
    }
}

// The first of `count` rising positions from `at` on that is no lower than `position`.
__device__ inline u32 first_from(const u32* at, u32 count, long long position) {
    u32 low = 0, high = count;
    while (low < high) {
        u32 middle = (low + high) / 2;
        if ((long long)at[middle] < position)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// What follows works on tables of positions: `row_of_distance` tells the row that a distance, query
// position - key position, reads, from the distance `lowest` on (modulo 2^32); `distances` [P, 2] are the
// first and the last distance of every row.
__device__ inline u32 table_row(const u32* row_of_distance, u32 lowest, u32 query, u32 key) {
    return row_of_distance[query - key - lowest];
}

// Linear biases, one warp a row: score = factor score + slope * key position, or, `rounded`, with slope,
// position and product in bfloat16 and before scaling. The slopes are rounded already.
extern "C" __global__ void add_linear_bias(float* scores, const u32* segments, const u32* example_of,
    const u32* key_positions, const float* slopes, u32 rounded, float factor, u32 heads, u32 all_queries,
    u64 pairs_of_all, u64 rows) {
    u64 index = blockIdx.x * (u64)(blockDim.x / WARP) + threadIdx.x / WARP;
    if (index >= rows) return;
    Row row = row_of(index, segments, example_of, heads, all_queries, pairs_of_all);
    float slope = slopes[row.head];
    for (u32 key = threadIdx.x % WARP; key < row.segment.keys; key += WARP) {
        float* at = scores + row.start + key;
        float position = (float)key_positions[row.segment.key + key];
        *at = rounded ? (*at + to_bfloat16(slope * to_bfloat16(position))) * factor : *at * factor + slope * position;
    }
}

// Learned biases, one warp a row: score = factor score + the number of table [P, H] for the distance.
extern "C" __global__ void add_learned_bias(float* scores, const u32* segments, const u32* example_of,
    const u32* query_positions, const u32* key_positions, const u32* row_of_distance, u32 lowest,
    const float* table, u64 stride, float factor, u32 heads, u32 all_queries, u64 pairs_of_all, u64 rows) {
    u64 index = blockIdx.x * (u64)(blockDim.x / WARP) + threadIdx.x / WARP;
    if (index >= rows) return;
    Row row = row_of(index, segments, example_of, heads, all_queries, pairs_of_all);
    table += row.member * stride + row.head;
    for (u32 key = threadIdx.x % WARP; key < row.segment.keys; key += WARP) {
        u32 at = table_row(row_of_distance, lowest, query_positions[row.query], key_positions[row.segment.key + key]);
        scores[row.start + key] = scores[row.start + key] * factor + table[(u64)at * heads];
    }
}

// Disentangled attention, one warp a row: score = factor (score + what the query and the key met of the
// positions at their distance). `of_queries` is [K, H, Rq, P], `of_keys` [K, H, Rk, P]; either may be absent.
extern "C" __global__ void add_met_positions(float* scores, const u32* segments, const u32* example_of,
    const u32* query_positions, const u32* key_positions, const u32* row_of_distance, u32 lowest,
    const float* of_queries, const float* of_keys, u32 positions, float factor, u32 heads, u32 all_queries,
    u32 all_keys, u64 pairs_of_all, u64 rows) {
    u64 index = blockIdx.x * (u64)(blockDim.x / WARP) + threadIdx.x / WARP;
    if (index >= rows) return;
    Row row = row_of(index, segments, example_of, heads, all_queries, pairs_of_all);
    u64 place = (u64)row.member * heads + row.head;
    for (u32 key = threadIdx.x % WARP; key < row.segment.keys; key += WARP) {
        u32 key_row = row.segment.key + key;
        u32 at = table_row(row_of_distance, lowest, query_positions[row.query], key_positions[key_row]);
        float score = scores[row.start + key];
        if (of_queries) score += of_queries[(place * all_queries + row.query) * positions + at];
        if (of_keys) score += of_keys[(place * all_keys + key_row) * positions + at];
        scores[row.start + key] = score * factor;
    }
}

// sums [K, H, tokens, P]: the gradients of each query's scores (`of_keys`: of each key's), added up by the
// row of positions that they read. `tokens` are all queries or keys, `n` the numbers of sums.
extern "C" __global__ void sum_by_distance(const float* gradients, float* sums, const u32* segments,
    const u32* example_of, const u32* query_positions, const u32* key_positions, const u32* distances,
    u32 of_keys, u32 positions, u32 heads, u32 tokens, u64 pairs_of_all, u64 n) {
    EACH(i, n) {
        u32 row = (u32)(i % positions), token = (u32)(i / positions % tokens);
        u64 place = i / positions / tokens;
        Segment s = segment_of(segments, example_of[token]);
        u64 start = scores_of(s, (u32)(place / heads), (u32)(place % heads), heads, pairs_of_all);
        int first = (int)distances[2 * row], last = (int)distances[2 * row + 1];
        float sum = 0.0f;
        if (of_keys) {
            long long position = key_positions[token];
            const u32* at = query_positions + s.query;
            for (u32 j = first_from(at, s.queries, position + first); j < s.queries && at[j] <= position + last; j++)
                sum += gradients[start + (u64)j * s.keys + (token - s.key)];
        } else {
            long long position = query_positions[token];
            const u32* at = key_positions + s.key;
            for (u32 j = first_from(at, s.keys, position - last); j < s.keys && at[j] <= position - first; j++)
                sum += gradients[start + (u64)(token - s.query) * s.keys + j];
        }
        sums[i] = sum;
    }
}

// dtable [P, H] += the gradients of all scores that read each number: one block a row, head and member.
extern "C" __global__ void learned_bias_gradient(const float* gradients, float* dtable, u64 stride,
    const u32* segments, const u32* example_of, const u32* query_positions, const u32* key_positions,
    const u32* distances, u32 heads, u32 all_queries, u64 pairs_of_all) {
    u32 row = blockIdx.x, head = blockIdx.y, member = blockIdx.z;
    int first = (int)distances[2 * row], last = (int)distances[2 * row + 1];
    double sum = 0.0;
    for (u32 query = threadIdx.x; query < all_queries; query += blockDim.x) {
        Segment s = segment_of(segments, example_of[query]);
        const float* from = gradients + scores_of(s, member, head, heads, pairs_of_all) + (u64)(query - s.query) * s.keys;
        const u32* at = key_positions + s.key;
        long long position = query_positions[query];
        for (u32 j = first_from(at, s.keys, position - last); j < s.keys && at[j] <= position - first; j++)
            sum += (double)from[j];
    }
    sum = block_sum(sum);
    if (threadIdx.x == 0) dtable[member * stride + (u64)row * heads + head] += (float)sum;
}
