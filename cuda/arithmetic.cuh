// The arithmetic of every kernel: each operation is rounded once, to nearest even, in its own type.
// Nothing is contracted to a fused multiply-add, and subnormals are kept.
//
// On the GPU this requires inline PTX. CuPy always compiles with -ftz=true, and then operators,
// comparisons, conversions and even intrinsics flush float32 subnormals. PTX instructions written
// without .ftz do not. On the host it requires -ffp-contract=off.
#pragma once
#include "types.cuh"

#ifdef __CUDA_ARCH__
#define ROUNDED_ONCE(type, suffix, constraint)                                                     \
    DEVICE type mul(type a, type b) {                                                              \
        type r;                                                                                    \
        asm("mul.rn." suffix " %0, %1, %2;" : "=" constraint(r) : constraint(a), constraint(b));   \
        return r;                                                                                  \
    }                                                                                              \
    DEVICE type add(type a, type b) {                                                              \
        type r;                                                                                    \
        asm("add.rn." suffix " %0, %1, %2;" : "=" constraint(r) : constraint(a), constraint(b));   \
        return r;                                                                                  \
    }                                                                                              \
    DEVICE type sub(type a, type b) {                                                              \
        type r;                                                                                    \
        asm("sub.rn." suffix " %0, %1, %2;" : "=" constraint(r) : constraint(a), constraint(b));   \
        return r;                                                                                  \
    }                                                                                              \
    DEVICE type div(type a, type b) {                                                              \
        type r;                                                                                    \
        asm("div.rn." suffix " %0, %1, %2;" : "=" constraint(r) : constraint(a), constraint(b));   \
        return r;                                                                                  \
    }
ROUNDED_ONCE(float32, "f32", "f")
ROUNDED_ONCE(float64, "f64", "d")
#undef ROUNDED_ONCE

#define COMPARED(name, operator, type, suffix, constraint)                                         \
    DEVICE bool name(type a, type b) {                                                             \
        uint32 r;                                                                                  \
        asm("{ .reg .pred p; setp." operator "." suffix " p, %1, %2; selp.u32 %0, 1, 0, p; }"      \
            : "=r"(r) : constraint(a), constraint(b));                                             \
        return r != 0;                                                                             \
    }
COMPARED(less, "lt", float32, "f32", "f")
COMPARED(less, "lt", float64, "f64", "d")
COMPARED(less_equal, "le", float32, "f32", "f")
COMPARED(less_equal, "le", float64, "f64", "d")
#undef COMPARED

DEVICE uint32 bits(float32 x) {
    uint32 r;
    asm("mov.b32 %0, %1;" : "=r"(r) : "f"(x));
    return r;
}
DEVICE uint64 bits(float64 x) {
    uint64 r;
    asm("mov.b64 %0, %1;" : "=l"(r) : "d"(x));
    return r;
}
DEVICE float32 from_bits(uint32 x) {
    float32 r;
    asm("mov.b32 %0, %1;" : "=f"(r) : "r"(x));
    return r;
}
DEVICE float64 from_bits(uint64 x) {
    float64 r;
    asm("mov.b64 %0, %1;" : "=d"(r) : "l"(x));
    return r;
}

DEVICE float64 root(float64 x) {
    float64 r;
    asm("sqrt.rn.f64 %0, %1;" : "=d"(r) : "d"(x));
    return r;
}

DEVICE float64 widen(float32 x) {
    float64 r;
    asm("cvt.f64.f32 %0, %1;" : "=d"(r) : "f"(x));
    return r;
}
DEVICE float32 widen(float16 x) {
    float32 r;
    asm("cvt.f32.f16 %0, %1;" : "=f"(r) : "h"(x.bits));
    return r;
}
DEVICE float32 to_float32(float64 x) {
    float32 r;
    asm("cvt.rn.f32.f64 %0, %1;" : "=f"(r) : "d"(x));
    return r;
}
DEVICE float16 to_float16(float32 x) {
    float16 r;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(r.bits) : "f"(x));
    return r;
}
DEVICE float16 to_float16(float64 x) {
    float16 r;
    asm("cvt.rn.f16.f64 %0, %1;" : "=h"(r.bits) : "d"(x));
    return r;
}
#else
DEVICE float32 mul(float32 a, float32 b) { return a * b; }
DEVICE float32 add(float32 a, float32 b) { return a + b; }
DEVICE float32 sub(float32 a, float32 b) { return a - b; }
DEVICE float64 mul(float64 a, float64 b) { return a * b; }
DEVICE float64 add(float64 a, float64 b) { return a + b; }
DEVICE float64 sub(float64 a, float64 b) { return a - b; }
DEVICE float32 div(float32 a, float32 b) { return a / b; }
DEVICE float64 div(float64 a, float64 b) { return a / b; }

