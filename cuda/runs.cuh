// Shared by kernels that write vectors of 16 bytes to a contiguous result.
#pragma once
#include "affine.cuh"

constexpr int SECTOR = 32;  // bytes; the unit in which memory is written

// A row and a feature, which can advance to the next element.
struct Place {
    int64 row, feature;
    __forceinline__ __device__ void advance(int64 n_features) {
        if (++feature == n_features) {
            feature = 0;
            ++row;
        }
    }
};

// LANES elements of an operand in run n. Operands that do not depend on rows have a row stride of
// 0.
template <typename T, int LANES>
DEVICE Vector<T, LANES> elements(const Operand &x, int64 n, Place place, int64 n_features) {
    Vector<T, LANES> found;
#pragma unroll
    for (int i = 0; i < LANES; ++i) {
        found.lane[i] = Direct<T, 1>::load(x, n, place.row, place.feature).lane[0];
        place.advance(n_features);
    }
    return found;
}

// The same for an operand whose rows may be contiguous: it is then read at once if aligned.
template <typename T, int LANES>
DEVICE Vector<T, LANES> of_rows(const Operand &x, int64 n, Place place, int64 n_features) {
    constexpr int64 SIZE = sizeof(T);
    if (LANES > 1 && x.feature == SIZE && x.sample == SIZE * n_features &&
        reinterpret_cast<uint64>(x.at(n, place.row, place.feature)) % 16 == 0)
        return Direct<T, LANES>::load(x, n, place.row, place.feature);
    return elements<T, LANES>(x, n, place, n_features);
}
