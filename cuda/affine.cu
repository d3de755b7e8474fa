// out[n, b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f])
#include "affine.cuh"

// _backends/cupy/launch/affine.py packs this.
struct Affine {
    Operand samples, weight, bias, out;   // bias.data is null without a bias
    float64 parameter;                    // of the activation
    int64 n_sets, n_samples, n_features;
};

// A thread handles one sample and LANES features and walks over the sets, so that shared samples
// are read once. x counts (sample, vector of features), y counts sets.
template <typename T, typename Activation, typename Memory>
__global__ void __launch_bounds__(256) affine(const Affine p) {
    const int64 vectors = p.n_features / Memory::LANES;
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    if (x >= p.n_samples * vectors) return;
    const int64 b = x / vectors;
    const int64 f = (x - b * vectors) * Memory::LANES;

    int64 n = static_cast<int64>(blockIdx.y) * blockDim.y + threadIdx.y;
    if (n >= p.n_sets) return;
    typename Memory::Value sample = Memory::load(p.samples, n, b, f);
    // Unrolled, the 64-bit addresses of several sets do not fit in registers on every architecture.
#pragma unroll 1
    for (; n < p.n_sets; n += static_cast<int64>(gridDim.y) * blockDim.y) {
        if (p.samples.set) sample = Memory::load(p.samples, n, b, f);
        Memory::store(p.out, n, b, f,
                      evaluated<Activation, Memory>(sample, p.weight, p.bias, n, f, p.parameter));
    }
}
