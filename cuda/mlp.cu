// out[n, b, s, p]: the values of N sets of S networks with hidden layers, with each sample's values
// in the registers of a thread; or, ADDITIVE, out[n, b, p], their sums over s
#include "mlp.cuh"

// Writes a thread's values for its samples.
template <typename Out, typename T, int OUT, int ROWS>
DEVICE void write_rows(const Mlp &p, int64 n, int64 s, int64 b, const T (&values)[OUT][ROWS],
                       bool exists) {
#pragma unroll
    for (int row = 0; row < ROWS; ++row) {
        if (b + row * p.lanes >= p.n_samples) return;
#pragma unroll
        for (int k = 0; k < OUT; k += Out::LANES) {
            T together[Out::LANES];
#pragma unroll
            for (int i = 0; i < Out::LANES; ++i) together[i] = values[k + i][row];
            write_at<Out>(p.out, p.out.at(n, b + row * p.lanes, s, k), together, exists);
        }
    }
}

// Threads differ in threadIdx.y. A block handles a group of networks for a part of the samples.
template <typename T, typename In, typename Out, int ROWS, bool ADDITIVE, typename... Layers>
__global__ void __launch_bounds__(THREADS) mlp(const Mlp p) {
    constexpr int IN = Ends<Layers...>::IN, OUT = Ends<Layers...>::OUT;
    Packed<T> *const weights =
        weights_of_block<T>() + vectors_of_thread<T, ROWS, Layers...>() * blockDim.y;
    const int group = static_cast<int>(p.group), lanes = static_cast<int>(p.lanes);
    const int thread = threadIdx.y;
    const int g = p.networks_first ? thread % group : thread / lanes;
    const int lane = p.networks_first ? thread / group : thread % lanes;
    const Packed<T> *const mine = weights + g * vectors_of_network<T, Layers...>();
    const int64 n_networks = ADDITIVE ? p.n_sets : p.n_sets * p.n_subnets;

    for (int64 work = blockIdx.x; work < p.n_groups * p.n_parts; work += gridDim.x) {
        const int64 of_group = work / p.n_parts, first = of_group * group, network = first + g;
        const int64 n = ADDITIVE ? network : network / p.n_subnets;
        int64 b = (work - of_group * p.n_parts) * p.span, end = b + p.span;
        if (end > p.n_samples) end = p.n_samples;
        b += lane;
        const bool is_busy = g < group && lane < lanes && network < n_networks && b < end;
        const bool exists =
            !is_busy || !p.set_index.data || set_at(p.set_index, n, p.n_weights) >= 0;

        if constexpr (ADDITIVE) {
            float64 totals[OUT][ROWS];
#pragma unroll
            for (int k = 0; k < OUT; ++k) {
                totals[k][0] = 0.0;
                if (p.intercept.data && is_busy && exists) {
                    const int64 set = p.set_index.data ? set_at(p.set_index, n, p.n_weights) : n;
                    totals[k][0] = Convert<float64>::from(
                        number_at<T, In>(p.intercept, p.intercept.at(set, 0, 0, k)));
                }
#pragma unroll
                for (int row = 1; row < ROWS; ++row) totals[k][row] = totals[k][0];
            }
#pragma unroll 1
            for (int64 s = 0; s < p.n_subnets; ++s) {
                stage_group<T, In, ADDITIVE, Layers...>(p, weights, first, s);
                if (!is_busy) continue;
                evaluate<T, ROWS, 0, Layers...>(
                    p, mine, features_of<T, In, ROWS, IN>(p, n, s, b),
                    [&](const T(&values)[OUT][ROWS]) {
#pragma unroll
                        for (int k = 0; k < OUT; ++k)
#pragma unroll
                            for (int row = 0; row < ROWS; ++row)
                                totals[k][row] =
                                    add(totals[k][row], Convert<float64>::from(values[k][row]));
                    });
            }
            if (is_busy) write_rows<Out>(p, n, 0, b, totals, exists);
        } else {
            const int64 s = network - n * p.n_subnets;
            stage_group<T, In, ADDITIVE, Layers...>(p, weights, first, 0);
            if (!is_busy) continue;
#pragma unroll 1
            for (; b < end; b += ROWS * lanes)
                evaluate<T, ROWS, 0, Layers...>(p, mine, features_of<T, In, ROWS, IN>(p, n, s, b),
                                                [&](const T(&values)[OUT][ROWS]) {
                                                    write_rows<Out>(p, n, s, b, values, exists);
                                                });
        }
    }
}
