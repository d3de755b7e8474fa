// after[n, b, s, k]: the values of one layer of N sets of S networks, of any width
//
// With transposed weights and a derivative, it is the step back from delta to that of the previous
// layer. Networks that need more registers or shared memory than there are go through memory layer
// by layer.
#include "networks.cuh"

// _backends/cupy/launch/mlp.py packs this.
struct MlpLayer {
    Tensor before, after;  // samples, or the values of a layer
    Tensor inputs;         // (networks, units), int64: the features that the first layer sees; or null
    Tensor set_index;      // for each sample, the set whose weights it uses; or null
    Tensor weight, bias;
    Tensor sums;           // their derivatives multiply the results; or null
    float64 parameter;     // of the activation, or of the derivative
    int64 n_sets, n_samples, n_subnets, n_inputs, n_outputs;
    int64 n_weights;       // number of sets for set_index
    int64 neighbours;      // input 0 of network s is feature s * neighbours
    int64 columns;         // threads that share the samples of a network
};

// A thread handles UNITS units of ROWS samples of a network, `columns` apart; beyond the last unit
// and the last sample it repeats these. x counts networks and their samples, y counts units.
template <typename T, typename In, typename Out, typename Activation, int UNITS, int ROWS,
          typename Derivative = Linear>
__global__ void __launch_bounds__(128) mlp_layer(const MlpLayer p) {
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64 network = x / p.columns, b = x - network * p.columns;
    if (network >= p.n_sets * p.n_subnets || threadIdx.y) return;
    const int64 n = network / p.n_subnets, s = network - n * p.n_subnets;
    const int64 set = p.set_index.data ? set_at(p.set_index, b, p.n_weights) : n;
    const int64 first = static_cast<int64>(blockIdx.y) * UNITS;

    // The distances of unit u from the first one, and of rows from each other.
    auto unit = [&](int u) { return first + u < p.n_outputs ? first + u : p.n_outputs - 1; };
    auto sample = [&](int row) {
        const int64 of_row = b + row * p.columns;
        return of_row < p.n_samples ? of_row : p.n_samples - 1;
    };

    T z[UNITS][ROWS] = {};
    if (set >= 0) {
        if (p.bias.data)
#pragma unroll
            for (int u = 0; u < UNITS; ++u)
#pragma unroll
                for (int row = 0; row < ROWS; ++row)
                    z[u][row] = row ? z[u][0]
                        : number_at<T, In>(p.bias, p.bias.at(set, 0, s, unit(u)));
        char *rows[ROWS];
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            rows[row] = p.before.at(n, sample(row), s, s * p.neighbours);
        char *weights = p.weight.at(set, 0, s, 0);
        const int64 *const inputs =
            p.inputs.data ? reinterpret_cast<const int64 *>(p.inputs.at(0, 0, s, 0)) : nullptr;
#pragma unroll 1
        for (int64 i = 0; i < p.n_inputs; ++i, weights += p.weight.sample) {
            const int64 skipped = (inputs ? inputs[i] : i) * p.before.unit;
            T h[ROWS];
#pragma unroll
            for (int row = 0; row < ROWS; ++row)
                h[row] = number_at<T, In>(p.before, rows[row] + skipped);
            const bool begins = i == 0 && !p.bias.data;
#pragma unroll
            for (int u = 0; u < UNITS; ++u) {
                const T w = number_at<T, In>(p.weight, weights + unit(u) * p.weight.unit);
#pragma unroll
                for (int row = 0; row < ROWS; ++row) {
                    const T product = mul(h[row], w);
                    z[u][row] = begins ? product : add(z[u][row], product);
                }
            }
        }
    }
#pragma unroll
    for (int u = 0; u < UNITS; ++u) {
        if (first + u >= p.n_outputs) return;
        Unit<T, ROWS> unit;
#pragma unroll
        for (int row = 0; row < ROWS; ++row) unit.of[row] = z[u][row];
        unit = Applied<Activation>::to(unit, p.parameter);
        if constexpr (!is_linear<Derivative>::value) {
            Unit<T, ROWS> slope;
#pragma unroll
            for (int row = 0; row < ROWS; ++row)
                slope.of[row] = number_at<T, Direct<T, 1>>(p.sums, p.sums.at(n, sample(row), s, first + u));
            slope = Applied<Derivative>::to(slope, p.parameter);
#pragma unroll
            for (int row = 0; row < ROWS; ++row) unit.of[row] = mul(unit.of[row], slope.of[row]);
        }
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            if (b + row * p.columns < p.n_samples)
                write_at<Out>(p.after, p.after.at(n, b + row * p.columns, s, first + u),
                              &unit.of[row], set >= 0);
    }
}
