// totals[block, n, s, j, k] = the sums over blocks of samples of the gradients of networks with
// hidden layers, and totals[block, n, s] those of their losses
//
// For some samples of a network at a time, each of its threads goes forward and back with ROWS
// samples. It writes the factors of the products to a sheet in shared memory: a row for each input
// and each delta of a layer. Then threads handle tiles of parameters, and add their products along
// the rows, run by run.
#include "mlp.cuh"
#include "outputs.cuh"

// _backends/cupy/launch/mlp_sums.py packs this.
struct MlpGrad {
    LossOperands of_loss;
    Tensor totals[2 * MOST_LAYERS];  // float64, of weight (j * OUT + k) and bias of each layer; or null
    Mlp mlp;                         // its `out` is for losses, or null; samples are replaced by blocks
};

constexpr int RUN = 32, BLOCK = 4096;
constexpr int TILE_J = 2, TILE_K = 4;  // parameters of a layer; biases are those of an input 1

// A layer and the derivative of its activation, Linear if there is none.
template <typename Layer, typename Derivative_> struct Both : Layer {
    typedef Derivative_ Derivative;
};
template <typename First, typename...> struct Head { typedef First Layer; };

// The sheet: for each layer its inputs, 1 if there are biases, and delta; then 1, and the loss.
template <typename Layer> DEVICE constexpr int rows_of() {
    return Layer::IN + Layer::BIASED + Layer::OUT;
}
template <typename... Layers> DEVICE constexpr int rows_of_sheet() {
    return (2 + ... + rows_of<Layers>());
}
template <typename Layer> DEVICE constexpr int tiles_of() {
    return (Layer::IN + Layer::BIASED + TILE_J - 1) / TILE_J * ((Layer::OUT + TILE_K - 1) / TILE_K);
}
template <typename... Layers> DEVICE constexpr int tiles_of_network() {
    return (1 + ... + tiles_of<Layers>());
}

// Rows of the sheet are `pitch` numbers apart, samples of a thread `lanes`.
template <typename T, int ROWS> struct Column {
    T *at;
    int pitch, lanes;
    bool exists[ROWS];

    __forceinline__ __device__ void load(int i, T (&values)[ROWS]) const {
#pragma unroll
        for (int row = 0; row < ROWS; ++row) values[row] = at[i * pitch + row * lanes];
    }
    // Values for missing samples are 0, which changes no sum.
    __forceinline__ __device__ void store(int i, const T (&values)[ROWS]) const {
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            at[i * pitch + row * lanes] = exists[row] ? values[row] : T();
    }
    __forceinline__ __device__ Column below(int i) const {
        Column found = *this;
        found.at += i * pitch;
        return found;
    }
};

// delta of input j of a layer, from those of its outputs, from left to right.
template <typename Layer, typename T, int ROWS>
DEVICE void back(const Packed<T> *weights, const Values<T, Layer::OUT, ROWS> &delta, int j,
                 T (&sum)[ROWS]) {
    constexpr int LANES = Layer::OUT % (16 / int(sizeof(T))) ? 1 : 16 / int(sizeof(T));
    const T *const numbers =
        reinterpret_cast<const T *>(weights) + (Layer::BIASED + j) * Layer::OUT;
#pragma unroll
    for (int k = 0; k < Layer::OUT; k += LANES) {
        const Vector<T, LANES> w = *reinterpret_cast<const Vector<T, LANES> *>(numbers + k);
#pragma unroll
        for (int lane = 0; lane < LANES; ++lane)
#pragma unroll
            for (int row = 0; row < ROWS; ++row) {
                const T product = mul(w.lane[lane], delta.of[k + lane][row]);
                sum[row] = k + lane ? add(sum[row], product) : product;
            }
    }
}

// Goes forward from a layer, whose inputs are in the sheet, and back to the delta of its outputs.
// `to_slopes` turns the sums of the last layer into slopes.
template <typename T, int ROWS, int NUMBER, typename First, typename... Rest, typename Before,
          typename ToSlopes>
