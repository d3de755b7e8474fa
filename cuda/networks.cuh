// Shared by the kernels of networks with hidden layers: arrays, and access to their numbers.
#pragma once
#include "affine.cuh"

// An array as the kernel sees it. Strides are in bytes, over sets, samples (of a weight: inputs),
// networks, and features or units. They are 0 along an axis that the array lacks or shares.
struct Tensor {
    char *data;  // null: the array is absent
    int64 set, sample, network, unit;
    int64 dtype;

    __forceinline__ __device__ char *at(int64 n, int64 b, int64 s, int64 k) const {
        return data + n * set + b * sample + s * network + k * unit;
    }
};

// The values of a unit for the samples of a thread.
template <typename T, int ROWS> struct Unit { T of[ROWS]; };

// Replaces a long activation by a function call for all samples of a thread at once. Inlined for
// each of a thread's many values, it would take seconds to compile, and exceed the instruction
// caches.
template <typename Activation> struct Called;

template <typename Activation> struct Applied {
    template <typename T, int ROWS> DEVICE Unit<T, ROWS> to(Unit<T, ROWS> z, float64 parameter) {
#pragma unroll
        for (int row = 0; row < ROWS; ++row)
            z.of[row] = activated<Activation>(z.of[row], parameter);
        return z;
    }
};
template <typename Activation> struct Applied<Called<Activation>> {
    template <typename T, int ROWS>
    static __noinline__ __device__ Unit<T, ROWS> to(Unit<T, ROWS> z, float64 parameter) {
        return Applied<Activation>::to(z, parameter);
    }
};

template <typename Function> struct is_linear { static constexpr bool value = false; };
template <> struct is_linear<Linear> { static constexpr bool value = true; };

// The number at an address in an array, in the dtype T of the arithmetic.
template <typename T, typename Memory> DEVICE T number_at(const Tensor &x, char *address) {
    return Convert<T>::from(Memory::load({address, 0, 0, 0, x.dtype}, 0, 0, 0).lane[0]);
}

// The dtype of results: the one that Memory writes.
template <typename Memory> struct written;
template <typename R, int LANES> struct written<Direct<R, LANES>> { typedef R type; };
template <typename R> struct written<Converting<R>> { typedef R type; };

// Writes a result, rounded once, or the value that replaces it for an out-of-range set.
template <typename Memory, typename T>
DEVICE void write_at(const Tensor &x, char *address, const T *values, bool exists) {
    typedef typename written<Memory>::type R;
    typename Memory::Value value;
#pragma unroll
    for (int i = 0; i < Memory::LANES; ++i)
        value.lane[i] = exists ? Convert<R>::from(values[i]) : missing<R>::value();
    Memory::store({address, 0, 0, 0, x.dtype}, 0, 0, 0, value);
}

// The set of sample b, or -1 if its index is out of range.
DEVICE int64 set_at(const Tensor &set_index, int64 b, int64 n_sets) {
    const int64 n = number_at<int64, Converting<int64>>(set_index, set_index.at(0, b, 0, 0));
    return n >= 0 && n < n_sets ? n : -1;
}
