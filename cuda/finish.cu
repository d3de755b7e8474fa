// out[n, f] = the sum over blocks of totals[k, n, f], or over features of totals[0, n, k], divided
//
// The summands lie along the sample axis of the totals, which may be overwritten.
#include "trees.cuh"

// multisubnet/_backends/cupy/launch/sums.py packs this.
struct Finish {
    Operand totals, out;
    const float64 *divisor_array;       // one number that also divides; or null
    float64 divisor;
    int64 count, n_kept, n_features;    // summands, for each of n_kept * n_features results
};

constexpr int THREADS = 256;  // per block

// Threads with the same threadIdx.x share one element of the result.
__global__ void __launch_bounds__(THREADS, 2) finish(const Finish p) {
    __shared__ float64 exchanged[THREADS];
    int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const bool is_there = x < p.n_kept * p.n_features;
    if (!is_there) x = 0;
    const int64 n = x / p.n_features, f = x - n * p.n_features;
    const float64 total = of_column<Sum>(p.totals, n, f, p.count, is_there, exchanged);
    if (threadIdx.y || !is_there) return;
    const float64 divisor = p.divisor_array ? mul(p.divisor, *p.divisor_array) : p.divisor;
    const float64 dividend = divisor == 0.0 ? 0.0 : total;  // 0 / 0 is NaN: there is no mean
    Converting<float64>::store(p.out, n, 0, f, {{div(dividend, divisor)}});
}