DEVICE void there_and_back(const Mlp &p, const Packed<T> *weights, const Column<T, ROWS> &sheet,
                           const Before &before, const ToSlopes &to_slopes,
                           Values<T, First::OUT, ROWS> &delta) {
    typedef typename First::Activation Activation;
    typedef typename First::Derivative Derivative;
    constexpr bool IS_LAST = sizeof...(Rest) == 0;
    typedef Layer<First::IN, First::OUT, Linear, First::BIASED != 0> Plain;
    layer_of<Plain>(weights, before, 0.0, delta);
    const Column<T, ROWS> own = sheet.below(First::IN + First::BIASED);
    if constexpr (IS_LAST) {
        to_slopes(delta.of);
    } else {
        typedef typename Head<Rest...>::Layer Next;
        const Column<T, ROWS> next = sheet.below(rows_of<First>());
        Values<T, First::OUT, ROWS> h = delta;
        if constexpr (!is_linear<Derivative>::value) {
            // delta replaces the derivative once it is known.
            activate<Derivative>(delta, p.parameters[NUMBER]);
#pragma unroll
            for (int k = 0; k < First::OUT; ++k) own.store(k, delta.of[k]);
            activate<Activation>(h, p.parameters[NUMBER]);
        }
#pragma unroll
        for (int k = 0; k < First::OUT; ++k) next.store(k, h.of[k]);
        Values<T, Next::OUT, ROWS> after = {};
        const Packed<T> *const of_next = weights + vectors_of<T, Plain>();
        there_and_back<T, ROWS, NUMBER + 1, Rest...>(p, of_next, next, h, to_slopes, after);
#pragma unroll
        for (int j = 0; j < First::OUT; ++j) {
            back<Next>(of_next, after, j, delta.of[j]);
            if constexpr (!is_linear<Derivative>::value) {
                T slope[ROWS];
                own.load(j, slope);
#pragma unroll
                for (int row = 0; row < ROWS; ++row)
                    delta.of[j][row] = mul(delta.of[j][row], slope[row]);
            }
        }
    }
#pragma unroll
    for (int k = 0; k < First::OUT; ++k) own.store(k, delta.of[k]);
}

// Some parameters of a layer, or the loss.
struct Tile {
    int h, delta;         // rows of the sheet
    int n_inputs, n_outputs, is_biased;
    int j, k;
    char *weight, *bias;  // totals of the network in this block; or null
};

template <int NUMBER, int ROW> DEVICE Tile tile_of(const MlpGrad &q, int, int64 n, int64 block, int64 s) {
    const Tensor &loss = q.mlp.out;
    return {ROW, ROW + 1, 0, 1, 1, 0, 0, nullptr, loss.data ? loss.at(n, block, s, 0) : nullptr};
}
template <int NUMBER, int ROW, typename First, typename... Rest>
DEVICE Tile tile_of(const MlpGrad &q, int tile, int64 n, int64 block, int64 s) {
    if (tile >= tiles_of<First>())
        return tile_of<NUMBER + 1, ROW + rows_of<First>(), Rest...>(q, tile - tiles_of<First>(), n,
                                                                    block, s);
    constexpr int ACROSS = (First::OUT + TILE_K - 1) / TILE_K;
    const Tensor &weight = q.totals[2 * NUMBER], &bias = q.totals[2 * NUMBER + 1];
    return {ROW, ROW + First::IN + First::BIASED, First::IN, First::OUT, First::BIASED,
            tile / ACROSS * TILE_J, tile % ACROSS * TILE_K,
            weight.data ? weight.at(n, block, s, 0) : nullptr,
            bias.data ? bias.at(n, block, s, 0) : nullptr};
}

