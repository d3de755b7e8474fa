// Shared by kernels that keep the weights of networks in shared memory, and the values of a sample
// in the registers of a thread
//
// The shared memory of a block holds the weights of a few networks: for each layer the biases, then
// the weights in the order of inputs, the order in which a thread adds. Threads read them 16 bytes
// at a time for ROWS samples; usually all threads of a warp read the same ones. Loops over units
// are unrolled. Wide layers are computed in turns of TURN units.
#pragma once
#include "networks.cuh"

constexpr int MOST_LAYERS = 8;
constexpr int THREADS = 128;  // per block, at most

// _backends/cupy/launch/mlp.py packs this.
struct Mlp {
    Tensor samples, out, intercept;
    Tensor inputs;                      // (networks, units), int64; null: s * IN + i
    Tensor set_index;                   // over sets: the set whose weights each one uses; or null
    Tensor layers[2 * MOST_LAYERS];     // weight and bias of each
    float64 parameters[MOST_LAYERS];    // of the activations
    int64 n_sets, n_samples, n_subnets; // of the result
    int64 n_weights;                    // number of sets for set_index
    int64 n_groups, n_parts;            // of networks and of samples: each pair is work for a block
    int64 group, span;                  // networks (or, ADDITIVE, sets) of a group; samples of a part
    int64 lanes;                        // threads per network
    int64 networks_first;               // whether neighbouring threads have neighbouring networks
};

// TURN is 0 if all units are computed at once, else a multiple of the numbers in 16 bytes. Inputs
// are PITCH numbers apart.
template <int IN_, int OUT_, typename Activation_, bool BIASED_, int TURN_ = 0> struct Layer {
    static constexpr int IN = IN_, OUT = OUT_, BIASED = BIASED_, TURN = TURN_;
    static constexpr int PITCH = TURN ? (OUT + TURN - 1) / (TURN ? TURN : 1) * TURN : OUT;
    static constexpr int SIZE = PITCH * (IN + BIASED);
    typedef Activation_ Activation;
};

// 16 bytes of weights; how many of them a layer needs, and all layers of a network: an odd number,
// so that neighbouring networks are in different banks.
template <typename T> using Packed = Vector<T, 16 / sizeof(T)>;
template <typename T, typename Layer> DEVICE constexpr int vectors_of() {
    return (Layer::SIZE * int(sizeof(T)) + 15) / 16;
}
template <typename T, typename... Layers> DEVICE constexpr int vectors_of_network() {
    return (0 + ... + vectors_of<T, Layers>()) | 1;
}

// How many such vectors a thread needs, before the weights of its block, for the values of layers
// that are computed in turns.
template <typename T, int ROWS, typename... Layers> DEVICE constexpr int vectors_of_thread() {
    const int of_layers[] = {(Layers::TURN ? Layers::PITCH : 0)...};
    int most = 0;
    for (const int units : of_layers) most = units > most ? units : most;
    return most * ROWS * int(sizeof(T)) / 16;
}

// Shared memory: vectors of threads, if any, followed by weights.
template <typename T> DEVICE Packed<T> *weights_of_block() {
#ifdef __CUDA_ARCH__
    extern __shared__ Vector<uint32, 4> dynamic_memory[];
    return reinterpret_cast<Packed<T> *>(dynamic_memory);
#else
    return static_cast<Packed<T> *>(dynamic_memory());
#endif
}

// The threads of a block copy the weights of one network to shared memory; 0 for an out-of-range
// set.
template <typename T, typename In, int NUMBER, typename First, typename... Rest>
DEVICE void stage(const Mlp &p, Packed<T> *to, int64 n, int64 s) {
    const Tensor &weight = p.layers[2 * NUMBER], &bias = p.layers[2 * NUMBER + 1];
    T *const number = reinterpret_cast<T *>(to);
    for (int e = threadIdx.y; e < First::SIZE; e += blockDim.y) {
        const int i = e / First::PITCH - First::BIASED, k = e % First::PITCH;
        const Tensor &x = i < 0 ? bias : weight;
        number[e] = n < 0 || (First::TURN && k >= First::OUT)
                        ? T()
                        : number_at<T, In>(x, x.at(n, i < 0 ? 0 : i, s, k));
    }
    if constexpr (sizeof...(Rest) > 0)
        stage<T, In, NUMBER + 1, Rest...>(p, to + vectors_of<T, First>(), n, s);
}

// The inputs of a layer in the samples of a thread: the features of a network...
template <typename T, typename In, int ROWS> struct Features {
    const Tensor *samples;
    char *at[ROWS];       // feature 0, or that of input 0
    const int64 *inputs;  // null: features are contiguous

    __forceinline__ __device__ void load(int i, T (&values)[ROWS]) const {
        const int64 skipped = (inputs ? inputs[i] : i) * samples->unit;
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            values[row] = number_at<T, In>(*samples, at[row] + skipped);
    }
};
// ...or the values of the previous layer.
template <typename T, int UNITS, int ROWS> struct Values {
    T of[UNITS][ROWS];

    __forceinline__ __device__ void load(int i, T (&values)[ROWS]) const {
#pragma unroll
        for (int row = 0; row < ROWS; ++row) values[row] = of[i][row];
    }
};

template <typename Activation, typename T, int UNITS, int ROWS>
DEVICE void activate(Values<T, UNITS, ROWS> &z, float64 parameter) {
#pragma unroll
    for (int k = 0; k < UNITS; ++k) {
        Unit<T, ROWS> unit;
#pragma unroll
        for (int row = 0; row < ROWS; ++row) unit.of[row] = z.of[k][row];
        unit = Applied<Activation>::to(unit, parameter);
#pragma unroll
        for (int row = 0; row < ROWS; ++row) z.of[k][row] = unit.of[row];
    }
}

