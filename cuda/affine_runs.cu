// out[n, b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f]), where `out` has contiguous
// runs: the rows of a set (its samples), or those of a sample (its sets).
//
// The kernel takes as long as writing the result, if each element costs few loads: 16 bytes are
// written at once, and loaded values stay in registers. A thread handles vectors at the same
// features of a few rows, and walks over runs. Values that depend on rows are loaded before the
// walk; values that depend on the run, once for all these rows. The first vector of a run begins at
// a multiple of 32 bytes, the unit in which memory is written; separate threads handle the elements
// before it and after the last vector.
//
// Loads per element, if a thread walks over WALK runs and has ROWS vectors of LANES elements:
//
//     runs of sets       1 / WALK + 2 / ROWS     divided by LANES if everything is aligned
//     runs of samples    2 / WALK + 1 / ROWS
//     sets with their own samples    1 + 2 / ROWS
#include "runs.cuh"

// _backends/cupy/launch/affine.py packs this. Operands have strides over runs, rows and features.
struct AffineRuns {
    Operand samples, weight, bias, out;   // bias.data is null without a bias
    float64 parameter;                    // of the activation
    int64 n_runs, n_rows, n_features;
    int64 period, rows_of_period;         // vectors, and rows, after which features repeat
    int64 n_vectors;                      // threads that handle vectors
};

// The axis of the runs: samples, sets, or sets with their own samples.
enum Order { SAMPLES_FIRST, SETS_FIRST, OWN_SAMPLES };

// Rows per thread. Recipes take so long that loads do not matter, and need the registers. The same
// holds for samples that are loaded repeatedly.
template <typename Activation, Order ORDER, int LANES> struct rows {
    static constexpr int count = 1;
};
template <Order ORDER, int LANES> struct rows<Linear, ORDER, LANES> {
    static constexpr int most = LANES < 4 ? 4 : 16 / LANES;
    static constexpr int count = ORDER == OWN_SAMPLES && most > 1 ? most / 2 : most;
};

// x counts vectors of a group of rows, then elements at the ends of a run; y counts runs. All runs
// of a thread begin at the same distance from a sector.
//
// Within these launch bounds, no architecture spills.
template <typename T, typename Activation, Order ORDER, bool WIDE>
__global__ void __launch_bounds__(256, sizeof(T) == 1 ? 1 : 2) affine_runs(const AffineRuns p) {
    constexpr int LANES = 16 / sizeof(T), ROWS = rows<Activation, ORDER, LANES>::count;
    typedef Vector<T, LANES> Value;
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    int64 n = static_cast<int64>(blockIdx.y) * blockDim.y + threadIdx.y;
    if (n >= p.n_runs) return;
    const int64 step = static_cast<int64>(gridDim.y) * blockDim.y;
    const int64 length = p.n_rows * p.n_features;
    const uint64 start = reinterpret_cast<uint64>(p.out.at(n, 0, 0));
    int64 head = static_cast<int64>(-start % SECTOR / sizeof(T));  // elements before the first vector
    if (head > length) head = length;
    const int64 n_whole = (length - head) / LANES;

    if (x >= p.n_vectors) {
        int64 e = x - p.n_vectors;
        if (e >= head) {
            if (e < 2 * LANES - 1) return;
            e += head + n_whole * LANES - (2 * LANES - 1);
            if (e >= length) return;
        }
        const int64 row = e / p.n_features, f = e - row * p.n_features;
        for (; n < p.n_runs; n += step) {
            const T sample = Direct<T, 1>::load(p.samples, n, row, f).lane[0];
            const T weight = Direct<T, 1>::load(p.weight, n, row, f).lane[0];
            const T bias = p.bias.data ? Direct<T, 1>::load(p.bias, n, row, f).lane[0]
                                       : nothing<T>::value();
            *reinterpret_cast<T *>(p.out.at(n, 0, 0) + e * static_cast<int64>(sizeof(T))) =
                activated<Activation>(add(mul(sample, weight), bias), p.parameter);
        }
        return;
    }

    const int64 first = x / p.period * (ROWS - 1) * p.period + x;
    const int64 e = head + first * LANES;
    Place place;
    place.row = e / p.n_features;
    place.feature = e - place.row * p.n_features;
    int count = 0;  // rows that exist
#pragma unroll
    for (int r = 0; r < ROWS; ++r) count += first + r * p.period < n_whole;
    if (!count) return;

    Value samples[ROWS] = {}, weights[ROWS] = {}, biases[ROWS] = {};
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
#pragma unroll
        for (int i = 0; i < LANES; ++i) biases[r].lane[i] = nothing<T>::value();
    auto load_rows = [&](const Operand &operand, Value *values) {
#pragma unroll
        for (int r = 0; r < ROWS; ++r)
            if (r < count)
                values[r] = of_rows<T, LANES>(operand, n, {place.row + r * p.rows_of_period, place.feature},
                                              p.n_features);
    };
    auto load_for_all_rows = [&](const Operand &operand, Value &value) {
        value = WIDE ? Direct<T, LANES>::load(operand, n, place.row, place.feature)
                     : elements<T, LANES>(operand, n, place, p.n_features);
    };
    if (ORDER == SETS_FIRST) {
        load_rows(p.samples, samples);
    } else if (ORDER == SAMPLES_FIRST) {
        load_rows(p.weight, weights);
        if (p.bias.data) load_rows(p.bias, biases);
    }
#pragma unroll 1
    for (; n < p.n_runs; n += step) {
        if (ORDER == OWN_SAMPLES) load_rows(p.samples, samples);
        if (ORDER == SAMPLES_FIRST) {
            load_for_all_rows(p.samples, samples[0]);
        } else {
            load_for_all_rows(p.weight, weights[0]);
            if (p.bias.data) load_for_all_rows(p.bias, biases[0]);
        }
        char *to = p.out.at(n, 0, 0) + e * static_cast<int64>(sizeof(T));
#pragma unroll
        for (int r = 0; r < ROWS; ++r) {
            if (r >= count) break;
            const Value &sample = samples[ORDER == SAMPLES_FIRST ? 0 : r];
            const Value &weight = weights[ORDER == SAMPLES_FIRST ? r : 0];
            const Value &bias = biases[ORDER == SAMPLES_FIRST ? r : 0];
            Value result;
#pragma unroll
            for (int i = 0; i < LANES; ++i)
                result.lane[i] = activated<Activation>(
                    add(mul(sample.lane[i], weight.lane[i]), bias.lane[i]), p.parameter);
            stream(to + r * p.period * 16, result);
        }
    }
}