// Adds the runs of some samples to the totals of a tile.
template <typename T>
DEVICE void add_runs(const Tile &tile, const T *sheet, int pitch, int columns, bool is_first) {
    constexpr int LANES = 16 / sizeof(T);
    typedef Vector<T, LANES> Some;
    const int last_j = tile.n_inputs + tile.is_biased - 1, last_k = tile.n_outputs - 1;
    const T *h[TILE_J], *delta[TILE_K];
#pragma unroll
    for (int j = 0; j < TILE_J; ++j)
        h[j] = sheet + (tile.h + (tile.j + j < last_j ? tile.j + j : last_j)) * pitch;
#pragma unroll
    for (int k = 0; k < TILE_K; ++k)
        delta[k] = sheet + (tile.delta + (tile.k + k < last_k ? tile.k + k : last_k)) * pitch;
    auto place = [&](int j, int k) {
        const bool is_there = tile.j + j <= last_j && tile.k + k <= last_k;
        const bool is_bias = tile.j + j == tile.n_inputs;
        float64 *const to = reinterpret_cast<float64 *>(is_bias ? tile.bias : tile.weight);
        if (!is_there || !to) return static_cast<float64 *>(nullptr);
        return to + (is_bias ? 0 : (tile.j + j) * tile.n_outputs) + tile.k + k;
    };
    float64 totals[TILE_J][TILE_K] = {};
    if (!is_first)
#pragma unroll
        for (int j = 0; j < TILE_J; ++j)
#pragma unroll
            for (int k = 0; k < TILE_K; ++k)
                if (const float64 *const from = place(j, k)) totals[j][k] = *from;
#pragma unroll 1
    for (int run = 0; run < columns; run += RUN) {
        T of_run[TILE_J][TILE_K] = {};
        const int end = columns < run + RUN ? columns : run + RUN;
#pragma unroll 1
        for (int i = run; i < end; i += LANES) {
            Some hs[TILE_J], deltas[TILE_K];
#pragma unroll
            for (int j = 0; j < TILE_J; ++j) hs[j] = *reinterpret_cast<const Some *>(h[j] + i);
#pragma unroll
            for (int k = 0; k < TILE_K; ++k)
                deltas[k] = *reinterpret_cast<const Some *>(delta[k] + i);
#pragma unroll
            for (int lane = 0; lane < LANES; ++lane)
#pragma unroll
                for (int j = 0; j < TILE_J; ++j)
#pragma unroll
                    for (int k = 0; k < TILE_K; ++k)
                        of_run[j][k] = add(of_run[j][k], mul(hs[j].lane[lane], deltas[k].lane[lane]));
        }
#pragma unroll
        for (int j = 0; j < TILE_J; ++j)
#pragma unroll
            for (int k = 0; k < TILE_K; ++k)
                totals[j][k] = add(totals[j][k], Convert<float64>::from(of_run[j][k]));
    }
#pragma unroll
    for (int j = 0; j < TILE_J; ++j)
#pragma unroll
        for (int k = 0; k < TILE_K; ++k)
            if (float64 *const to = place(j, k)) *to = totals[j][k];
}

// Writes 1 to the rows for biases and for the loss.
template <typename T, typename First, typename... Rest>
DEVICE void write_ones(T *sheet, int pitch, int columns) {
    if (First::BIASED)
        for (int i = threadIdx.y; i < columns; i += blockDim.y) sheet[First::IN * pitch + i] = T(1);
    sheet += rows_of<First>() * pitch;
    if constexpr (sizeof...(Rest) > 0)
        write_ones<T, Rest...>(sheet, pitch, columns);
    else
        for (int i = threadIdx.y; i < columns; i += blockDim.y) sheet[i] = T(1);
}

// Threads differ in threadIdx.y. A block handles a group of networks for a block of samples.
template <typename T, typename In, typename Targets, typename Factor, int ROWS, typename OutputLoss,
          typename... Layers>
