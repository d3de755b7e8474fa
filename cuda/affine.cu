// out[n, b, f] = activation(samples[b, f] * weight[n, f] + bias[n, f])
#include "activations.cuh"

// An array as the kernel sees it. Strides are in bytes, over sets, samples and features; along an
// axis that the array does not have, or that it shares, the stride is 0.
struct Operand {
    char *data;
    int64 set, sample, feature;
    int64 dtype;

    __forceinline__ __device__ char *at(int64 n, int64 b, int64 f) const {
        return data + n * set + b * sample + f * feature;
    }
};

// multisubnet/_launch.py packs this.
struct Affine {
    Operand samples, weight, bias, out;   // bias.data is null where nothing is added
    float64 parameter;                    // of the activation
    int64 n_sets, n_samples, n_features;
};

// How a thread touches memory: LANES neighbouring features of type T at once...
template <typename T, int LANES_> struct Direct {
    static constexpr int LANES = LANES_;
    typedef Vector<T, LANES> Value;

    DEVICE Value load(const Operand &x, int64 n, int64 b, int64 f) {
        return *reinterpret_cast<const Value *>(x.at(n, b, f));
    }
    DEVICE void store(const Operand &x, int64 n, int64 b, int64 f, const Value &value) {
        *reinterpret_cast<Value *>(x.at(n, b, f)) = value;
    }
};

// ...or one element of any dtype, converted to T on its way in and from T on its way out.
template <typename T> struct Converting {
    static constexpr int LANES = 1;
    typedef Vector<T, 1> Value;

    template <typename From> DEVICE T read(const char *p) {
        if constexpr (kind_of<From>::value <= kind_of<T>::value)
            return Convert<T>::from(*reinterpret_cast<const From *>(p));
        else
            return T();
    }
    template <typename To> DEVICE void write(char *p, T value) {
        if constexpr (kind_of<T>::value <= kind_of<To>::value)
            *reinterpret_cast<To *>(p) = Convert<To>::from(value);
    }
    DEVICE Value load(const Operand &x, int64 n, int64 b, int64 f) {
        const char *p = x.at(n, b, f);
        switch (x.dtype) {
#define READ(code, From) case code: return {{read<From>(p)}};
            FOR_EACH_DTYPE(READ)
#undef READ
        }
        return {};
    }
    DEVICE void store(const Operand &x, int64 n, int64 b, int64 f, const Value &value) {
        char *p = x.at(n, b, f);
        switch (x.dtype) {
#define WRITE(code, To) case code: write<To>(p, value.lane[0]); break;
            FOR_EACH_DTYPE(WRITE)
#undef WRITE
        }
    }
};

// No activation; those of activations.cuh have the same function, of float32 and float64.
struct Linear {
    template <typename T> DEVICE T of(T x, T) { return x; }
};

template <typename Activation, typename T> DEVICE T activated(T z, float64) {
    return Activation::of(z, T());
}
template <typename Activation> DEVICE float32 activated(float32 z, float64 parameter) {
    return Activation::of(z, to_float32(parameter));
}
template <typename Activation> DEVICE float64 activated(float64 z, float64 parameter) {
    return Activation::of(z, parameter);
}
template <typename Activation> DEVICE float16 activated(float16 z, float64 parameter) {
    return to_float16(Activation::of(widen(z), to_float32(parameter)));
}

// A thread owns one sample and LANES features and walks over the sets, so that shared samples are
// read once. x counts (sample, vector of features), y counts sets.
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
        const typename Memory::Value weight = Memory::load(p.weight, n, b, f);
        typename Memory::Value result;
#pragma unroll
        for (int i = 0; i < Memory::LANES; ++i) result.lane[i] = mul(sample.lane[i], weight.lane[i]);
        if (p.bias.data) {
            const typename Memory::Value bias = Memory::load(p.bias, n, b, f);
#pragma unroll
            for (int i = 0; i < Memory::LANES; ++i) result.lane[i] = add(result.lane[i], bias.lane[i]);
        }
#pragma unroll
        for (int i = 0; i < Memory::LANES; ++i)
            result.lane[i] = activated<Activation>(result.lane[i], p.parameter);
        Memory::store(p.out, n, b, f, result);
    }
}
