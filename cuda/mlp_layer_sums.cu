// totals[block, n, s, j, k] = the sums over blocks of samples of h[j] * delta[k], and of delta[k],
// of one layer of N sets of S networks, of any width
#include "networks.cuh"

// _backends/cupy/launch/mlp_sums.py packs this.
struct MlpLayerSums {
    Tensor before;        // h: samples, or the values of a layer
    Tensor delta;
    Tensor inputs;        // (networks, units), int64: the features that the first layer sees; or null
    Tensor weight, bias;  // totals: float64, with blocks in place of samples, and j * n_outputs + k in
                          // place of units; or null
    int64 n_sets, n_samples, n_subnets, n_inputs, n_outputs;
    int64 neighbours;     // input 0 of network s is feature s * neighbours
    int64 is_first;       // whether totals begin with these samples, rather than continue
};

constexpr int64 RUN = 32, BLOCK = 4096;

// A thread handles one sum; each network has n_inputs + 1 rows of them, the last one for biases.
// blockIdx.y counts blocks of samples.
template <typename T, typename In>
__global__ void __launch_bounds__(128, 4) mlp_layer_sums(const MlpLayerSums p) {
    int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const int64 of_network = (p.n_inputs + 1) * p.n_outputs, network = x / of_network;
    if (network >= p.n_sets * p.n_subnets || threadIdx.y) return;
    x -= network * of_network;
    const int64 n = network / p.n_subnets, s = network - n * p.n_subnets;
    const int64 j = x / p.n_outputs, k = x - j * p.n_outputs;
    const bool is_bias = j == p.n_inputs;
    const Tensor &totals = is_bias ? p.bias : p.weight;
    if (!totals.data) return;
    int64 unit = j;
    if (p.inputs.data && !is_bias)
        unit = *reinterpret_cast<const int64 *>(p.inputs.at(0, 0, s, j));
    const char *const h = p.before.at(n, 0, s, s * p.neighbours + unit);
    const char *const delta = p.delta.at(n, 0, s, k);

    for (int64 begin = blockIdx.y * BLOCK; begin < p.n_samples; begin += gridDim.y * BLOCK) {
        const int64 end = p.n_samples - begin < BLOCK ? p.n_samples : begin + BLOCK;
        float64 *const kept =
            reinterpret_cast<float64 *>(totals.at(n, begin / BLOCK, s, is_bias ? k : x));
        float64 total = p.is_first ? 0.0 : *kept;
#pragma unroll 1
        for (int64 run = begin; run < end; run += RUN) {
            T of_run = T();
#pragma unroll 1
            for (int64 b = run; b < run + RUN && b < end; ++b) {
                T term = *reinterpret_cast<const T *>(delta + b * p.delta.sample);
                if (!is_bias) {
                    char *const at = const_cast<char *>(h) + b * p.before.sample;
                    term = mul(number_at<T, In>(p.before, at), term);
                }
                of_run = add(of_run, term);
            }
            total = add(total, Convert<float64>::from(of_run));
        }
        *kept = total;
    }
}