// Computes UNITS units of a layer whose inputs are PITCH numbers apart.
template <int UNITS, typename Layer, typename T, int ROWS, typename Before>
DEVICE void units_of(const Packed<T> *weights, const Before &before, float64 parameter,
                     Values<T, UNITS, ROWS> &z) {
    constexpr int LANES = 16 / sizeof(T), SIZE = UNITS * (Layer::IN + Layer::BIASED);
    T h[ROWS] = {};
#pragma unroll
    for (int v = 0; v < (SIZE + LANES - 1) / LANES; ++v) {
        const int e_of_layer = v * LANES / UNITS * Layer::PITCH + v * LANES % UNITS;
        const Packed<T> w = weights[Layer::TURN ? e_of_layer / LANES : v];
#pragma unroll
        for (int lane = 0; lane < LANES; ++lane) {
            const int e = v * LANES + lane, i = e / UNITS - Layer::BIASED, k = e % UNITS;
            if (e >= SIZE) continue;
            if (i >= 0 && k == 0) before.load(i, h);
#pragma unroll
            for (int row = 0; row < ROWS; ++row) {
                if (i < 0) {
                    z.of[k][row] = w.lane[lane];
                    continue;
                }
                const T product = mul(h[row], w.lane[lane]);
                z.of[k][row] = i || Layer::BIASED ? add(z.of[k][row], product) : product;
            }
        }
    }
    activate<typename Layer::Activation>(z, parameter);
}

// Units that are computed in turns go through shared memory, because registers cannot be indexed by
// a variable.
template <typename Layer, typename T, int ROWS, typename Before>
DEVICE void layer_of(const Packed<T> *weights, const Before &before, float64 parameter,
                     Values<T, Layer::OUT, ROWS> &z) {
    if constexpr (Layer::TURN == 0) {
        units_of<Layer::OUT, Layer>(weights, before, parameter, z);
    } else {
        T *const mine = reinterpret_cast<T *>(weights_of_block<T>()) + threadIdx.y;
        const int step = blockDim.y;
#pragma unroll 1
        for (int first = 0; first < Layer::PITCH; first += Layer::TURN) {
            Values<T, Layer::TURN, ROWS> part = {};
            units_of<Layer::TURN, Layer>(weights + first * int(sizeof(T)) / 16, before, parameter,
                                         part);
#pragma unroll
            for (int k = 0; k < Layer::TURN; ++k)
#pragma unroll
                for (int row = 0; row < ROWS; ++row)
                    mine[((first + k) * ROWS + row) * step] = part.of[k][row];
        }
#pragma unroll
        for (int k = 0; k < Layer::OUT; ++k)
#pragma unroll
            for (int row = 0; row < ROWS; ++row) z.of[k][row] = mine[(k * ROWS + row) * step];
    }
}

// Passes the values of the last layer for the samples of a thread to `take`.
template <typename T, int ROWS, int NUMBER, typename First, typename... Rest, typename Before,
          typename Take>
DEVICE void evaluate(const Mlp &p, const Packed<T> *weights, const Before &before,
                     const Take &take) {
    Values<T, First::OUT, ROWS> z = {};
    layer_of<First>(weights, before, p.parameters[NUMBER], z);
    if constexpr (sizeof...(Rest) > 0)
        evaluate<T, ROWS, NUMBER + 1, Rest...>(p, weights + vectors_of<T, First>(), z, take);
    else
        take(z.of);
}

template <typename First, typename... Rest> struct Ends {
    static constexpr int IN = First::IN, OUT = Ends<Rest...>::OUT;
};
template <typename Only> struct Ends<Only> {
    static constexpr int IN = Only::IN, OUT = Only::OUT;
};

// Copies the weights of a group of networks, or of networks s of a group of sets.
template <typename T, typename In, bool ADDITIVE, typename... Layers>
DEVICE void stage_group(const Mlp &p, Packed<T> *weights, int64 first, int64 s) {
    __syncthreads();  // the previous weights are no longer read
    const int64 n_networks = ADDITIVE ? p.n_sets : p.n_sets * p.n_subnets;
    int64 n = first;
    if (!ADDITIVE) {
        n = first / p.n_subnets;
        s = first - n * p.n_subnets;
    }
#pragma unroll 1
    for (int64 g = 0; g < p.group && first + g < n_networks; ++g) {
        const int64 set = p.set_index.data ? set_at(p.set_index, n, p.n_weights) : n;
        stage<T, In, 0, Layers...>(p, weights + g * vectors_of_network<T, Layers...>(), set, s);
        if (ADDITIVE || ++s == p.n_subnets) {
            ++n;
            if (!ADDITIVE) s = 0;
        }
    }
    __syncthreads();
}

// The features of the samples of a thread, `lanes` apart; the last sample is repeated beyond the
// end.
template <typename T, typename In, int ROWS, int IN>
DEVICE Features<T, In, ROWS> features_of(const Mlp &p, int64 n, int64 s, int64 b) {
    Features<T, In, ROWS> x;
    x.samples = &p.samples;
    x.inputs = p.inputs.data ? reinterpret_cast<const int64 *>(p.inputs.data) + s * IN : nullptr;
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        const int64 of_row = b + row * p.lanes;
        x.at[row] = p.samples.at(n, of_row < p.n_samples ? of_row : p.n_samples - 1, 0,
                                 x.inputs ? 0 : s * IN);
    }
    return x;
}
