// totals[k, o, n, f] = the sum over block k of the summed axis of term o, in the order defined by
// RUN and BLOCK of multisubnet/_arithmetic/summation_order.py
//
// The terms are those of activation(sample * weight + bias) and a target. Among the strides of an
// operand, `set` is that of the kept axis and `sample` that of the summed axis, whichever they are.
#include "losses.cuh"
#include "moments.cuh"
#include "trees.cuh"

// _backends/cupy/launch/sums.py packs this.
struct Sums {
    Operand sample, weight, bias, target, factor;  // if data is null: 1, 1, -0.0, 1, 1
    float64 *totals;
    float64 parameter;                             // of the activation
    int64 n_kept, length, n_features;
};

constexpr int64 RUN = 32, BLOCK = 4096;
constexpr int THREADS = 256;  // per block
constexpr int64 TILE = 32;    // features

// The axes that an operand depends on: the kept one; the summed one; both; the summed one, but not
// the features; or none. Dependence in _arithmetic/summands.py has the same letters.
enum Dependence : char { HELD = 'h', STREAMED = 's', EACH = 'e', SCALAR = 'f', UNUSED = '-' };

// The values of an operand of this KIND in the rows of a thread.
template <typename T, char KIND, int ROWS, typename Memory> struct Rows {
    static constexpr bool IS_HELD = KIND == HELD;
    static constexpr bool IS_SHARED = KIND == STREAMED || KIND == SCALAR;
    T of[ROWS];
    char *at[ROWS];  // address of summed index 0

    __forceinline__ __device__ void begin(const Operand &x, T missing, const int64 *n, int64 f) {
#pragma unroll
        for (int row = 0; row < ROWS; ++row) {
            at[row] = x.at(IS_SHARED ? 0 : n[row], 0, f);
            if (IS_HELD) of[row] = x.data ? Memory::load(x, n[row], 0, f).lane[0] : missing;
        }
    }
    __forceinline__ __device__ void load(const Operand &x, int64 i) {
        if (IS_HELD || KIND == UNUSED) return;
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            of[row] = IS_SHARED && row ? of[0]
                : Memory::load({at[row], 0, x.sample, 0, x.dtype}, 0, i, 0).lane[0];
    }
};

// The absolute value of a number.
DEVICE float64 size(float64 x) { return from_bits(bits(x) & 0x7fffffffffffffffull); }

struct Sizes {
    typedef Largest Join;
    static constexpr int TAKES = 2, GIVES = 2;
    DEVICE void of(const float64 *in, float64 *out) {
        for (int i = 0; i < GIVES; ++i) out[i] = size(in[i]);
    }
};
struct Weights {
    typedef Sum Join;
    static constexpr int TAKES = 2, GIVES = 2;
    DEVICE void of(const float64 *in, float64 *out) {
        out[0] = in[0];
        out[1] = size(in[0]);
    }
};

// The possible terms, in this order.
enum Output { LOSS = 1, ERROR = 2, SLOPE_SAMPLE = 4, SLOPE = 8, SLOPE_WEIGHT = 16 };
DEVICE constexpr int count_of(int outputs) {
    return outputs ? (outputs & 1) + count_of(outputs >> 1) : 0;
}

// The summands of a set, a sample and a feature: the loss of its prediction, and slopes.
template <typename Loss, typename Activation, typename Derivative, int OUTPUTS, bool WEIGHTED>
struct AffineSummands {
    static constexpr int COUNT = count_of(OUTPUTS);
    float64 parameter;  // of the activation

