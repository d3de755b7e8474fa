// out[b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f]) with n = set_index[b], where
// `out` is contiguous.
//
// It is written as in affine_runs.cu: in vectors of 16 bytes starting at a multiple of 32 bytes,
// with separate threads for the few elements at the ends. A thread handles vectors at the same
// features of a few rows, and divides once to find them. It first reads the sets of all of them,
// then the data of these sets, so that it waits twice.
//
// Loads per element, with LANES elements in a vector:
//
//     F a multiple of LANES, all aligned    4 / LANES
//     any F                                 4, or 3 + 1 / LANES if samples are contiguous
#include "runs.cuh"

// _backends/cupy/launch/affine.py packs this.
struct AffineSelectRuns {
    Operand samples, weight, bias, set_index, out;  // bias.data is null without a bias
    float64 parameter;                              // of the activation
    int64 n_sets, n_samples, n_features;
    int64 period, rows_of_period;  // vectors, and rows, between the vectors of a thread
    int64 n_vectors;               // threads that handle vectors
};

// Vectors per thread. Recipes need the registers.
template <typename Activation, int LANES> struct rows { static constexpr int count = 1; };
template <int LANES> struct rows<Linear, LANES> {
    static constexpr int count = LANES < 4 ? 4 : 16 / LANES;
};

// The set of sample b, or -1 if its index is out of range. FOR_EACH_DTYPE numbers the integers from
// int8, 1, to uint64, 8; odd ones are signed. (A switch over all dtypes would double the code.)
DEVICE int64 set_of(const AffineSelectRuns &p, int64 b) {
    const char *at = p.set_index.at(0, b, 0);
    const int log2_size = static_cast<int>(p.set_index.dtype - 1) / 2;
    int64 n;
    if (log2_size == 3) n = *reinterpret_cast<const int64 *>(at);
    else if (log2_size == 2) n = *reinterpret_cast<const uint32 *>(at);
    else if (log2_size == 1) n = *reinterpret_cast<const uint16 *>(at);
    else n = *reinterpret_cast<const uint8 *>(at);
    const int unused = 64 - (8 << log2_size);
    if (p.set_index.dtype % 2) n = static_cast<int64>(static_cast<uint64>(n) << unused) >> unused;
    return n < p.n_sets ? n : -1;
}

// LANES elements of weight or bias in row n, or the values that replace an out-of-range set.
template <typename T, int LANES>
DEVICE Vector<T, LANES> of_set(const Operand &x, int64 n, int64 f, T otherwise) {
    Vector<T, LANES> found;
#pragma unroll
    for (int i = 0; i < LANES; ++i) found.lane[i] = otherwise;
    if (x.data && n >= 0) found = Direct<T, LANES>::load(x, n, 0, f);
    return found;
}

// Neighbouring features of a sample, for set n.
template <typename Activation, typename T, int LANES>
DEVICE Vector<T, LANES> with_set(const AffineSelectRuns &p, const Vector<T, LANES> &sample, int64 n,
                                 int64 f) {
    const Vector<T, LANES> weight = of_set<T, LANES>(p.weight, n, f, nothing<T>::value());
    const Vector<T, LANES> bias = of_set<T, LANES>(p.bias, n, f, nothing<T>::value());
    Vector<T, LANES> result;
#pragma unroll
    for (int i = 0; i < LANES; ++i) {
        const T z = add(mul(sample.lane[i], weight.lane[i]), bias.lane[i]);
        result.lane[i] = n < 0 ? missing<T>::value() : activated<Activation>(z, p.parameter);
    }
    return result;
}

// x counts vectors of a group of rows, then elements at the ends.
//
// Within these launch bounds, no architecture spills.
template <typename T, typename Activation, bool WIDE>
__global__ void __launch_bounds__(256, sizeof(T) == 1 ? 1 : 2)
    affine_select_runs(const AffineSelectRuns p) {
    constexpr int LANES = 16 / sizeof(T), ROWS = rows<Activation, LANES>::count;
    constexpr int AT_ONCE = WIDE ? LANES : 1, PARTS = LANES / AT_ONCE;
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (threadIdx.y) return;
    const int64 length = p.n_samples * p.n_features;
    const uint64 start = reinterpret_cast<uint64>(p.out.data);
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
        const Vector<T, 1> sample = Direct<T, 1>::load(p.samples, 0, row, f);
        reinterpret_cast<T *>(p.out.data)[e] =
            with_set<Activation>(p, sample, set_of(p, row), f).lane[0];
        return;
    }

    const int64 first = x / p.period * (ROWS - 1) * p.period + x;
    const int64 e = head + first * LANES;
    Place place;
    place.row = e / p.n_features;
    place.feature = e - place.row * p.n_features;
    int count = 0;  // vectors that exist
#pragma unroll
    for (int r = 0; r < ROWS; ++r) count += first + r * p.period < n_whole;
    auto place_of = [&](int r) -> Place {
        return {place.row + r * p.rows_of_period, place.feature};
    };

    int64 sets[ROWS][PARTS] = {};
    Vector<T, LANES> samples[ROWS] = {}, results[ROWS] = {};
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        if (r >= count) break;
        samples[r] = of_rows<T, LANES>(p.samples, 0, place_of(r), p.n_features);
        Place at = place_of(r);
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            sets[r][part] = part && at.feature ? sets[r][part - 1] : set_of(p, at.row);
            at.advance(p.n_features);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r) {
        if (r >= count) break;
        Place at = place_of(r);
#pragma unroll
        for (int part = 0; part < PARTS; ++part) {
            Vector<T, AT_ONCE> sample = {};
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) sample.lane[i] = samples[r].lane[part * AT_ONCE + i];
            sample = with_set<Activation>(p, sample, sets[r][part], at.feature);
#pragma unroll
            for (int i = 0; i < AT_ONCE; ++i) results[r].lane[part * AT_ONCE + i] = sample.lane[i];
            at.advance(p.n_features);
        }
    }
#pragma unroll
    for (int r = 0; r < ROWS; ++r)
        if (r < count) stream(p.out.data + (e + r * p.period * LANES) * int64(sizeof(T)), results[r]);
}
