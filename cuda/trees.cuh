// Sums by a binary tree: neighbours are added level by level, an odd last one being carried up. What
// is not there is -0, which, added to a number, changes nothing.
#pragma once
#include "arithmetic.cuh"

constexpr int LEAVES = 8;  // of a thread, one after the other
constexpr float64 NO_LEAF = -0.0;

// The sum of a thread's leaves, which is written over them.
DEVICE float64 sum_of(float64 *leaf) {
#pragma unroll
    for (int half = 1; half < LEAVES; half *= 2)
#pragma unroll
        for (int i = 0; i < LEAVES; i += 2 * half) leaf[i] = add(leaf[i], leaf[i + half]);
    return leaf[0];
}

// The sum over threads that are neighbours: `lanes` of them, a power of two, of which this is number
// `lane`. The first one gets it. `mine` is a place of this thread in shared memory, that of the next
// one being `stride` behind it. All threads of a block call this at the same time.
DEVICE float64 sum_of_lanes(float64 sum, float64 *mine, int lane, int lanes, int stride) {
    if (lanes == 1) return sum;
    *mine = sum;
    for (int half = 1; half < lanes; half *= 2) {
        __syncthreads();
        if (lane % (2 * half) == 0) *mine = sum = add(sum, mine[half * stride]);
    }
    __syncthreads();
    return sum;
}