    __forceinline__ __device__ void begin(const Sums &p, int64) { parameter = p.parameter; }
    template <typename T> DEVICE T join(T a, T b) { return add(a, b); }
    template <typename T>
    __forceinline__ __device__ void of(T sample, T weight, T bias, T target, T factor,
                                       T *terms) const {
        const T z = add(mul(sample, weight), bias);
        const T prediction = activated<Activation>(z, parameter);
        if constexpr (OUTPUTS & LOSS) {
            const T loss = Loss::of(prediction, target);
            *terms++ = WEIGHTED ? mul(loss, factor) : loss;
        }
        if constexpr (OUTPUTS & ERROR) {
            const T error = sub(prediction, target);
            *terms++ = WEIGHTED ? mul(error, factor) : error;
        }
        if constexpr (OUTPUTS & (SLOPE_SAMPLE | SLOPE | SLOPE_WEIGHT)) {
            T slope = Chained<Derivative>::of(Loss::derivative(prediction, target), z, parameter);
            if (WEIGHTED) slope = mul(slope, factor);
            if constexpr (OUTPUTS & SLOPE_SAMPLE) *terms++ = mul(slope, sample);
            if constexpr (OUTPUTS & SLOPE) *terms++ = slope;
            if constexpr (OUTPUTS & SLOPE_WEIGHT) *terms++ = mul(slope, weight);
        }
    }
};

// The summands of moments of the closed form. The first input is the sample, the second the target;
// the others are rows of p.weight, along the set axis.
template <typename Formula, bool WEIGHTED, bool SIGNED> struct MomentSummands {
    static constexpr int COUNT = Formula::GIVES;
    float64 known[Formula::TAKES];

    __forceinline__ __device__ void begin(const Sums &p, int64 f) {
#pragma unroll
        for (int i = 2; i < Formula::TAKES; ++i)
            known[i] = Direct<float64, 1>::load(p.weight, i - 2, 0, f).lane[0];
    }
    DEVICE float64 join(float64 a, float64 b) { return Formula::Join::of(a, b); }
    __forceinline__ __device__ void of(float64 sample, float64, float64, float64 target,
                                       float64 factor, float64 *terms) {
        known[0] = sample;
        known[1] = target;
        Formula::of(known, terms);
        if (!WEIGHTED) return;
        const float64 weight = SIGNED ? factor : size(factor);
#pragma unroll
        for (int i = 0; i < COUNT; ++i) terms[i] = mul(terms[i], weight);
    }
};

// Elements of any dtype, first rounded to that of Memory.
template <typename Memory> struct Widening {
    typedef Vector<float64, 1> Value;
    DEVICE Value load(const Operand &x, int64 n, int64 b, int64 f) {
        return {{Convert<float64>::from(Memory::load(x, n, b, f).lane[0])}};
    }
};

// A thread handles ROWS kept indices and one feature, so that values that do not depend on the kept
// index are read once for all of them. x counts (tiles of features, groups of kept indices,
// features of a tile), so that a block of threads reads the same few features for many kept
// indices, from its cache. blockIdx.y counts blocks of the summed axis. If there is little other
// work, the runs of a block are divided among threads that differ in threadIdx.y; the first of
// these adds the totals of runs, in order.
//
// STEPS terms of a run are loaded at the same time. Loads per term: 1 / ROWS for each operand that
// does not depend on the kept index, 1 for each that depends on both indices. docs/gpu.md has the
// instructions per term; the arithmetic of absolute_error without an activation takes 5 of them.
//
// The launch bounds allow 128 registers, within which no architecture spills.
template <typename T, typename Summands, int ROWS, int STEPS, char SAMPLE, char WEIGHT, char BIAS,
          char TARGET, char FACTOR, typename Memory>
