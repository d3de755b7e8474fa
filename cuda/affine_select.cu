// out[b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f]) with n = set_index[b]
#include "affine.cuh"

// _backends/cupy/launch/affine.py packs this.
struct AffineSelect {
    Operand samples, weight, bias, set_index, out;  // bias.data is null without a bias
    float64 parameter;                              // of the activation
    int64 n_sets, n_samples, n_features;
};

// A thread handles one sample and LANES features.
template <typename T, typename Activation, typename Memory>
__global__ void __launch_bounds__(256) affine_select(const AffineSelect p) {
    const int64 vectors = p.n_features / Memory::LANES;
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (x >= p.n_samples * vectors || threadIdx.y) return;
    const int64 b = x / vectors;
    const int64 f = (x - b * vectors) * Memory::LANES;

    const int64 n = Converting<int64>::load(p.set_index, 0, b, 0).lane[0];
    typename Memory::Value result;
    if (n < 0 || n >= p.n_sets) {
#pragma unroll
        for (int i = 0; i < Memory::LANES; ++i) result.lane[i] = missing<T>::value();
    } else {
        const typename Memory::Value sample = Memory::load(p.samples, 0, b, f);
        result = evaluated<Activation, Memory>(sample, p.weight, p.bias, n, f, p.parameter);
    }
    Memory::store(p.out, 0, b, f, result);
}
