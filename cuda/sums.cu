// totals[k, o, n, f] = the sum over block k of the summed axis of term o, in the order that
// multisubnet/_terms.py gives, of which RUN and BLOCK are
//
// The terms are those of activation(sample * weight + bias) and a target. Among the strides of an
// operand, `set` is that of the axis that is kept and `sample` that of the one that is summed up,
// whichever of the two they are.
#include "affine.cuh"
#include "losses.cuh"

// multisubnet/_launch.py packs this.
struct Sums {
    Operand sample, weight, bias, target, factor;  // where data is null: 1, 1, -0.0, 1, 1
    float64 *totals;
    float64 parameter;                             // of the activation
    int64 n_kept, length, n_features;
};

constexpr int64 RUN = 32, BLOCK = 4096;
constexpr int ROWS = 4;       // kept indices of a thread
constexpr int THREADS = 256;  // of a block

// The values of an operand in the rows of a thread. KIND says what they depend on: the kept index
// (h), the summed one (s, or f where one number is all features'), or both (e).
template <typename T, char KIND, typename Memory> struct Rows {
    static constexpr bool IS_HELD = KIND == 'h';
    T of[ROWS];

    __forceinline__ __device__ void load(const Operand &x, T missing, const int64 *n, int64 i,
                                         int64 f) {
        if constexpr (KIND == 's' || KIND == 'f') {
            const T value = Memory::load(x, 0, i, f).lane[0];
#pragma unroll
            for (int row = 0; row < ROWS; ++row) of[row] = value;
        } else if constexpr (KIND != '-') {
#pragma unroll
            for (int row = 0; row < ROWS; ++row)
                of[row] = x.data ? Memory::load(x, n[row], i, f).lane[0] : missing;
        }
    }
};

// The slope of a loss, times that of the activation.
template <typename Derivative> struct Chained {
    template <typename T> DEVICE T of(T slope, T z, float64 parameter) {
        return mul(slope, activated<Derivative>(z, parameter));
    }
};
template <> struct Chained<LinearDerivative> {
    template <typename T> DEVICE T of(T slope, T, float64) { return slope; }
};

// The terms that there are, in this order.
enum Output { LOSS = 1, ERROR = 2, SLOPE_SAMPLE = 4, SLOPE = 8, SLOPE_WEIGHT = 16 };
DEVICE constexpr int count_of(int outputs) {
    return outputs ? (outputs & 1) + count_of(outputs >> 1) : 0;
}

template <typename Loss, typename Activation, typename Derivative, int OUTPUTS, bool WEIGHTED>
struct Terms {
    static constexpr int COUNT = count_of(OUTPUTS);

    template <typename T>
    DEVICE void of(T sample, T weight, T bias, T target, T factor, float64 parameter, T *terms) {
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

// A thread owns ROWS kept indices and one feature, so that what does not depend on the kept index is
// read once for all of them. x counts (kept indices, feature), blockIdx.y counts blocks of the summed
// axis. Where there is little else to do at once, the runs of a block are divided among threads that
// differ in threadIdx.y; the first of these adds up the runs' totals, in order.
//
// The launch bounds allow for 128 registers in float32 and 255 in float64: nothing is spilled.
template <typename T, typename Terms, char SAMPLE, char WEIGHT, char BIAS, char TARGET, char FACTOR,
          typename Memory>
__global__ void __launch_bounds__(THREADS, sizeof(T) == 8 ? 1 : 2) sums(const Sums p) {
    __shared__ T exchanged[Terms::COUNT * ROWS * THREADS];
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64 group = x / p.n_features;
    const int64 f = x - group * p.n_features;
    int64 n[ROWS];  // beyond the last one, the last one again
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        n[row] = group * ROWS + row;
        if (n[row] >= p.n_kept) n[row] = p.n_kept - 1;
    }
    Rows<T, SAMPLE, Memory> sample;
    Rows<T, WEIGHT, Memory> weight;
    Rows<T, BIAS, Memory> bias;
    Rows<T, TARGET, Memory> target;
    Rows<T, FACTOR, Memory> factor;
    if (sample.IS_HELD) sample.load(p.sample, T(1), n, 0, f);
    if (weight.IS_HELD) weight.load(p.weight, T(1), n, 0, f);
    if (bias.IS_HELD) bias.load(p.bias, T(-0.0), n, 0, f);
    if (target.IS_HELD) target.load(p.target, T(1), n, 0, f);

    const int64 n_blocks = (p.length + BLOCK - 1) / BLOCK;
    for (int64 block = blockIdx.y; block < n_blocks; block += gridDim.y) {
        const int64 end = (block + 1) * BLOCK < p.length ? (block + 1) * BLOCK : p.length;
        float64 totals[Terms::COUNT][ROWS] = {};
        for (int64 first = block * BLOCK; first < end; first += RUN * blockDim.y) {
            T of_run[Terms::COUNT][ROWS] = {};
            const int64 start = first + RUN * threadIdx.y;
            const int64 stop = start + RUN < end ? start + RUN : end;
#pragma unroll 1
            for (int64 i = start; i < stop; ++i) {
                if (!sample.IS_HELD) sample.load(p.sample, T(1), n, i, f);
                if (!weight.IS_HELD) weight.load(p.weight, T(1), n, i, f);
                if (!bias.IS_HELD) bias.load(p.bias, T(-0.0), n, i, f);
                if (!target.IS_HELD) target.load(p.target, T(1), n, i, f);
                if (!factor.IS_HELD) factor.load(p.factor, T(1), n, i, f);
#pragma unroll
                for (int row = 0; row < ROWS; ++row) {
                    T terms[Terms::COUNT];
                    Terms::of(sample.of[row], weight.of[row], bias.of[row], target.of[row],
                              factor.of[row], p.parameter, terms);
#pragma unroll
                    for (int o = 0; o < Terms::COUNT; ++o)
                        of_run[o][row] = add(of_run[o][row], terms[o]);
                }
            }
            // A run that is not there any more adds 0 to what is never -0.
            const int place = threadIdx.y * blockDim.x + threadIdx.x;
            if (blockDim.y > 1) {
#pragma unroll
                for (int o = 0; o < Terms::COUNT; ++o)
#pragma unroll
                    for (int row = 0; row < ROWS; ++row)
                        exchanged[(o * ROWS + row) * THREADS + place] = of_run[o][row];
                __syncthreads();
            }
#pragma unroll
            for (int o = 0; o < Terms::COUNT; ++o)
#pragma unroll
                for (int row = 0; row < ROWS; ++row)
                    totals[o][row] = add(totals[o][row], Convert<float64>::from(of_run[o][row]));
            if (threadIdx.y == 0)
#pragma unroll 1
                for (int y = 1; y < static_cast<int>(blockDim.y); ++y)
#pragma unroll
                    for (int o = 0; o < Terms::COUNT; ++o)
#pragma unroll
                        for (int row = 0; row < ROWS; ++row)
                            totals[o][row] = add(totals[o][row],
                                Convert<float64>::from(exchanged[(o * ROWS + row) * THREADS
                                                                 + place + y * blockDim.x]));
            if (blockDim.y > 1) __syncthreads();
        }
        if (threadIdx.y) continue;
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            if (group * ROWS + row < p.n_kept)
#pragma unroll
                for (int o = 0; o < Terms::COUNT; ++o)
                    p.totals[((block * Terms::COUNT + o) * p.n_kept + n[row]) * p.n_features + f] =
                        totals[o][row];
    }
}