__global__ void __launch_bounds__(THREADS, 2) sums(const Sums p) {
    __shared__ T exchanged[Summands::COUNT * ROWS * THREADS];
    const int64 n_groups = (p.n_kept + ROWS - 1) / ROWS;
    int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const bool is_there = x < n_groups * p.n_features;
    if (!is_there) x = 0;
    const int64 tile = x / (n_groups * TILE);
    const int64 width = p.n_features - tile * TILE < TILE ? p.n_features - tile * TILE : TILE;
    x -= tile * n_groups * TILE;
    const int64 group = x / width;
    const int64 f = tile * TILE + x - group * width;
    int64 n[ROWS];  // the last one is repeated if there are fewer
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        n[row] = group * ROWS + row;
        if (n[row] >= p.n_kept) n[row] = p.n_kept - 1;
    }
    Rows<T, SAMPLE, ROWS, Memory> sample;
    Rows<T, WEIGHT, ROWS, Memory> weight;
    Rows<T, BIAS, ROWS, Memory> bias;
    Rows<T, TARGET, ROWS, Memory> target;
    Rows<T, FACTOR, ROWS, Memory> factor;
    sample.begin(p.sample, T(1), n, f);
    weight.begin(p.weight, T(1), n, f);
    bias.begin(p.bias, T(-0.0), n, f);
    target.begin(p.target, T(1), n, f);
    factor.begin(p.factor, T(1), n, f);
    Summands summands;
    summands.begin(p, f);

    const int64 n_blocks = (p.length + BLOCK - 1) / BLOCK;
    for (int64 block = blockIdx.y; block < n_blocks; block += gridDim.y) {
        const int64 begin = block * BLOCK;
        const int length = static_cast<int>(p.length - begin < BLOCK ? p.length - begin : BLOCK);
        float64 totals[Summands::COUNT][ROWS] = {};
        for (int first = 0; first < length; first += RUN * blockDim.y) {
            T of_run[Summands::COUNT][ROWS] = {};
            const int start = first + RUN * threadIdx.y;
            const int count = length - start < RUN ? length - start : RUN;
#pragma unroll STEPS
            for (int i = 0; i < count; ++i) {
                const int64 s = begin + start + i;
                sample.load(p.sample, s);
                weight.load(p.weight, s);
                bias.load(p.bias, s);
                target.load(p.target, s);
                factor.load(p.factor, s);
#pragma unroll
                for (int row = 0; row < ROWS; ++row) {
                    T terms[Summands::COUNT];
                    summands.of(sample.of[row], weight.of[row], bias.of[row], target.of[row],
                                factor.of[row], terms);
#pragma unroll
                    for (int o = 0; o < Summands::COUNT; ++o)
                        of_run[o][row] = Summands::join(of_run[o][row], terms[o]);
                }
            }
            // A missing run adds 0 to a number that is never -0.
            const int place = threadIdx.y * blockDim.x + threadIdx.x;
            if (blockDim.y > 1) {
#pragma unroll
                for (int o = 0; o < Summands::COUNT; ++o)
#pragma unroll
                    for (int row = 0; row < ROWS; ++row)
                        exchanged[(o * ROWS + row) * THREADS + place] = of_run[o][row];
                __syncthreads();
            }
#pragma unroll
            for (int o = 0; o < Summands::COUNT; ++o)
#pragma unroll
                for (int row = 0; row < ROWS; ++row)
                    totals[o][row] =
                        Summands::join(totals[o][row], Convert<float64>::from(of_run[o][row]));
            if (threadIdx.y == 0)
#pragma unroll 1
                for (int y = 1; y < static_cast<int>(blockDim.y); ++y)
#pragma unroll
                    for (int o = 0; o < Summands::COUNT; ++o)
#pragma unroll
                        for (int row = 0; row < ROWS; ++row)
                            totals[o][row] = Summands::join(totals[o][row],
                                Convert<float64>::from(exchanged[(o * ROWS + row) * THREADS
                                                                 + place + y * blockDim.x]));
            if (blockDim.y > 1) __syncthreads();
        }
        if (threadIdx.y || !is_there) continue;
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            if (group * ROWS + row < p.n_kept)
#pragma unroll
                for (int o = 0; o < Summands::COUNT; ++o)
                    p.totals[((block * Summands::COUNT + o) * p.n_kept + n[row]) * p.n_features + f] =
                        totals[o][row];
    }
}
