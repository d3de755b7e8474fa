// out[n, f] = the sum over blocks of totals[k, n, f], or over features of totals[0, n, k], divided
//
// What is added up lies along the sample axis of the totals, which may be written over.
#include "affine.cuh"
#include "trees.cuh"

// _backends/cupy/launch/sums.py packs this.
struct Finish {
    Operand totals, out;
    const float64 *divisor_array;       // one number, by which is divided as well; or null
    float64 divisor;
    int64 count, n_kept, n_features;    // what is added up, for each of n_kept * n_features
};

constexpr int THREADS = 256;  // of a block

// Threads that differ in threadIdx.y add up one element of the result: LEAVES each, neighbours the
// neighbouring ones. Where there are more, they take what so comes about for leaves, in turn.
__global__ void __launch_bounds__(THREADS, 2) finish(const Finish p) {
    __shared__ float64 exchanged[THREADS];
    int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const bool is_there = x < p.n_kept * p.n_features;
    if (!is_there) x = 0;
    const int64 n = x / p.n_features, f = x - n * p.n_features;
    const int lane = threadIdx.y, lanes = blockDim.y;
    float64 *const mine = exchanged + lane * blockDim.x + threadIdx.x;

    float64 total = 0.0;
    for (int64 count = p.count, done = 0; count; count = done > 1 ? done : 0) {
        if (done && lanes > 1) __syncthreads();  // lest what was written is not there yet
        done = 0;
        for (int64 first = 0; first < count; first += LEAVES * lanes, ++done) {
            float64 leaf[LEAVES];
#pragma unroll
            for (int i = 0; i < LEAVES; ++i) {
                const int64 k = first + lane * LEAVES + i;
                leaf[i] = NO_LEAF;
                if (is_there && k < count)
                    leaf[i] = Direct<float64, 1>::load(p.totals, n, k, f).lane[0];
            }
            total = sum_of_lanes(sum_of(leaf), mine, lane, lanes, blockDim.x);
            if (is_there && lane == 0 && count > LEAVES * lanes)
                Direct<float64, 1>::store(p.totals, n, done, f, {{total}});
        }
    }
    if (lane || !is_there) return;
    const float64 divisor = p.divisor_array ? mul(p.divisor, *p.divisor_array) : p.divisor;
    if (divisor == 0.0) total = 0.0;  // which gives NaN
    Converting<float64>::store(p.out, n, 0, f, {{div(total, divisor)}});
}