DEVICE bool less(float32 a, float32 b) { return a < b; }
DEVICE bool less(float64 a, float64 b) { return a < b; }
DEVICE bool less_equal(float32 a, float32 b) { return a <= b; }
DEVICE bool less_equal(float64 a, float64 b) { return a <= b; }

template <typename To, typename From> DEVICE To same_bits(From x) {
    To r;
    __builtin_memcpy(&r, &x, sizeof r);
    return r;
}
DEVICE uint32 bits(float32 x) { return same_bits<uint32>(x); }
DEVICE uint64 bits(float64 x) { return same_bits<uint64>(x); }
DEVICE float32 from_bits(uint32 x) { return same_bits<float32>(x); }
DEVICE float64 from_bits(uint64 x) { return same_bits<float64>(x); }

DEVICE float64 root(float64 x) { return __builtin_sqrt(x); }

DEVICE float64 widen(float32 x) { return x; }
DEVICE float32 to_float32(float64 x) { return static_cast<float32>(x); }

// IEEE binary16: a sign, five bits of exponent, ten of fraction; 2^-24 is its smallest number.
DEVICE float32 widen(float16 x) {
    int exponent = x.bits >> 10 & 31, fraction = x.bits & 1023;
    float32 magnitude = exponent == 31 ? (fraction ? __builtin_nanf("") : __builtin_inff())
                        : exponent == 0
                            ? __builtin_scalbnf(static_cast<float32>(fraction), -24)
                            : __builtin_scalbnf(static_cast<float32>(1024 + fraction), exponent - 25);
    return x.bits >> 15 ? -magnitude : magnitude;
}
DEVICE float16 to_float16(float64 x) {
    uint32 sign = __builtin_signbit(x) ? 0x8000u : 0u;
    float64 magnitude = __builtin_fabs(x);
    if (magnitude != magnitude) return {static_cast<uint16>(0x7e00u)};
    if (magnitude >= 65520.0) return {static_cast<uint16>(sign | 0x7c00u)};  // rounds past 65504
    // The scaling is exact, rint rounds once, and a carry out of the fraction raises the exponent.
    int exponent = magnitude < 0x1p-14 ? -14 : __builtin_ilogb(magnitude);
    float64 fraction = __builtin_rint(__builtin_scalbn(magnitude, 10 - exponent));
    uint32 bits = static_cast<uint32>((exponent + 14) * 1024) + static_cast<uint32>(fraction);
    return {static_cast<uint16>(sign | bits)};
}
DEVICE float16 to_float16(float32 x) { return to_float16(widen(x)); }
#endif

// Products and sums of two float16 are exact in float32, or so close that rounding them to float16
// gives the correctly rounded result (24 bits >= 2 * 11 + 2: Figueroa, 1995).
DEVICE float16 mul(float16 a, float16 b) { return to_float16(mul(widen(a), widen(b))); }
DEVICE float16 add(float16 a, float16 b) { return to_float16(add(widen(a), widen(b))); }

