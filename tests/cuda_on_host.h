// What the CUDA sources need of CUDA, for a C++ compiler: a launch is four nested loops.
#pragma once
#include <cstring>

#define __device__
#define __global__
#define __forceinline__ inline
#define __launch_bounds__(threads)

struct Dim3 {
    unsigned x, y;
};
static thread_local Dim3 blockIdx, threadIdx, blockDim, gridDim;

// Runs the blocks [first, last) of a grid.
typedef void Launch(Dim3 grid, Dim3 first, Dim3 last, Dim3 block, const void *argument);

template <typename Argument, void (*kernel)(const Argument)>
void launch(Dim3 grid, Dim3 first, Dim3 last, Dim3 block, const void *argument) {
    Argument p;
    std::memcpy(&p, argument, sizeof p);
    gridDim = grid;
    blockDim = block;
    for (blockIdx.y = first.y; blockIdx.y < last.y; ++blockIdx.y)
        for (blockIdx.x = first.x; blockIdx.x < last.x; ++blockIdx.x)
            for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x) kernel(p);
}
