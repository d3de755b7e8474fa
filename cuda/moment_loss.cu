// The losses of the closed form, loss[n, f], or loss[n], their sum over features, divided; and
// gradients
#include "moments.cuh"
#include "trees.cuh"

// multisubnet/_backends/cupy/launch/moments.py packs this.
struct MomentLoss {
    Operand weight, bias, moments;        // the rows of moments are along the set axis
    Operand loss;                         // if there are several tiles of features, along features
    Operand grad_weight, grad_bias;       // data is null if not requested
    float64 divisor;
    int64 n_sets, n_features, n_tiles;    // features, and tiles of them
    int64 width;                          // of a tile, a power of two
    int64 per_feature;
};

constexpr int THREADS = 256;  // per block
constexpr int MOST = THREADS * LEAVES;

// An element read through Memory, in float64.
template <typename Memory> DEVICE float64 wide(const Operand &x, int64 n, int64 f) {
    return Convert<float64>::from(Memory::load(x, n, 0, f).lane[0]);
}

// Threads differ in threadIdx.y. A block handles a tile of features of as many sets as give each
// thread LEAVES elements. Neighbouring threads evaluate neighbouring features. The results are then
// added in the order of the tree, by threads with neighbouring LEAVES.
template <typename Memory, typename Formula>
__global__ void __launch_bounds__(THREADS, 2) moment_loss(const MomentLoss p) {
    __shared__ float64 losses[MOST + THREADS];  // padded, so that threads read different banks
    __shared__ float64 exchanged[THREADS];
    const int thread = threadIdx.y, threads = blockDim.y;
    const int width = static_cast<int>(p.width);
    const int n_sets = threads * LEAVES / width;  // of the block
    const int64 group = blockIdx.x / p.n_tiles, tile = blockIdx.x - group * p.n_tiles;
#pragma unroll 1
    for (int i = 0; i < LEAVES; ++i) {
        const int e = i * threads + thread;
        const int64 n = group * n_sets + e / width, f = tile * width + e % width;
        float64 loss = Sum::NOTHING;
        if (n < p.n_sets && f < p.n_features) {
            float64 in[Formula::TAKES], out[Formula::GIVES];
            in[0] = wide<Memory>(p.weight, n, f);
            in[1] = p.bias.data ? wide<Memory>(p.bias, n, f) : -0.0;
#pragma unroll
            for (int m = 2; m < Formula::TAKES; ++m)
                in[m] = Direct<float64, 1>::load(p.moments, m - 2, 0, f).lane[0];
            Formula::of(in, out);
            loss = out[0];
            if (p.grad_weight.data)
                Converting<float64>::store(p.grad_weight, n, 0, f, {{div(out[1], p.divisor)}});
            if (p.grad_bias.data)
                Converting<float64>::store(p.grad_bias, n, 0, f, {{div(out[2], p.divisor)}});
            if (p.per_feature)
                Converting<float64>::store(p.loss, n, 0, f, {{div(loss, p.divisor)}});
        }
        losses[e + e / LEAVES] = loss;
    }
    if (p.per_feature) return;
    __syncthreads();
    float64 leaf[LEAVES];
#pragma unroll
    for (int i = 0; i < LEAVES; ++i) leaf[i] = losses[thread * (LEAVES + 1) + i];
    const int lanes = width / LEAVES, lane = thread % lanes;
    const float64 total =
        of_lanes<Sum>(of_leaves<Sum>(leaf), exchanged + thread, lane, lanes, 1);
    const int64 n = group * n_sets + thread / lanes;
    if (lane || n >= p.n_sets) return;
    const float64 loss = p.n_tiles > 1 ? total : div(total, p.divisor);
    Converting<float64>::store(p.loss, n, 0, tile, {{loss}});
}
