// The element types of arrays, as the kernels name them, and the widths in which threads read them.
//
// Compiled by NVRTC for the GPU and by a C++ compiler for the tests on the host, so that no header
// of either is included here.
#pragma once

#define DEVICE static __forceinline__ __device__

typedef signed char int8;
typedef unsigned char uint8;
typedef short int16;
typedef unsigned short uint16;
typedef int int32;
typedef unsigned int uint32;
typedef long long int64;
typedef unsigned long long uint64;
typedef float float32;
typedef double float64;

struct boolean { uint8 byte; };      // a C++ bool can only be 0 or 1; a byte in an array can be anything
struct float16 { uint16 bits; };
struct bfloat16 { uint16 bits; };    // the upper half of a float32
template <typename R> struct alignas(2 * sizeof(R)) complex { R re, im; };
typedef complex<float32> complex64;
typedef complex<float64> complex128;

// All element types. The position in this list is the `dtype` of an Operand;
// _backends/cupy/launch/operands.py has the same list in the same order.
#define FOR_EACH_DTYPE(X)                                                                          \
    X(0, boolean) X(1, int8) X(2, uint8) X(3, int16) X(4, uint16) X(5, int32) X(6, uint32)         \
    X(7, int64) X(8, uint64) X(9, float16) X(10, float32) X(11, float64) X(12, complex64)          \
    X(13, complex128) X(14, bfloat16)

// Kinds in the order of NumPy's "same_kind" casting: a value is converted to the same kind or
// upward.
enum Kind { BOOLEAN, INTEGER, FLOATING, COMPLEX };
template <typename T> struct kind_of { static constexpr Kind value = INTEGER; };
template <> struct kind_of<boolean> { static constexpr Kind value = BOOLEAN; };
template <> struct kind_of<float16> { static constexpr Kind value = FLOATING; };
template <> struct kind_of<bfloat16> { static constexpr Kind value = FLOATING; };
template <> struct kind_of<float32> { static constexpr Kind value = FLOATING; };
template <> struct kind_of<float64> { static constexpr Kind value = FLOATING; };
template <typename R> struct kind_of<complex<R>> { static constexpr Kind value = COMPLEX; };

// Lanes that one thread loads, computes and stores together; the widest access is 16 bytes.
template <typename T, int LANES> struct alignas(LANES * sizeof(T)) Vector { T lane[LANES]; };