// bfloat16 is the upper half of a float32. Instructions that round to it need sm_80, and
// instructions that add and multiply without fusing need sm_90; a few integer instructions work on
// all GPUs.
DEVICE float32 widen(bfloat16 x) { return from_bits(static_cast<uint32>(x.bits) << 16); }
DEVICE bfloat16 to_bfloat16(float32 x) {
    const uint32 all = bits(x);
    if ((all & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16>(0x7fc0u)};
    // To nearest even; a carry out of the fraction raises the exponent, up to that of infinity.
    return {static_cast<uint16>((all + 0x7fffu + (all >> 16 & 1u)) >> 16)};
}

// Rounds to odd first: a number that float32 lacks becomes its neighbour toward zero, with the last
// bit set. Rounding that to bfloat16 equals rounding once (Boldo and Melquiond, 2008).
DEVICE bfloat16 to_bfloat16(float64 x) {
    const float32 narrow = to_float32(x);
    const uint64 magnitude = bits(x) & 0x7fffffffffffffffull;
    const uint64 rounded = bits(widen(narrow)) & 0x7fffffffffffffffull;
    if (rounded == magnitude || magnitude > 0x7ff0000000000000ull) return to_bfloat16(narrow);
    return to_bfloat16(from_bits((bits(narrow) - (rounded > magnitude)) | 1u));
}

// Integers of up to 53 bits are exact in float64. For larger ones, a single bit that is too low to
// matter in bfloat16 records whether any lower bits are set.
DEVICE bfloat16 to_bfloat16(uint64 magnitude, bool negative) {
    if (magnitude >> 53) {
        const uint64 left_over = magnitude & 0xfffu;
        magnitude = (magnitude - left_over) | (left_over ? 0x1000u : 0u);
    }
    const bfloat16 r = to_bfloat16(static_cast<float64>(magnitude));
    return {static_cast<uint16>(r.bits | (negative ? 0x8000u : 0u))};
}

// As for float16 (24 bits >= 2 * 8 + 2), rounding twice equals rounding once.
DEVICE bfloat16 mul(bfloat16 a, bfloat16 b) { return to_bfloat16(mul(widen(a), widen(b))); }
DEVICE bfloat16 add(bfloat16 a, bfloat16 b) { return to_bfloat16(add(widen(a), widen(b))); }

// Integers wrap. They are computed unsigned, in 32 or 64 bits, because signed overflow is
// undefined.
template <int BYTES> struct wrapping { typedef uint32 type; };
template <> struct wrapping<8> { typedef uint64 type; };
template <typename T> DEVICE T mul(T a, T b) {
    typedef typename wrapping<sizeof(T)>::type U;
    return static_cast<T>(static_cast<U>(a) * static_cast<U>(b));
}
template <typename T> DEVICE T add(T a, T b) {
    typedef typename wrapping<sizeof(T)>::type U;
    return static_cast<T>(static_cast<U>(a) + static_cast<U>(b));
}

template <typename T> DEVICE bool less(T a, T b) { return a < b; }

template <typename T> DEVICE T select(bool condition, T yes, T no) { return condition ? yes : no; }

DEVICE boolean mul(boolean a, boolean b) { return {static_cast<uint8>(a.byte && b.byte)}; }
DEVICE boolean add(boolean a, boolean b) { return {static_cast<uint8>(a.byte || b.byte)}; }

// Complex numbers are computed from their real and imaginary parts.
template <typename R> DEVICE complex<R> mul(complex<R> a, complex<R> b) {
    return {sub(mul(a.re, b.re), mul(a.im, b.im)), add(mul(a.re, b.im), mul(a.im, b.re))};
}
template <typename R> DEVICE complex<R> add(complex<R> a, complex<R> b) {
    return {add(a.re, b.re), add(a.im, b.im)};
}

// Conversions: exact, or rounded once. Only those of NumPy's "same_kind" casting exist.
template <typename To> struct Convert {      // to an integer
    DEVICE To from(boolean x) { return static_cast<To>(x.byte != 0); }
    template <typename From> DEVICE To from(From x) { return static_cast<To>(x); }
};
template <> struct Convert<boolean> {
    DEVICE boolean from(boolean x) { return {static_cast<uint8>(x.byte != 0)}; }
};
template <> struct Convert<float32> {
    DEVICE float32 from(boolean x) { return x.byte != 0; }
    DEVICE float32 from(float16 x) { return widen(x); }
    DEVICE float32 from(bfloat16 x) { return widen(x); }
    DEVICE float32 from(float32 x) { return x; }
    DEVICE float32 from(float64 x) { return to_float32(x); }
    template <typename From> DEVICE float32 from(From x) { return static_cast<float32>(x); }
};
template <> struct Convert<float64> {
    DEVICE float64 from(boolean x) { return x.byte != 0; }
    DEVICE float64 from(float16 x) { return widen(widen(x)); }
    DEVICE float64 from(bfloat16 x) { return widen(widen(x)); }
    DEVICE float64 from(float32 x) { return widen(x); }
    DEVICE float64 from(float64 x) { return x; }
    template <typename From> DEVICE float64 from(From x) { return static_cast<float64>(x); }
};
template <> struct Convert<float16> {
    DEVICE float16 from(float16 x) { return x; }
    DEVICE float16 from(float64 x) { return to_float16(x); }
    // Integers up to 2^24 are exact in float32, larger ones are infinite in float16 either way.
    template <typename From> DEVICE float16 from(From x) {
        return to_float16(Convert<float32>::from(x));
    }
};
template <> struct Convert<bfloat16> {
    DEVICE bfloat16 from(boolean x) { return to_bfloat16(Convert<float32>::from(x)); }
    DEVICE bfloat16 from(bfloat16 x) { return x; }
    DEVICE bfloat16 from(float16 x) { return to_bfloat16(widen(x)); }
    DEVICE bfloat16 from(float32 x) { return to_bfloat16(x); }
    DEVICE bfloat16 from(float64 x) { return to_bfloat16(x); }
    template <typename From> DEVICE bfloat16 from(From x) {
        const bool negative = x < From(0);
        const uint64 bits = static_cast<uint64>(x);
        return to_bfloat16(negative ? 0 - bits : bits, negative);
    }
};
template <typename R> struct Convert<complex<R>> {
    template <typename S> DEVICE complex<R> from(complex<S> x) {
        return {Convert<R>::from(x.re), Convert<R>::from(x.im)};
    }
    template <typename From> DEVICE complex<R> from(From x) { return {Convert<R>::from(x), R(0)}; }
};
