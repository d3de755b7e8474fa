// totals[block, n, s] = the sums over blocks of samples of the losses of networks with hidden
// layers, with each sample's values in the registers of a thread
#include "mlp.cuh"
#include "outputs.cuh"

// _backends/cupy/launch/mlp_sums.py packs this.
struct MlpLoss {
    LossOperands of_loss;
    Mlp mlp;  // its `out` has blocks in place of samples; a part of the samples is a block
};

constexpr int RUN = 32;

// Threads differ in threadIdx.y. A block handles a group of networks for a block of samples, in
// passes of `lanes` * ROWS samples, whose losses are in shared memory. All passes but the last have
// whole runs. A thread adds each run; then one thread adds the runs of a network.
template <typename T, typename In, typename Targets, typename Factor, int ROWS, typename OutputLoss,
          typename... Layers>
__global__ void __launch_bounds__(THREADS) mlp_loss(const MlpLoss q) {
    constexpr int IN = Ends<Layers...>::IN, OUT = Ends<Layers...>::OUT, LAST = sizeof...(Layers) - 1;
    __shared__ T terms[THREADS * (ROWS + 1)];  // network by network, with runs 33 apart
    __shared__ T runs[THREADS];
    const Mlp &p = q.mlp;
    Packed<T> *const weights = weights_of_block<T>();
    const int group = static_cast<int>(p.group), lanes = static_cast<int>(p.lanes);
    const int pass = lanes * ROWS, pitch = pass + (pass + RUN - 1) / RUN;
    const int thread = threadIdx.y, g = thread / lanes, lane = thread % lanes;
    const Packed<T> *const mine = weights + g * vectors_of_network<T, Layers...>();
    const int64 n_networks = p.n_sets * p.n_subnets;

    for (int64 work = blockIdx.x; work < p.n_groups * p.n_parts; work += gridDim.x) {
        const int64 of_group = work / p.n_parts, first = of_group * group, network = first + g;
        const int64 n = network / p.n_subnets, s = network - n * p.n_subnets;
        const int64 block = work - of_group * p.n_parts;
        int64 end = (block + 1) * p.span;
        if (end > p.n_samples) end = p.n_samples;
        stage_group<T, In, false, Layers...>(p, weights, first, 0);
        float64 total = 0.0;  // of the network with the thread's number
#pragma unroll 1
        for (int64 begin = block * p.span; begin < end; begin += pass) {
            if (g < group && network < n_networks && begin + lane < end)
                evaluate<T, ROWS, 0, Layers...>(
                    p, mine, features_of<T, In, ROWS, IN>(p, n, s, begin + lane),
                    [&](const T(&values)[OUT][ROWS]) {
#pragma unroll
                        for (int row = 0; row < ROWS; ++row) {
                            const int i = lane + row * lanes;
                            if (begin + i >= end) return;
                            T z[OUT];
#pragma unroll
                            for (int k = 0; k < OUT; ++k) z[k] = values[k][row];
                            terms[g * pitch + i + i / RUN] =
                                loss_of_sample<OutputLoss, Targets, Factor>(
                                    q.of_loss, z, n, begin + i, s, p.parameters[LAST]);
                        }
                    });
            __syncthreads();
            const int there = end - begin < pass ? static_cast<int>(end - begin) : pass;
            const int n_runs = (there + RUN - 1) / RUN;
#pragma unroll 1
            for (int e = thread; e < group * n_runs; e += blockDim.y) {
                const int of_network = e / n_runs, run = e - of_network * n_runs;
                if (first + of_network >= n_networks) break;
                const int count = there - run * RUN < RUN ? there - run * RUN : RUN;
                const T *const term = terms + of_network * pitch + run * (RUN + 1);
                T of_run = T();
#pragma unroll 4
                for (int i = 0; i < count; ++i) of_run = add(of_run, term[i]);
                runs[e] = of_run;
            }
            __syncthreads();
            if (thread < group && first + thread < n_networks)
#pragma unroll 1
                for (int run = 0; run < n_runs; ++run)
                    total = add(total, Convert<float64>::from(runs[thread * n_runs + run]));
        }
        const int64 own = first + thread, set = own / p.n_subnets;
        if (thread < group && own < n_networks)
            *reinterpret_cast<float64 *>(p.out.at(set, block, own - set * p.n_subnets, 0)) = total;
    }
}
