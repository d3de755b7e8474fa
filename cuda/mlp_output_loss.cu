// totals[block, n, s] = the sums over blocks of samples of the losses of outputs in memory; and
// their slopes
#include "outputs.cuh"

// _backends/cupy/launch/mlp_sums.py packs this.
struct MlpOutputLoss {
    LossOperands of_loss;
    Tensor sums;        // of the last layer
    Tensor slopes;      // or null
    Tensor totals;      // float64, with blocks in place of samples; or null
    float64 parameter;  // of the activation
    int64 n_sets, n_samples, n_subnets, n_outputs;
    int64 is_first;     // whether totals begin with these samples, rather than continue
};

constexpr int RUN = 32, BLOCK = 4096, THREADS = 128;

// x counts networks, y the runs of a block of samples that are added at the same time; blockIdx.y
// counts blocks of samples.
template <typename T, typename OutputLoss>
__global__ void __launch_bounds__(THREADS, 4) mlp_output_loss(const MlpOutputLoss p) {
    __shared__ T runs[THREADS];
    constexpr int WIDTH = OutputLoss::WIDTH;
    typedef Direct<T, 1> Memory;
    const Tensor &targets = p.of_loss.targets, &factors = p.of_loss.factor;
    const int64 x = static_cast<int64>(blockIdx.x) * blockDim.x + threadIdx.x;
    const bool is_there = x < p.n_sets * p.n_subnets;
    const int64 network = is_there ? x : 0, n = network / p.n_subnets, s = network - n * p.n_subnets;
    T *const mine = runs + threadIdx.y * blockDim.x + threadIdx.x;

    for (int64 begin = blockIdx.y * int64(BLOCK); begin < p.n_samples;
         begin += gridDim.y * int64(BLOCK)) {
        const int length =
            p.n_samples - begin < BLOCK ? static_cast<int>(p.n_samples - begin) : BLOCK;
        float64 total = 0.0;
        float64 *const kept = reinterpret_cast<float64 *>(p.totals.at(n, begin / BLOCK, s, 0));
        if (p.totals.data && !p.is_first) total = *kept;
        for (int first = 0; first < length; first += RUN * blockDim.y) {
            const int start = first + RUN * threadIdx.y;
            const int stop = length < start + RUN ? length : start + RUN;
            T of_run = T();
#pragma unroll 1
            for (int64 b = begin + start; is_there && b < begin + stop; ++b) {
                T term = T(), factor = T(1);
                if (factors.data) factor = number_at<T, Converting<T>>(factors, factors.at(0, b, 0, 0));
#pragma unroll 1
                for (int64 k = 0; k < p.n_outputs; k += WIDTH) {
                    T z[WIDTH];
#pragma unroll
                    for (int i = 0; i < WIDTH; ++i)
                        z[i] = number_at<T, Memory>(p.sums, p.sums.at(n, b, s, k + i));
                    const T target = number_at<T, Converting<T>>(targets, targets.at(n, b, s, k));
                    const T loss = OutputLoss::of(z, &target, p.parameter);
                    term = k ? add(term, loss) : loss;
                    if (!p.slopes.data) continue;
#pragma unroll
                    for (int i = 0; i < WIDTH; ++i) {
                        const T slope = factors.data ? mul(z[i], factor) : z[i];
                        write_at<Memory>(p.slopes, p.slopes.at(n, b, s, k + i), &slope, true);
                    }
                }
                of_run = add(of_run, factors.data ? mul(term, factor) : term);
            }
            *mine = of_run;
            if (blockDim.y > 1) __syncthreads();
            // A missing run adds 0 to a number that is never -0.
            if (threadIdx.y == 0)
#pragma unroll 1
                for (int y = 0; y < static_cast<int>(blockDim.y); ++y)
                    total = add(total, Convert<float64>::from(mine[y * blockDim.x]));
            if (blockDim.y > 1) __syncthreads();
        }
        if (p.totals.data && is_there && threadIdx.y == 0) *kept = total;
    }
}
