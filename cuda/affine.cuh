// Shared by the kernels that evaluate subnetworks: arrays, access to them, and the evaluation.
#pragma once
#include "activations.cuh"

// An array as the kernel sees it. Strides are in bytes, over sets, samples and features. The stride
// is 0 along an axis that the array lacks or shares.
struct Operand {
    char *data;
    int64 set, sample, feature;
    int64 dtype;

    __forceinline__ __device__ char *at(int64 n, int64 b, int64 f) const {
        return data + n * set + b * sample + f * feature;
    }
};

// Access to memory: LANES neighbouring features of type T at once...
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

// ...or one element of any dtype, converted to T when read and from T when written.
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

// The value of an absent bias: adding it changes nothing.
template <typename T> struct nothing { DEVICE T value() { return T(); } };
template <> struct nothing<float16> { DEVICE float16 value() { return {uint16(0x8000u)}; } };
template <> struct nothing<bfloat16> { DEVICE bfloat16 value() { return {uint16(0x8000u)}; } };
template <> struct nothing<float32> { DEVICE float32 value() { return -0.0f; } };
template <> struct nothing<float64> { DEVICE float64 value() { return -0.0; } };
template <typename R> struct nothing<complex<R>> {
    DEVICE complex<R> value() { return {nothing<R>::value(), nothing<R>::value()}; }
};

// The result for an out-of-range set: NaN, or 0 in types without NaN.
template <typename T> struct missing { DEVICE T value() { return T(); } };
template <> struct missing<float16> { DEVICE float16 value() { return {uint16(0x7e00u)}; } };
template <> struct missing<bfloat16> { DEVICE bfloat16 value() { return {uint16(0x7fc0u)}; } };
template <> struct missing<float32> { DEVICE float32 value() { return from_bits(0x7fc00000u); } };
template <> struct missing<float64> {
    DEVICE float64 value() { return from_bits(uint64(0x7ff8000000000000ull)); }
};
template <typename R> struct missing<complex<R>> {
    DEVICE complex<R> value() { return {missing<R>::value(), missing<R>::value()}; }
};

// Writes 16 bytes that caches evict first.
template <typename T, int LANES> DEVICE void stream(char *address, const Vector<T, LANES> &value) {
    static_assert(sizeof(value) == 16, "a vector of 16 bytes");
#ifdef __CUDA_ARCH__
    const uint32 *words = reinterpret_cast<const uint32 *>(&value);
    asm volatile("st.global.cs.v4.b32 [%0], {%1, %2, %3, %4};"
                 :: "l"(address), "r"(words[0]), "r"(words[1]), "r"(words[2]), "r"(words[3])
                 : "memory");
#else
    *reinterpret_cast<Vector<T, LANES> *>(address) = value;
#endif
}

// No activation. Those of the generated activations.cuh have the same function, for float32 and
// float64.
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
template <typename Activation> DEVICE bfloat16 activated(bfloat16 z, float64 parameter) {
    return to_bfloat16(Activation::of(widen(z), to_float32(parameter)));
}

// The slope of a loss, multiplied by that of the activation.
template <typename Derivative> struct Chained {
    template <typename T> DEVICE T of(T slope, T z, float64 parameter) {
        return mul(slope, activated<Derivative>(z, parameter));
    }
};
struct LinearDerivative;  // may be the only derivative in a source
template <> struct Chained<LinearDerivative> {
    template <typename T> DEVICE T of(T slope, T, float64) { return slope; }
};

// activation(sample * weight + bias) of neighbouring features, for set n.
template <typename Activation, typename Memory>
DEVICE typename Memory::Value evaluated(const typename Memory::Value &sample, const Operand &weights,
                                        const Operand &biases, int64 n, int64 f, float64 parameter) {
    const typename Memory::Value weight = Memory::load(weights, n, 0, f);
    typename Memory::Value result;
#pragma unroll
    for (int i = 0; i < Memory::LANES; ++i) result.lane[i] = mul(sample.lane[i], weight.lane[i]);
    if (biases.data) {
        const typename Memory::Value bias = Memory::load(biases, n, 0, f);
#pragma unroll
        for (int i = 0; i < Memory::LANES; ++i) result.lane[i] = add(result.lane[i], bias.lane[i]);
    }
#pragma unroll
    for (int i = 0; i < Memory::LANES; ++i)
        result.lane[i] = activated<Activation>(result.lane[i], parameter);
    return result;
}
