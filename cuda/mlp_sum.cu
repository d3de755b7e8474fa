// out[n, b, p]: the sums over networks of values in memory, for some networks at a time
#include "networks.cuh"

// _backends/cupy/launch/mlp.py packs this.
struct MlpSum {
    Tensor values, out;
    Tensor intercept;            // initial values of the sums, if there are no totals yet; null: 0
    Tensor set_index;            // for each sample, the set whose weights it uses; or null
    Tensor totals;               // float64: sums so far, also written; null if all are in `values`
    int64 n_sets, n_samples, n_subnets, n_outputs;
    int64 n_weights;             // number of sets for set_index
    int64 is_first, is_last;     // among the pieces of the networks
};

// A thread handles one sum.
template <typename T, typename In, typename Out>
__global__ void __launch_bounds__(128) mlp_sum(const MlpSum p) {
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (x >= p.n_sets * p.n_samples * p.n_outputs || threadIdx.y) return;
    const int64 row = x / p.n_outputs, k = x - row * p.n_outputs;
    const int64 n = row / p.n_samples, b = row - n * p.n_samples;
    const int64 set = p.set_index.data ? set_at(p.set_index, b, p.n_weights) : n;

    float64 total = 0.0;
    float64 *const kept = reinterpret_cast<float64 *>(p.totals.at(n, b, 0, k));
    if (!p.is_first)
        total = *kept;
    else if (p.intercept.data && set >= 0)
        total = Convert<float64>::from(
            number_at<T, In>(p.intercept, p.intercept.at(set, 0, 0, k)));
#pragma unroll 1
    for (int64 s = 0; s < p.n_subnets; ++s)
        total = add(total, Convert<float64>::from(
                               number_at<T, Direct<T, 1>>(p.values, p.values.at(n, b, s, k))));
    if (p.is_last)
        write_at<Out>(p.out, p.out.at(n, b, 0, k), &total, set >= 0);
    else
        *kept = total;
}
