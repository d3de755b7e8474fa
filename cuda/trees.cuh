// What is joined by a binary tree, most of it sums: neighbours level by level, an odd last one being
// carried up. In the place of what is not there is that which changes nothing.
#pragma once
#include "affine.cuh"

constexpr int LEAVES = 8;  // of a thread, one after the other

struct Sum {
    static constexpr float64 NOTHING = -0.0;
    DEVICE float64 of(float64 a, float64 b) { return add(a, b); }
};
// Of sizes, which are no less than +0: NaN is the largest.
struct Largest {
    static constexpr float64 NOTHING = 0.0;
    DEVICE float64 of(float64 a, float64 b) { return bits(a) < bits(b) ? b : a; }
};

// What comes of a thread's leaves, which is written over them.
template <typename Join> DEVICE float64 of_leaves(float64 *leaf) {
#pragma unroll
    for (int half = 1; half < LEAVES; half *= 2)
#pragma unroll
        for (int i = 0; i < LEAVES; i += 2 * half) leaf[i] = Join::of(leaf[i], leaf[i + half]);
    return leaf[0];
}

// What comes of threads that are neighbours: `lanes` of them, a power of two, of which this is number
// `lane`. The first one gets it. `mine` is a place of this thread in shared memory, that of the next
// one being `stride` behind it. All threads of a block call this at the same time.
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

// What comes of `count` numbers along the sample axis of x, in column (n, f), +0 of none. Threads that
// differ in threadIdx.y do it together, the first of which gets it: LEAVES each. Where there are more,
// they take what so comes about for leaves, in turn, and write over x.
template <typename Join>
DEVICE float64 of_column(const Operand &x, int64 n, int64 f, int64 count, bool is_there,
                         float64 *exchanged) {
    const int lane = threadIdx.y, lanes = blockDim.y;
    float64 *const mine = exchanged + lane * blockDim.x + threadIdx.x;
    float64 result = 0.0;
    for (int64 done = 0; count; count = done > 1 ? done : 0) {
        if (done && lanes > 1) __syncthreads();  // lest what was written is not there yet
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
