// Moments of the closed form, computed from the totals of a pass over the samples, for each feature
//
// The functions are those of multisubnet/_functions/closed_form.py; the formulas are generated from
// multisubnet/_arithmetic/moments.py.
#include "moments.cuh"
#include "trees.cuh"

// multisubnet/_backends/cupy/launch/moments.py packs this. Rows are along the set axis.
struct Moments {
    Operand totals;         // rows to be joined along the sample axis
    Operand known, found;   // rows of known moments, and of new ones
    const float64 *counts;  // the sum of weights, and that of their absolute values; or null
    float64 n_samples;
    int64 n_blocks, n_features;

    __forceinline__ __device__ float64 row(const Operand &x, int number, int64 f) const {
        return Direct<float64, 1>::load(x, number, 0, f).lane[0];
    }
    __forceinline__ __device__ void find(int number, int64 f, float64 value) const {
        Direct<float64, 1>::store(found, number, 0, f, {{value}});
    }
};

DEVICE bool equal(float64 a, float64 b) { return less_equal(a, b) && less_equal(b, a); }

// 1 over the largest normal power of two that does not exceed a size; 1 if there is none.
DEVICE float64 fit(float64 size) {
    uint64 exponent = bits(size) & 0x7ff0000000000000ull;
    if (exponent == 0) exponent = 0x0010000000000000ull;
    if (exponent == 0x7ff0000000000000ull) exponent = 0x3ff0000000000000ull;
    return div(1.0, from_bits(exponent));
}

// Each step has this many totals, which are joined by a tree.
template <typename How> struct Totals {
    typedef How Join;
    static constexpr int COUNT = 2;
    DEVICE void write(const Moments &p, int64 f, const float64 *total) {
        for (int i = 0; i < COUNT; ++i) p.find(i, f, total[i]);
    }
};
struct Fits {
    typedef Largest Join;
    static constexpr int COUNT = 2;
    DEVICE void write(const Moments &p, int64 f, const float64 *total) {
        const float64 fit_t = fit(total[1]);
        p.find(0, f, fit(total[0]));
        p.find(1, f, less(1.0, fit_t) ? 1.0 : fit_t);
    }
};
struct Means {
    typedef Sum Join;
    static constexpr int COUNT = 2;
    DEVICE void write(const Moments &p, int64 f, const float64 *total) {
        const float64 count = p.counts ? p.counts[1] : p.n_samples;
        for (int i = 0; i < COUNT; ++i) p.find(i, f, div(total[i], count));
    }
};
// Slope and spread, from the totals of the spread and of the product.
struct Slopes {
    typedef Sum Join;
    static constexpr int COUNT = 2;
    DEVICE void write(const Moments &p, int64 f, const float64 *total) {
        const float64 count = p.counts ? p.counts[1] : p.n_samples;
        const float64 spread = div(total[0], count);
        p.find(0, f, equal(spread, 0.0) ? 0.0 : div(div(total[1], count), spread));
        p.find(1, f, spread);
    }
};
// Residuals; with five totals, also those that depend on the signs of weights.
template <int N> struct Rests {
    typedef Sum Join;
    static constexpr int COUNT = N;
    DEVICE void write(const Moments &p, int64 f, const float64 *total) {
        const float64 signed_count = p.counts ? p.counts[0] : p.n_samples;
        const float64 count = equal(signed_count, 0.0) && p.counts ? missing<float64>::value()
                                                                   : signed_count;
        // Without negative weights, the last three are 0 up to rounding.
        const bool has_negative = p.counts && !equal(signed_count, p.counts[1]);
        for (int i = 0; i < COUNT; ++i) {
            const float64 mean = div(total[i], count);
            p.find(i, f, i < 2 ? mean : mul(mean, has_negative ? 1.0 : 0.0));
        }
    }
};
// The moments from which losses are computed, from all known ones.
template <typename Formula, bool SIGNED> struct Settling {
    typedef Sum Join;
    static constexpr int COUNT = 0;
    DEVICE void write(const Moments &p, int64 f, const float64 *) {
        float64 in[Formula::TAKES], out[Formula::GIVES];
        for (int i = 0; i < Formula::TAKES; ++i)
            in[i] = p.row(p.known, SIGNED && i == 5 ? 7 : i, f);
        Formula::of(in, out);
        for (int i = 0; i < Formula::GIVES; ++i) p.find(i, f, out[i]);
        if (!SIGNED) return;
        p.find(6, f, p.row(p.known, 8, f));
        for (int i = 9; i < 11; ++i) p.find(i - 2, f, div(p.row(p.known, i, f), in[1]));
    }
};
// Variance and standard deviation, from mean squares (totals) and means (known) of distances.
struct Spread {
    typedef Sum Join;
    static constexpr int COUNT = 0;
    DEVICE void write(const Moments &p, int64 f, const float64 *) {
        const float64 square = p.row(p.totals, 0, f), distance = p.row(p.known, 0, f);
        float64 variance = sub(square, mul(distance, distance));
        if (less(variance, 0.0) && less_equal(0.0, square)) variance = 0.0;
        p.find(0, f, variance);
        p.find(1, f, root(variance));
    }
};

constexpr int THREADS = 256;  // per block

// Threads with the same threadIdx.x share a feature.
template <typename Step> __global__ void __launch_bounds__(THREADS, 2) moments(const Moments p) {
    __shared__ float64 exchanged[THREADS];
    int64 f = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const bool is_there = f < p.n_features;
    if (!is_there) f = 0;
    float64 total[Step::COUNT + 1];
#pragma unroll
    for (int i = 0; i < Step::COUNT; ++i)
        total[i] = of_column<typename Step::Join>(p.totals, i, f, p.n_blocks, is_there, exchanged);
    if (threadIdx.y == 0 && is_there) Step::write(p, f, total);
}
