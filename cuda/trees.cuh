// Joining by a binary tree, usually sums: neighbours level by level, with an odd last one carried
// up. Missing values are replaced by the neutral element.
#pragma once
#include "affine.cuh"

constexpr int LEAVES = 8;  // of a thread, one after the other

struct Sum {
    static constexpr float64 NOTHING = -0.0;
    DEVICE float64 of(float64 a, float64 b) { return add(a, b); }
};
// For sizes, which are at least +0: NaN is the largest.
struct Largest {
    static constexpr float64 NOTHING = 0.0;
    DEVICE float64 of(float64 a, float64 b) { return bits(a) < bits(b) ? b : a; }
};

// The result for a thread's leaves, which are overwritten.
template <typename Join> DEVICE float64 of_leaves(float64 *leaf) {
#pragma unroll
    for (int half = 1; half < LEAVES; half *= 2)
#pragma unroll
        for (int i = 0; i < LEAVES; i += 2 * half) leaf[i] = Join::of(leaf[i], leaf[i + half]);
    return leaf[0];
}

// The result for neighbouring threads: `lanes` of them, a power of two, where this is number
// `lane`. The first thread gets it. `mine` is this thread's place in shared memory; that of the
// next thread is `stride` behind it. All threads of a block call this at the same time.
template <typename Join>
DEVICE float64 of_lanes(float64 x, float64 *mine, int lane, int lanes, int stride) {
    if (lanes == 1) return x;
    *mine = x;
    for (int half = 1; half < lanes; half *= 2) {
        __syncthreads();
        if (lane % (2 * half) == 0) *mine = x = Join::of(x, mine[half * stride]);
    }
    __syncthreads();
    return x;
}

// The result for `count` numbers along the sample axis of x, in column (n, f); +0 for none. Threads
// that differ in threadIdx.y compute it together, with LEAVES numbers each, and the first one gets
// it. If there are more numbers, intermediate results become leaves in turn, and x is overwritten.
template <typename Join>
DEVICE float64 of_column(const Operand &x, int64 n, int64 f, int64 count, bool is_there,
                         float64 *exchanged) {
    const int lane = threadIdx.y, lanes = blockDim.y;
    float64 *const mine = exchanged + lane * blockDim.x + threadIdx.x;
    float64 result = 0.0;
    for (int64 done = 0; count; count = done > 1 ? done : 0) {
        if (done && lanes > 1) __syncthreads();  // waits until intermediate results are written
        done = 0;
        for (int64 first = 0; first < count; first += LEAVES * lanes, ++done) {
            float64 leaf[LEAVES];
#pragma unroll
            for (int i = 0; i < LEAVES; ++i) {
                const int64 k = first + lane * LEAVES + i;
                leaf[i] = Join::NOTHING;
                if (is_there && k < count) leaf[i] = Direct<float64, 1>::load(x, n, k, f).lane[0];
            }
            result = of_lanes<Join>(of_leaves<Join>(leaf), mine, lane, lanes, blockDim.x);
            if (is_there && lane == 0 && count > LEAVES * lanes)
                Direct<float64, 1>::store(x, n, done, f, {{result}});
        }
    }
    return result;
}