__global__ void __launch_bounds__(THREADS) mlp_grad(const MlpGrad q) {
    constexpr int IN = Ends<Layers...>::IN, OUT = Ends<Layers...>::OUT, LAST = sizeof...(Layers) - 1;
    constexpr int N_ROWS = rows_of_sheet<Layers...>(), TILES = tiles_of_network<Layers...>();
    const Mlp &p = q.mlp;
    const int group = static_cast<int>(p.group), lanes = static_cast<int>(p.lanes);
    const int columns = lanes * ROWS, pitch = columns + 16 / int(sizeof(T));
    const int thread = threadIdx.y, g = thread / lanes, lane = thread % lanes;
    Packed<T> *const weights = weights_of_block<T>();
    const Packed<T> *const mine = weights + g * vectors_of_network<T, Layers...>();
    T *const sheets = reinterpret_cast<T *>(weights + group * vectors_of_network<T, Layers...>());
    const int64 n_networks = p.n_sets * p.n_subnets;
    for (int i = 0; i < group; ++i)
        write_ones<T, Layers...>(sheets + i * N_ROWS * pitch, pitch, columns);

    for (int64 work = blockIdx.x; work < p.n_groups * p.n_parts; work += gridDim.x) {
        const int64 of_group = work / p.n_parts, first = of_group * group, network = first + g;
        const int64 n = network / p.n_subnets, s = network - n * p.n_subnets;
        const int64 block = work - of_group * p.n_parts, start = block * BLOCK;
        const int64 end = p.n_samples - start < BLOCK ? p.n_samples : start + BLOCK;
        stage_group<T, In, false, Layers...>(p, weights, first, 0);
#pragma unroll 1
        for (int64 begin = start; begin < end; begin += columns) {
            if (g < group && network < n_networks) {
                Column<T, ROWS> sheet{sheets + g * N_ROWS * pitch + lane, pitch, lanes, {}};
#pragma unroll
                for (int row = 0; row < ROWS; ++row)
                    sheet.exists[row] = begin + lane + row * lanes < end;
                const auto features = features_of<T, In, ROWS, IN>(p, n, s, begin + lane);
#pragma unroll
                for (int i = 0; i < IN; ++i) {
                    T values[ROWS];
                    features.load(i, values);
                    sheet.store(i, values);
                }
                Values<T, Head<Layers...>::Layer::OUT, ROWS> delta = {};
                there_and_back<T, ROWS, 0, Layers...>(
                    p, mine, sheet, sheet,
                    [&](T(&values)[OUT][ROWS]) {
                        T terms[ROWS] = {};
#pragma unroll
                        for (int row = 0; row < ROWS; ++row) {
                            if (!sheet.exists[row]) continue;
                            T z[OUT];
#pragma unroll
                            for (int k = 0; k < OUT; ++k) z[k] = values[k][row];
                            terms[row] = loss_of_sample<OutputLoss, Targets, Factor>(
                                q.of_loss, z, n, begin + lane + row * lanes, s, p.parameters[LAST]);
#pragma unroll
                            for (int k = 0; k < OUT; ++k) values[k][row] = z[k];
                        }
                        sheet.store(N_ROWS - 1, terms);
                    },
                    delta);
            }
            __syncthreads();
            const int there = end - begin < columns ? static_cast<int>(end - begin) : columns;
            // Whole vectors: zeros follow the last sample.
            constexpr int LANES = 16 / sizeof(T);
            const int wide = (there + LANES - 1) / LANES * LANES;
#pragma unroll 1
            for (int e = thread; e < group * TILES; e += blockDim.y) {
                const int of_network = e / TILES;
                const int64 own = first + of_network, set = own / p.n_subnets;
                if (own >= n_networks) break;
                const Tile tile = tile_of<0, 0, Layers...>(q, e - of_network * TILES, set, block,
                                                           own - set * p.n_subnets);
                add_runs(tile, sheets + of_network * N_ROWS * pitch, pitch, wide, begin == start);
            }
            __syncthreads();
        }
    }
}
