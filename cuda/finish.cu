// out[n, f] = the sum over blocks of totals[k, n, f], divided; or out[n], that over features as well
//
// Neighbours are added level by level, an odd last one being carried up. The totals are written over.
#include "affine.cuh"

// multisubnet/_backends/cupy/launch.py packs this.
struct Finish {
    Operand totals, out;                // the sample stride of totals is that of blocks
    const float64 *divisor_array;       // one number, by which is divided as well; or null
    float64 divisor;
    int64 n_blocks, n_kept, n_features;
    int64 over_features;                // whether out has no axis of features
};

DEVICE float64 &at(const Operand &x, int64 n, int64 b, int64 f) {
    return *reinterpret_cast<float64 *>(x.at(n, b, f));
}

template <bool FEATURES> DEVICE float64 tree(const Operand &x, int64 n, int64 f, int64 count) {
    if (count == 0) return 0.0;
    for (; count > 1; count = (count + 1) / 2) {
        for (int64 i = 0; i + 1 < count; i += 2)
            (FEATURES ? at(x, n, 0, i / 2) : at(x, n, i / 2, f)) =
                FEATURES ? add(at(x, n, 0, i), at(x, n, 0, i + 1))
                         : add(at(x, n, i, f), at(x, n, i + 1, f));
        if (count % 2)
            (FEATURES ? at(x, n, 0, count / 2) : at(x, n, count / 2, f)) =
                FEATURES ? at(x, n, 0, count - 1) : at(x, n, count - 1, f);
    }
    return FEATURES ? at(x, n, 0, 0) : at(x, n, 0, f);
}

// A thread owns one element of the result.
__global__ void __launch_bounds__(256, 2) finish(const Finish p) {
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (x >= p.n_kept * (p.over_features ? 1 : p.n_features)) return;
    const int64 n = p.over_features ? x : x / p.n_features;
    const int64 f = p.over_features ? 0 : x - n * p.n_features;
    float64 total;
    if (p.over_features) {
        for (int64 g = 0; g < p.n_features; ++g) tree<false>(p.totals, n, g, p.n_blocks);
        total = tree<true>(p.totals, n, 0, p.n_features);
    } else {
        total = tree<false>(p.totals, n, f, p.n_blocks);
    }
    const float64 divisor = p.divisor_array ? mul(p.divisor, *p.divisor_array) : p.divisor;
    if (divisor == 0.0) total = 0.0;  // which gives NaN
    Converting<float64>::store(p.out, n, 0, f, {{div(total, divisor)}});
}
