// What the CUDA sources need of CUDA, for a C++ compiler: a launch is four nested loops. Where the
// threads of a block wait for each other, each has a stack of its own, and they take turns.
// Headers of C alone: those of C++ would take a third of the time of compiling a kernel.
#pragma once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define __device__
#define __global__
#define __forceinline__ inline
#define __noinline__ __attribute__((noinline))
#define __launch_bounds__(...)
#define __shared__ static thread_local

struct Dim3 {
    unsigned x, y;
};
static thread_local Dim3 blockIdx, threadIdx, blockDim, gridDim;

// Runs the blocks [first, last) of a grid, with so many bytes of shared memory of their own.
typedef void Launch(Dim3 grid, Dim3 first, Dim3 last, Dim3 block, size_t shared,
                    const void *argument);

static thread_local char *memory_of_block;
static inline void *dynamic_memory() { return memory_of_block; }

// A thread of a block that takes turns with the others.
struct Fiber {
    static constexpr size_t STACK = 1 << 16;  // bytes
    ucontext_t context;
    char stack[STACK];
    Dim3 index;
    bool done = false;
};
struct Fibers {
    const size_t size;
    Fiber *const all = new Fiber[size];
    ~Fibers() { delete[] all; }
};
static thread_local ucontext_t between_turns;
static thread_local Fiber *running;
static thread_local void (*run_kernel)(const void *);
static thread_local const void *kernel_argument;

static void fail(const char *why) {
    fputs(why, stderr);
    abort();
}

static void run_fiber() {
    run_kernel(kernel_argument);
    running->done = true;
    swapcontext(&running->context, &between_turns);
}

static inline void __syncthreads() {
    if (blockDim.x * blockDim.y == 1) return;  // it has nobody to wait for
    if (!running) fail("__syncthreads in a block of which threads do not take turns\n");
    swapcontext(&running->context, &between_turns);
}

// Apart from the loop over fibers: to a compiler getcontext returns twice, and may clobber its counter.
static void begin(Fiber &fiber) {
    fiber.done = false;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack;
    fiber.context.uc_stack.ss_size = Fiber::STACK;
    makecontext(&fiber.context, run_fiber, 0);
}

// Runs a block whose threads wait for each other: each goes on until it waits or is done. The last
// one to wait is the first to go on, so that one that does not wait long enough is seen.
static void take_turns(const Fibers &fibers) {
    for (size_t i = 0; i < fibers.size; ++i) begin(fibers.all[i]);
    bool backward = false;
    for (size_t n_done = 0; n_done < fibers.size; backward = !backward) {
        n_done = 0;
        for (size_t i = 0; i < fibers.size; ++i) {
            running = &fibers.all[backward ? fibers.size - 1 - i : i];
            threadIdx = running->index;
            swapcontext(&between_turns, &running->context);
            n_done += running->done;
        }
        if (n_done && n_done < fibers.size) fail("threads wait for one that is done\n");
    }
    running = nullptr;
}

template <typename Argument, void (*kernel)(const Argument)>
void launch(Dim3 grid, Dim3 first, Dim3 last, Dim3 block, size_t shared, const void *argument) {
    Argument p;
    memcpy(&p, argument, sizeof p);
    gridDim = grid;
    blockDim = block;
    run_kernel = [](const void *argument) { kernel(*static_cast<const Argument *>(argument)); };
    kernel_argument = &p;
    const Fibers fibers{WAITS && block.y > 1 ? size_t{block.x} * block.y : 0};
    for (size_t i = 0; i < fibers.size; ++i)
        fibers.all[i].index = {static_cast<unsigned>(i % block.x), static_cast<unsigned>(i / block.x)};
    for (blockIdx.y = first.y; blockIdx.y < last.y; ++blockIdx.y)
        for (blockIdx.x = first.x; blockIdx.x < last.x; ++blockIdx.x) {
            if (shared) {
                delete[] memory_of_block;
                memory_of_block = new char[shared];
                memset(memory_of_block, 0xff, shared);  // NaN, if nobody writes
            }
            if (fibers.size) {
                take_turns(fibers);
                continue;
            }
            for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
                for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x) kernel(p);
        }
}
