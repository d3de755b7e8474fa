// The activations and their derivatives, as functions of one number: printed by tools/header.py
// from the recipes in multisubnet/_activation_recipes.py. Change those, and `make generate`.
#pragma once
#include "arithmetic.cuh"

struct LinearDerivative {
    DEVICE float32 of(float32 x, float32) {
        return select(less_equal(x, 0x0p+0f), 0x1p+0f, select(less(0x0p+0f, x), 0x1p+0f, x));
    }
    DEVICE float64 of(float64 x, float64) {
        return select(less_equal(x, 0x0p+0), 0x1p+0, select(less(0x0p+0, x), 0x1p+0, x));
    }
};

struct Relu {
    template <typename T> DEVICE T of(T x, T) {
        return select(less(x, T(0)), T(0), x);
    }
    DEVICE float32 of(float32 x, float32) {
        return select(less(x, 0x0p+0f), 0x0p+0f, x);
    }
    DEVICE float64 of(float64 x, float64) {
        return select(less(x, 0x0p+0), 0x0p+0, x);
    }
};

struct ReluDerivative {
    DEVICE float32 of(float32 x, float32) {
        return select(less_equal(x, 0x0p+0f), 0x0p+0f, select(less(0x0p+0f, x), 0x1p+0f, x));
    }
    DEVICE float64 of(float64 x, float64) {
        return select(less_equal(x, 0x0p+0), 0x0p+0, select(less(0x0p+0, x), 0x1p+0, x));
    }
};

struct Relu6 {
    template <typename T> DEVICE T of(T x, T) {
        const T v3 = select(less(x, T(0)), T(0), x);
        return select(less(T(6), v3), T(6), v3);
    }
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, 0x0p+0f), 0x0p+0f, x);
        return select(less(0x1.8p+2f, v3), 0x1.8p+2f, v3);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, 0x0p+0), 0x0p+0, x);
        return select(less(0x1.8p+2, v3), 0x1.8p+2, v3);
    }
};

struct Relu6Derivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v8 = select(less(x, 0x1.8p+2f), 0x1p+0f, select(less_equal(0x1.8p+2f, x), 0x0p+0f, x));
        return select(less_equal(x, 0x0p+0f), 0x0p+0f, v8);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v8 = select(less(x, 0x1.8p+2), 0x1p+0, select(less_equal(0x1.8p+2, x), 0x0p+0, x));
        return select(less_equal(x, 0x0p+0), 0x0p+0, v8);
    }
};

struct LeakyRelu {
    DEVICE float32 of(float32 x, float32 parameter) {
        return select(less(0x0p+0f, x), x, mul(x, parameter));
    }
    DEVICE float64 of(float64 x, float64 parameter) {
        return select(less(0x0p+0, x), x, mul(x, parameter));
    }
};

struct LeakyReluDerivative {
    DEVICE float32 of(float32 x, float32 parameter) {
        return select(less_equal(x, 0x0p+0f), parameter, select(less(0x0p+0f, x), 0x1p+0f, x));
    }
    DEVICE float64 of(float64 x, float64 parameter) {
        return select(less_equal(x, 0x0p+0), parameter, select(less(0x0p+0, x), 0x1p+0, x));
    }
};

struct Elu {
    DEVICE float32 of(float32 x, float32 parameter) {
        const float32 v4 = select(less(x, -0x1.cf05b6p+4f), -0x1.cf05b6p+4f, x);
        const float32 v8 = add(mul(v4, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v9 = sub(v8, 0x1.8p+23f);
        const float32 v15 = sub(sub(v4, mul(v9, 0x1.62e4p-1f)), mul(v9, 0x1.7f7d1cp-20f));
        const float32 v21 = mul(add(mul(0x1.a1256cp-13f, v15), 0x1.6d43bp-10f), v15);
        const float32 v26 = add(mul(add(v21, 0x1.1110ep-7f), v15), 0x1.5554e8p-5f);
        const float32 v32 = add(mul(add(mul(v26, v15), 0x1.555556p-3f), v15), 0x1p-1f);
        const float32 v33 = mul(mul(v15, v15), v32);
        const float32 v34 = add(v15, v33);
        const uint32 v41 = ((bits(v8) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v44 = from_bits((v41 << 23));
        const float32 v46 = sub(v44, 0x1p+0f);
        const float32 v47 = mul(v44, v34);
        const float32 v48 = add(v46, v47);
        const float32 v52 = add(add(sub(v46, v48), v47), mul(v44, add(sub(v15, v34), v33)));
        return select(less(x, 0x0p+0f), add(mul(parameter, v48), mul(parameter, v52)), x);
    }
    DEVICE float64 of(float64 x, float64 parameter) {
        const float64 v4 = select(less(x, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, x);
        const float64 v8 = add(mul(v4, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v9 = sub(v8, 0x1.8p+52);
        const float64 v15 = sub(sub(v4, mul(v9, 0x1.62e42fefa38p-1)), mul(v9, 0x1.ef35793c7673p-45));
        const float64 v20 = add(mul(0x1.1f7340dbc337ep-29, v15), 0x1.af4e554377204p-26);
        const float64 v24 = mul(add(mul(v20, v15), 0x1.27e4db46cddd1p-22), v15);
        const float64 v29 = add(mul(add(v24, 0x1.71de01fdbf9cap-19), v15), 0x1.a01a01a6e1e2ap-16);
        const float64 v33 = mul(add(mul(v29, v15), 0x1.a01a01abf85abp-13), v15);
        const float64 v38 = add(mul(add(v33, 0x1.6c16c16c162c3p-10), v15), 0x1.11111111100bep-7);
        const float64 v42 = mul(add(mul(v38, v15), 0x1.5555555555556p-5), v15);
        const float64 v47 = add(mul(add(v42, 0x1.5555555555557p-3), v15), 0x1p-1);
        const float64 v48 = mul(mul(v15, v15), v47);
        const float64 v49 = add(v15, v48);
        const uint64 v56 = ((bits(v8) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v59 = from_bits((v56 << 52));
        const float64 v61 = sub(v59, 0x1p+0);
        const float64 v62 = mul(v59, v49);
        const float64 v63 = add(v61, v62);
        const float64 v67 = add(add(sub(v61, v63), v62), mul(v59, add(sub(v15, v49), v48)));
        return select(less(x, 0x0p+0), add(mul(parameter, v63), mul(parameter, v67)), x);
    }
};

struct EluDerivative {
    DEVICE float32 of(float32 x, float32 parameter) {
        const float32 v4 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v8 = add(mul(v4, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v9 = sub(v8, 0x1.8p+23f);
        const float32 v15 = sub(sub(v4, mul(v9, 0x1.62e4p-1f)), mul(v9, 0x1.7f7d1cp-20f));
        const float32 v21 = mul(add(mul(0x1.a1256cp-13f, v15), 0x1.6d43bp-10f), v15);
        const float32 v26 = add(mul(add(v21, 0x1.1110ep-7f), v15), 0x1.5554e8p-5f);
        const float32 v32 = add(mul(add(mul(v26, v15), 0x1.555556p-3f), v15), 0x1p-1f);
        const float32 v39 = add(add(v15, mul(mul(v15, v15), v32)), 0x1p+0f);
        const uint32 v41 = ((bits(v8) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v46 = mul(mul(parameter, v39), from_bits((v41 << 23)));
        return select(less_equal(x, 0x0p+0f), mul(v46, 0x1p-64f), select(less(0x0p+0f, x), 0x1p+0f, x));
    }
    DEVICE float64 of(float64 x, float64 parameter) {
        const float64 v4 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v8 = add(mul(v4, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v9 = sub(v8, 0x1.8p+52);
        const float64 v15 = sub(sub(v4, mul(v9, 0x1.62e42fefa38p-1)), mul(v9, 0x1.ef35793c7673p-45));
        const float64 v20 = add(mul(0x1.1f7340dbc337ep-29, v15), 0x1.af4e554377204p-26);
        const float64 v24 = mul(add(mul(v20, v15), 0x1.27e4db46cddd1p-22), v15);
        const float64 v29 = add(mul(add(v24, 0x1.71de01fdbf9cap-19), v15), 0x1.a01a01a6e1e2ap-16);
        const float64 v33 = mul(add(mul(v29, v15), 0x1.a01a01abf85abp-13), v15);
        const float64 v38 = add(mul(add(v33, 0x1.6c16c16c162c3p-10), v15), 0x1.11111111100bep-7);
        const float64 v42 = mul(add(mul(v38, v15), 0x1.5555555555556p-5), v15);
        const float64 v47 = add(mul(add(v42, 0x1.5555555555557p-3), v15), 0x1p-1);
        const uint64 v56 = ((bits(v8) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v60 = mul(parameter, add(add(v15, mul(mul(v15, v15), v47)), 0x1p+0));
        const float64 v63 = mul(mul(v60, from_bits((v56 << 52))), 0x1p-512);
        return select(less_equal(x, 0x0p+0), v63, select(less(0x0p+0, x), 0x1p+0, x));
    }
};

struct Selu {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+4f), -0x1.cf05b6p+4f, x);
        const float32 v7 = add(mul(v3, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v8 = sub(v7, 0x1.8p+23f);
        const float32 v14 = sub(sub(v3, mul(v8, 0x1.62e4p-1f)), mul(v8, 0x1.7f7d1cp-20f));
        const float32 v20 = mul(add(mul(0x1.a1256cp-13f, v14), 0x1.6d43bp-10f), v14);
        const float32 v25 = add(mul(add(v20, 0x1.1110ep-7f), v14), 0x1.5554e8p-5f);
        const float32 v31 = add(mul(add(mul(v25, v14), 0x1.555556p-3f), v14), 0x1p-1f);
        const float32 v32 = mul(mul(v14, v14), v31);
        const float32 v33 = add(v14, v32);
        const uint32 v40 = ((bits(v7) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v43 = from_bits((v40 << 23));
        const float32 v45 = sub(v43, 0x1p+0f);
        const float32 v46 = mul(v43, v33);
        const float32 v47 = add(v45, v46);
        const float32 v51 = add(add(sub(v45, v47), v46), mul(v43, add(sub(v14, v33), v32)));
        const float32 v57 = add(mul(v51, 0x1.c212ccp+0f), mul(v47, 0x1.903c0cp-26f));
        const float32 v65 = add(mul(x, 0x1.0cfabcp+0f), mul(x, 0x1.6a9114p-24f));
        return select(less(x, 0x0p+0f), add(mul(v47, 0x1.c212ccp+0f), v57), v65);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, x);
        const float64 v7 = add(mul(v3, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v8 = sub(v7, 0x1.8p+52);
        const float64 v14 = sub(sub(v3, mul(v8, 0x1.62e42fefa38p-1)), mul(v8, 0x1.ef35793c7673p-45));
        const float64 v19 = add(mul(0x1.1f7340dbc337ep-29, v14), 0x1.af4e554377204p-26);
        const float64 v23 = mul(add(mul(v19, v14), 0x1.27e4db46cddd1p-22), v14);
        const float64 v28 = add(mul(add(v23, 0x1.71de01fdbf9cap-19), v14), 0x1.a01a01a6e1e2ap-16);
        const float64 v32 = mul(add(mul(v28, v14), 0x1.a01a01abf85abp-13), v14);
        const float64 v37 = add(mul(add(v32, 0x1.6c16c16c162c3p-10), v14), 0x1.11111111100bep-7);
        const float64 v41 = mul(add(mul(v37, v14), 0x1.5555555555556p-5), v14);
        const float64 v46 = add(mul(add(v41, 0x1.5555555555557p-3), v14), 0x1p-1);
        const float64 v47 = mul(mul(v14, v14), v46);
        const float64 v48 = add(v14, v47);
        const uint64 v55 = ((bits(v7) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v58 = from_bits((v55 << 52));
        const float64 v60 = sub(v58, 0x1p+0);
        const float64 v61 = mul(v58, v48);
        const float64 v62 = add(v60, v61);
        const float64 v66 = add(add(sub(v60, v62), v61), mul(v58, add(sub(v14, v48), v47)));
        const float64 v72 = add(mul(v66, 0x1.c212cc640f031p+0), mul(v62, 0x1.05161b045a1fep-56));
        const float64 v80 = add(mul(x, 0x1.0cfabd6a91132p+0), mul(x, 0x1.6fc7d272f2695p-55));
        return select(less(x, 0x0p+0), add(mul(v62, 0x1.c212cc640f031p+0), v72), v80);
    }
};

struct SeluDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v7 = add(mul(v3, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v8 = sub(v7, 0x1.8p+23f);
        const float32 v14 = sub(sub(v3, mul(v8, 0x1.62e4p-1f)), mul(v8, 0x1.7f7d1cp-20f));
        const float32 v20 = mul(add(mul(0x1.a1256cp-13f, v14), 0x1.6d43bp-10f), v14);
        const float32 v25 = add(mul(add(v20, 0x1.1110ep-7f), v14), 0x1.5554e8p-5f);
        const float32 v31 = add(mul(add(mul(v25, v14), 0x1.555556p-3f), v14), 0x1p-1f);
        const float32 v38 = add(add(v14, mul(mul(v14, v14), v31)), 0x1p+0f);
        const uint32 v40 = ((bits(v7) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v46 = mul(mul(v38, 0x1.c212ccp+0f), from_bits((v40 << 23)));
        return select(less_equal(x, 0x0p+0f), mul(v46, 0x1p-64f), select(less(0x0p+0f, x), 0x1.0cfabep+0f, x));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v7 = add(mul(v3, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v8 = sub(v7, 0x1.8p+52);
        const float64 v14 = sub(sub(v3, mul(v8, 0x1.62e42fefa38p-1)), mul(v8, 0x1.ef35793c7673p-45));
        const float64 v19 = add(mul(0x1.1f7340dbc337ep-29, v14), 0x1.af4e554377204p-26);
        const float64 v23 = mul(add(mul(v19, v14), 0x1.27e4db46cddd1p-22), v14);
        const float64 v28 = add(mul(add(v23, 0x1.71de01fdbf9cap-19), v14), 0x1.a01a01a6e1e2ap-16);
        const float64 v32 = mul(add(mul(v28, v14), 0x1.a01a01abf85abp-13), v14);
        const float64 v37 = add(mul(add(v32, 0x1.6c16c16c162c3p-10), v14), 0x1.11111111100bep-7);
        const float64 v41 = mul(add(mul(v37, v14), 0x1.5555555555556p-5), v14);
        const float64 v46 = add(mul(add(v41, 0x1.5555555555557p-3), v14), 0x1p-1);
        const uint64 v55 = ((bits(v7) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v60 = mul(add(add(v14, mul(mul(v14, v14), v46)), 0x1p+0), 0x1.c212cc640f031p+0);
        const float64 v63 = mul(mul(v60, from_bits((v55 << 52))), 0x1p-512);
        const float64 v68 = select(less(0x0p+0, x), 0x1.0cfabd6a91132p+0, x);
        return select(less_equal(x, 0x0p+0), v63, v68);
    }
};

struct Softsign {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.fffffep+127f), -0x1.fffffep+127f, x);
        const float32 v6 = select(less(0x1.fffffep+127f, v3), 0x1.fffffep+127f, v3);
        const float32 v12 = add(from_bits((bits(v6) & uint32(0x7fffffffu))), 0x1p+0f);
        return div(v6, v12);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.fffffffffffffp+1023), -0x1.fffffffffffffp+1023, x);
        const float64 v6 = select(less(0x1.fffffffffffffp+1023, v3), 0x1.fffffffffffffp+1023, v3);
        const float64 v10 = from_bits((bits(v6) & uint64(0x7fffffffffffffffull)));
        return div(v6, add(v10, 0x1p+0));
    }
};

struct SoftsignDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = add(from_bits((bits(x) & uint32(0x7fffffffu))), 0x1p+0f);
        const float32 v7 = div(0x1p+0f, v6);
        return mul(v7, v7);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = div(0x1p+0, add(v4, 0x1p+0));
        return mul(v7, v7);
    }
};

struct HardSigmoid {
    DEVICE float32 of(float32 x, float32) {
        const float32 v2 = add(x, 0x1.8p+1f);
        const float32 v5 = select(less(v2, 0x0p+0f), 0x0p+0f, v2);
        return div(select(less(0x1.8p+2f, v5), 0x1.8p+2f, v5), 0x1.8p+2f);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v2 = add(x, 0x1.8p+1);
        const float64 v5 = select(less(v2, 0x0p+0), 0x0p+0, v2);
        return div(select(less(0x1.8p+2, v5), 0x1.8p+2, v5), 0x1.8p+2);
    }
};

struct HardSigmoidDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v9 = select(less(x, 0x1.8p+1f), 0x1.555556p-3f, select(less_equal(0x1.8p+1f, x), 0x0p+0f, x));
        return select(less_equal(x, -0x1.8p+1f), 0x0p+0f, v9);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v9 = select(less(x, 0x1.8p+1), 0x1.5555555555555p-3, select(less_equal(0x1.8p+1, x), 0x0p+0, x));
        return select(less_equal(x, -0x1.8p+1), 0x0p+0, v9);
    }
};

struct HardTanh {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1p+0f), -0x1p+0f, x);
        return select(less(0x1p+0f, v3), 0x1p+0f, v3);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1p+0), -0x1p+0, x);
        return select(less(0x1p+0, v3), 0x1p+0, v3);
    }
};

struct HardTanhDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v8 = select(less(x, 0x1p+0f), 0x1p+0f, select(less_equal(0x1p+0f, x), 0x0p+0f, x));
        return select(less_equal(x, -0x1p+0f), 0x0p+0f, v8);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v8 = select(less(x, 0x1p+0), 0x1p+0, select(less_equal(0x1p+0, x), 0x0p+0, x));
        return select(less_equal(x, -0x1p+0), 0x0p+0, v8);
    }
};

struct Sigmoid {
    DEVICE float32 of(float32 x, float32) {
        const bool v2 = less(x, 0x0p+0f);
        const float32 v6 = from_bits((bits(x) | uint32(0x80000000u)));
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v20 = sub(sub(v9, mul(v14, 0x1.62e4p-1f)), mul(v14, 0x1.7f7d1cp-20f));
        const float32 v26 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v31 = add(mul(add(v26, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v37 = add(mul(add(mul(v31, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v39 = add(v20, mul(mul(v20, v20), v37));
        const float32 v44 = add(v39, 0x1p+0f);
        const uint32 v48 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v51 = from_bits((v48 << 23));
        const float32 v54 = mul(mul(v44, v51), 0x1p-64f);
        const float32 v56 = mul(mul(add(sub(0x1p+0f, v44), v39), v51), 0x1p-64f);
        const float32 v57 = add(v54, 0x1p+0f);
        const float32 v61 = div(select(v2, v54, 0x1p+0f), v57);
        const float32 v66 = mul(v61, add(add(sub(0x1p+0f, v57), v54), v56));
        const float32 v68 = mul(sub(select(v2, v56, 0x0p+0f), v66), select(v2, sub(0x1p+0f, v61), v61));
        return add(v61, v68);
    }
    DEVICE float64 of(float64 x, float64) {
        const bool v2 = less(x, 0x0p+0);
        const float64 v6 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v25 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v29 = mul(add(mul(v25, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v34 = add(mul(add(v29, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v38 = mul(add(mul(v34, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v43 = add(mul(add(v38, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v47 = mul(add(mul(v43, v20), 0x1.5555555555556p-5), v20);
        const float64 v52 = add(mul(add(v47, 0x1.5555555555557p-3), v20), 0x1p-1);
        const float64 v54 = add(v20, mul(mul(v20, v20), v52));
        const float64 v59 = add(v54, 0x1p+0);
        const uint64 v63 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v66 = from_bits((v63 << 52));
        const float64 v69 = mul(mul(v59, v66), 0x1p-512);
        const float64 v71 = mul(mul(add(sub(0x1p+0, v59), v54), v66), 0x1p-512);
        const float64 v72 = add(v69, 0x1p+0);
        const float64 v76 = div(select(v2, v69, 0x1p+0), v72);
        const float64 v82 = sub(select(v2, v71, 0x0p+0), mul(v76, add(add(sub(0x1p+0, v72), v69), v71)));
        return add(v76, mul(v82, select(v2, sub(0x1p+0, v76), v76)));
    }
};

struct SigmoidDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) | uint32(0x80000000u)));
        const float32 v7 = select(less(v4, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v4);
        const float32 v11 = add(mul(v7, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v12 = sub(v11, 0x1.8p+23f);
        const float32 v18 = sub(sub(v7, mul(v12, 0x1.62e4p-1f)), mul(v12, 0x1.7f7d1cp-20f));
        const float32 v24 = mul(add(mul(0x1.a1256cp-13f, v18), 0x1.6d43bp-10f), v18);
        const float32 v29 = add(mul(add(v24, 0x1.1110ep-7f), v18), 0x1.5554e8p-5f);
        const float32 v35 = add(mul(add(mul(v29, v18), 0x1.555556p-3f), v18), 0x1p-1f);
        const float32 v42 = add(add(v18, mul(mul(v18, v18), v35)), 0x1p+0f);
        const uint32 v44 = ((bits(v11) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v50 = mul(mul(v42, from_bits((v44 << 23))), 0x1p-64f);
        const float32 v52 = div(0x1p+0f, add(v50, 0x1p+0f));
        return mul(mul(v50, v52), v52);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v7 = select(less(v4, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v4);
        const float64 v11 = add(mul(v7, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v12 = sub(v11, 0x1.8p+52);
        const float64 v18 = sub(sub(v7, mul(v12, 0x1.62e42fefa38p-1)), mul(v12, 0x1.ef35793c7673p-45));
        const float64 v23 = add(mul(0x1.1f7340dbc337ep-29, v18), 0x1.af4e554377204p-26);
        const float64 v27 = mul(add(mul(v23, v18), 0x1.27e4db46cddd1p-22), v18);
        const float64 v32 = add(mul(add(v27, 0x1.71de01fdbf9cap-19), v18), 0x1.a01a01a6e1e2ap-16);
        const float64 v36 = mul(add(mul(v32, v18), 0x1.a01a01abf85abp-13), v18);
        const float64 v41 = add(mul(add(v36, 0x1.6c16c16c162c3p-10), v18), 0x1.11111111100bep-7);
        const float64 v45 = mul(add(mul(v41, v18), 0x1.5555555555556p-5), v18);
        const float64 v50 = add(mul(add(v45, 0x1.5555555555557p-3), v18), 0x1p-1);
        const uint64 v59 = ((bits(v11) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v63 = mul(add(add(v18, mul(mul(v18, v18), v50)), 0x1p+0), from_bits((v59 << 52)));
        const float64 v65 = mul(v63, 0x1p-512);
        const float64 v67 = div(0x1p+0, add(v65, 0x1p+0));
        return mul(mul(v65, v67), v67);
    }
};

struct Tanh {
    DEVICE float32 of(float32 x, float32) {
        const uint32 v1 = bits(x);
        const float32 v6 = mul(from_bits((v1 | uint32(0x80000000u))), 0x1p+1f);
        const float32 v9 = select(less(v6, -0x1.cf05b6p+4f), -0x1.cf05b6p+4f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v20 = sub(sub(v9, mul(v14, 0x1.62e4p-1f)), mul(v14, 0x1.7f7d1cp-20f));
        const float32 v26 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v31 = add(mul(add(v26, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v37 = add(mul(add(mul(v31, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v38 = mul(mul(v20, v20), v37);
        const float32 v39 = add(v20, v38);
        const uint32 v46 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v49 = from_bits((v46 << 23));
        const float32 v51 = sub(v49, 0x1p+0f);
        const float32 v52 = mul(v49, v39);
        const float32 v53 = add(v51, v52);
        const float32 v57 = add(add(sub(v51, v53), v52), mul(v49, add(sub(v20, v39), v38)));
        const float32 v58 = add(v53, 0x1p+1f);
        const float32 v61 = div(v53, v58);
        const float32 v63 = mul(v61, add(add(sub(0x1p+1f, v58), v53), v57));
        const float32 v67 = mul(sub(v57, v63), sub(0x1p-1f, mul(v61, 0x1p-1f)));
        const uint32 v73 = ((bits(add(v61, v67)) & uint32(0x7fffffffu)) | (v1 & uint32(0x80000000u)));
        return from_bits(v73);
    }
    DEVICE float64 of(float64 x, float64) {
        const uint64 v1 = bits(x);
        const float64 v4 = from_bits((v1 | uint64(0x8000000000000000ull)));
        const float64 v6 = mul(v4, 0x1p+1);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v25 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v29 = mul(add(mul(v25, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v34 = add(mul(add(v29, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v38 = mul(add(mul(v34, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v43 = add(mul(add(v38, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v47 = mul(add(mul(v43, v20), 0x1.5555555555556p-5), v20);
        const float64 v52 = add(mul(add(v47, 0x1.5555555555557p-3), v20), 0x1p-1);
        const float64 v53 = mul(mul(v20, v20), v52);
        const float64 v54 = add(v20, v53);
        const uint64 v61 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v64 = from_bits((v61 << 52));
        const float64 v66 = sub(v64, 0x1p+0);
        const float64 v67 = mul(v64, v54);
        const float64 v68 = add(v66, v67);
        const float64 v72 = add(add(sub(v66, v68), v67), mul(v64, add(sub(v20, v54), v53)));
        const float64 v73 = add(v68, 0x1p+1);
        const float64 v76 = div(v68, v73);
        const float64 v79 = sub(v72, mul(v76, add(add(sub(0x1p+1, v73), v68), v72)));
        const float64 v83 = add(v76, mul(v79, sub(0x1p-1, mul(v76, 0x1p-1))));
        const uint64 v88 = ((bits(v83) & uint64(0x7fffffffffffffffull)) | (v1 & uint64(0x8000000000000000ull)));
        return from_bits(v88);
    }
};

struct TanhDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = mul(from_bits((bits(x) | uint32(0x80000000u))), 0x1p+1f);
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v20 = sub(sub(v9, mul(v14, 0x1.62e4p-1f)), mul(v14, 0x1.7f7d1cp-20f));
        const float32 v26 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v31 = add(mul(add(v26, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v37 = add(mul(add(mul(v31, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v44 = add(add(v20, mul(mul(v20, v20), v37)), 0x1p+0f);
        const uint32 v46 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v52 = mul(mul(v44, from_bits((v46 << 23))), 0x1p-64f);
        const float32 v53 = add(v52, 0x1p+0f);
        const float32 v56 = div(0x1p+1f, v53);
        const float32 v59 = mul(mul(v56, v56), add(sub(0x1p+0f, v53), v52));
        return mul(mul(v52, v56), sub(v56, v59));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v6 = mul(v4, 0x1p+1);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v25 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v29 = mul(add(mul(v25, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v34 = add(mul(add(v29, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v38 = mul(add(mul(v34, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v43 = add(mul(add(v38, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v47 = mul(add(mul(v43, v20), 0x1.5555555555556p-5), v20);
        const float64 v52 = add(mul(add(v47, 0x1.5555555555557p-3), v20), 0x1p-1);
        const uint64 v61 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v65 = mul(add(add(v20, mul(mul(v20, v20), v52)), 0x1p+0), from_bits((v61 << 52)));
        const float64 v67 = mul(v65, 0x1p-512);
        const float64 v68 = add(v67, 0x1p+0);
        const float64 v71 = div(0x1p+1, v68);
        const float64 v75 = sub(v71, mul(mul(v71, v71), add(sub(0x1p+0, v68), v67)));
        return mul(mul(v67, v71), v75);
    }
};

struct Exponential {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v6 = select(less(0x1.cf05b6p+6f, v3), 0x1.cf05b6p+6f, v3);
        const float32 v10 = add(mul(v6, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v11 = sub(v10, 0x1.8p+23f);
        const float32 v17 = sub(sub(v6, mul(v11, 0x1.62e4p-1f)), mul(v11, 0x1.7f7d1cp-20f));
        const float32 v23 = mul(add(mul(0x1.a1256cp-13f, v17), 0x1.6d43bp-10f), v17);
        const float32 v28 = add(mul(add(v23, 0x1.1110ep-7f), v17), 0x1.5554e8p-5f);
        const float32 v34 = add(mul(add(mul(v28, v17), 0x1.555556p-3f), v17), 0x1p-1f);
        const uint32 v41 = ((bits(v10) - uint32(0x4b400000u)) + uint32(0xfeu));
        const uint32 v43 = (v41 >> 1);
        const float32 v45 = add(add(v17, mul(mul(v17, v17), v34)), 0x1p+0f);
        return mul(mul(v45, from_bits((v43 << 23))), from_bits(((v41 - v43) << 23)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v6 = select(less(0x1.7a75571e8d7c8p+9, v3), 0x1.7a75571e8d7c8p+9, v3);
        const float64 v10 = add(mul(v6, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v11 = sub(v10, 0x1.8p+52);
        const float64 v17 = sub(sub(v6, mul(v11, 0x1.62e42fefa38p-1)), mul(v11, 0x1.ef35793c7673p-45));
        const float64 v22 = add(mul(0x1.1f7340dbc337ep-29, v17), 0x1.af4e554377204p-26);
        const float64 v26 = mul(add(mul(v22, v17), 0x1.27e4db46cddd1p-22), v17);
        const float64 v31 = add(mul(add(v26, 0x1.71de01fdbf9cap-19), v17), 0x1.a01a01a6e1e2ap-16);
        const float64 v35 = mul(add(mul(v31, v17), 0x1.a01a01abf85abp-13), v17);
        const float64 v40 = add(mul(add(v35, 0x1.6c16c16c162c3p-10), v17), 0x1.11111111100bep-7);
        const float64 v44 = mul(add(mul(v40, v17), 0x1.5555555555556p-5), v17);
        const float64 v49 = add(mul(add(v44, 0x1.5555555555557p-3), v17), 0x1p-1);
        const uint64 v56 = ((bits(v10) - uint64(0x4338000000000000ull)) + uint64(0x7feull));
        const uint64 v58 = (v56 >> 1);
        const float64 v64 = mul(add(add(v17, mul(mul(v17, v17), v49)), 0x1p+0), from_bits((v58 << 52)));
        return mul(v64, from_bits(((v56 - v58) << 52)));
    }
};

struct ExponentialDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v6 = select(less(0x1.cf05b6p+6f, v3), 0x1.cf05b6p+6f, v3);
        const float32 v10 = add(mul(v6, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v11 = sub(v10, 0x1.8p+23f);
        const float32 v17 = sub(sub(v6, mul(v11, 0x1.62e4p-1f)), mul(v11, 0x1.7f7d1cp-20f));
        const float32 v23 = mul(add(mul(0x1.a1256cp-13f, v17), 0x1.6d43bp-10f), v17);
        const float32 v28 = add(mul(add(v23, 0x1.1110ep-7f), v17), 0x1.5554e8p-5f);
        const float32 v34 = add(mul(add(mul(v28, v17), 0x1.555556p-3f), v17), 0x1p-1f);
        const uint32 v41 = ((bits(v10) - uint32(0x4b400000u)) + uint32(0xfeu));
        const uint32 v43 = (v41 >> 1);
        const float32 v45 = add(add(v17, mul(mul(v17, v17), v34)), 0x1p+0f);
        return mul(mul(v45, from_bits((v43 << 23))), from_bits(((v41 - v43) << 23)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v6 = select(less(0x1.7a75571e8d7c8p+9, v3), 0x1.7a75571e8d7c8p+9, v3);
        const float64 v10 = add(mul(v6, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v11 = sub(v10, 0x1.8p+52);
        const float64 v17 = sub(sub(v6, mul(v11, 0x1.62e42fefa38p-1)), mul(v11, 0x1.ef35793c7673p-45));
        const float64 v22 = add(mul(0x1.1f7340dbc337ep-29, v17), 0x1.af4e554377204p-26);
        const float64 v26 = mul(add(mul(v22, v17), 0x1.27e4db46cddd1p-22), v17);
        const float64 v31 = add(mul(add(v26, 0x1.71de01fdbf9cap-19), v17), 0x1.a01a01a6e1e2ap-16);
        const float64 v35 = mul(add(mul(v31, v17), 0x1.a01a01abf85abp-13), v17);
        const float64 v40 = add(mul(add(v35, 0x1.6c16c16c162c3p-10), v17), 0x1.11111111100bep-7);
        const float64 v44 = mul(add(mul(v40, v17), 0x1.5555555555556p-5), v17);
        const float64 v49 = add(mul(add(v44, 0x1.5555555555557p-3), v17), 0x1p-1);
        const uint64 v56 = ((bits(v10) - uint64(0x4338000000000000ull)) + uint64(0x7feull));
        const uint64 v58 = (v56 >> 1);
        const float64 v64 = mul(add(add(v17, mul(mul(v17, v17), v49)), 0x1p+0), from_bits((v58 << 52)));
        return mul(v64, from_bits(((v56 - v58) << 52)));
    }
};

struct Softplus {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) | uint32(0x80000000u)));
        const float32 v7 = select(less(v4, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v4);
        const float32 v11 = add(mul(v7, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v12 = sub(v11, 0x1.8p+23f);
        const float32 v18 = sub(sub(v7, mul(v12, 0x1.62e4p-1f)), mul(v12, 0x1.7f7d1cp-20f));
        const float32 v24 = mul(add(mul(0x1.a1256cp-13f, v18), 0x1.6d43bp-10f), v18);
        const float32 v29 = add(mul(add(v24, 0x1.1110ep-7f), v18), 0x1.5554e8p-5f);
        const float32 v35 = add(mul(add(mul(v29, v18), 0x1.555556p-3f), v18), 0x1p-1f);
        const float32 v37 = add(v18, mul(mul(v18, v18), v35));
        const float32 v42 = add(v37, 0x1p+0f);
        const uint32 v46 = ((bits(v11) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v49 = from_bits((v46 << 23));
        const float32 v52 = mul(mul(v42, v49), 0x1p-64f);
        const float32 v54 = mul(mul(add(sub(0x1p+0f, v42), v37), v49), 0x1p-64f);
        const bool v55 = less(0x1p-1f, v52);
        const float32 v58 = select(v55, mul(sub(v52, 0x1p+0f), 0x1p-1f), v52);
        const float32 v63 = div(v58, add(v58, 0x1p+1f));
        const float32 v64 = mul(v63, v63);
        const float32 v66 = mul(mul(v58, 0x1p-1f), v58);
        const float32 v71 = mul(add(mul(0x1.e6587ap-3f, v64), 0x1.242cep-2f), v64);
        const float32 v76 = add(mul(add(v71, 0x1.999a6ap-2f), v64), 0x1.555556p-1f);
        const float32 v82 = select(v55, 0x1.62e4p-1f, 0x0p+0f);
        const float32 v83 = add(v82, v58);
        const float32 v87 = sub(select(v55, 0x1.7f7d1cp-20f, 0x0p+0f), sub(v66, mul(v63, add(v66, mul(v64, v76)))));
        const float32 v89 = add(add(sub(v82, v83), v58), add(v87, select(v55, mul(v54, 0x1p-1f), v54)));
        const float32 v90 = add(v83, v89);
        const float32 v94 = select(less(x, 0x0p+0f), 0x0p+0f, x);
        const float32 v95 = add(v94, v90);
        const float32 v100 = add(add(sub(v94, v95), v90), add(sub(v83, v90), v89));
        return select(less(0x1.fffffep+127f, x), x, add(v95, v100));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v7 = select(less(v4, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v4);
        const float64 v11 = add(mul(v7, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v12 = sub(v11, 0x1.8p+52);
        const float64 v18 = sub(sub(v7, mul(v12, 0x1.62e42fefa38p-1)), mul(v12, 0x1.ef35793c7673p-45));
        const float64 v23 = add(mul(0x1.1f7340dbc337ep-29, v18), 0x1.af4e554377204p-26);
        const float64 v27 = mul(add(mul(v23, v18), 0x1.27e4db46cddd1p-22), v18);
        const float64 v32 = add(mul(add(v27, 0x1.71de01fdbf9cap-19), v18), 0x1.a01a01a6e1e2ap-16);
        const float64 v36 = mul(add(mul(v32, v18), 0x1.a01a01abf85abp-13), v18);
        const float64 v41 = add(mul(add(v36, 0x1.6c16c16c162c3p-10), v18), 0x1.11111111100bep-7);
        const float64 v45 = mul(add(mul(v41, v18), 0x1.5555555555556p-5), v18);
        const float64 v50 = add(mul(add(v45, 0x1.5555555555557p-3), v18), 0x1p-1);
        const float64 v52 = add(v18, mul(mul(v18, v18), v50));
        const float64 v57 = add(v52, 0x1p+0);
        const uint64 v61 = ((bits(v11) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v64 = from_bits((v61 << 52));
        const float64 v67 = mul(mul(v57, v64), 0x1p-512);
        const float64 v69 = mul(mul(add(sub(0x1p+0, v57), v52), v64), 0x1p-512);
        const bool v70 = less(0x1p-1, v67);
        const float64 v73 = select(v70, mul(sub(v67, 0x1p+0), 0x1p-1), v67);
        const float64 v78 = div(v73, add(v73, 0x1p+1));
        const float64 v79 = mul(v78, v78);
        const float64 v81 = mul(mul(v73, 0x1p-1), v73);
        const float64 v85 = add(mul(0x1.169c38cc826bep-3, v79), 0x1.0e8c55b42945fp-3);
        const float64 v89 = mul(add(mul(v85, v79), 0x1.3b29d0452d426p-3), v79);
        const float64 v94 = add(mul(add(v89, 0x1.745cac43cc003p-3), v79), 0x1.c71c72df580fcp-3);
        const float64 v98 = mul(add(mul(v94, v79), 0x1.24924923de6edp-2), v79);
        const float64 v103 = add(mul(add(v98, 0x1.9999999999f17p-2), v79), 0x1.5555555555555p-1);
        const float64 v109 = select(v70, 0x1.62e42fefa38p-1, 0x0p+0);
        const float64 v110 = add(v109, v73);
        const float64 v114 = sub(select(v70, 0x1.ef35793c7673p-45, 0x0p+0), sub(v81, mul(v78, add(v81, mul(v79, v103)))));
        const float64 v116 = add(add(sub(v109, v110), v73), add(v114, select(v70, mul(v69, 0x1p-1), v69)));
        const float64 v117 = add(v110, v116);
        const float64 v121 = select(less(x, 0x0p+0), 0x0p+0, x);
        const float64 v122 = add(v121, v117);
        const float64 v127 = add(add(sub(v121, v122), v117), add(sub(v110, v117), v116));
        return select(less(0x1.fffffffffffffp+1023, x), x, add(v122, v127));
    }
};

struct SoftplusDerivative {
    DEVICE float32 of(float32 x, float32) {
        const bool v2 = less(x, 0x0p+0f);
        const float32 v6 = from_bits((bits(x) | uint32(0x80000000u)));
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v20 = sub(sub(v9, mul(v14, 0x1.62e4p-1f)), mul(v14, 0x1.7f7d1cp-20f));
        const float32 v26 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v31 = add(mul(add(v26, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v37 = add(mul(add(mul(v31, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v39 = add(v20, mul(mul(v20, v20), v37));
        const float32 v44 = add(v39, 0x1p+0f);
        const uint32 v48 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v51 = from_bits((v48 << 23));
        const float32 v54 = mul(mul(v44, v51), 0x1p-64f);
        const float32 v56 = mul(mul(add(sub(0x1p+0f, v44), v39), v51), 0x1p-64f);
        const float32 v57 = add(v54, 0x1p+0f);
        const float32 v61 = div(select(v2, v54, 0x1p+0f), v57);
        const float32 v66 = mul(v61, add(add(sub(0x1p+0f, v57), v54), v56));
        const float32 v68 = mul(sub(select(v2, v56, 0x0p+0f), v66), select(v2, sub(0x1p+0f, v61), v61));
        return add(v61, v68);
    }
    DEVICE float64 of(float64 x, float64) {
        const bool v2 = less(x, 0x0p+0);
        const float64 v6 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v25 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v29 = mul(add(mul(v25, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v34 = add(mul(add(v29, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v38 = mul(add(mul(v34, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v43 = add(mul(add(v38, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v47 = mul(add(mul(v43, v20), 0x1.5555555555556p-5), v20);
        const float64 v52 = add(mul(add(v47, 0x1.5555555555557p-3), v20), 0x1p-1);
        const float64 v54 = add(v20, mul(mul(v20, v20), v52));
        const float64 v59 = add(v54, 0x1p+0);
        const uint64 v63 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v66 = from_bits((v63 << 52));
        const float64 v69 = mul(mul(v59, v66), 0x1p-512);
        const float64 v71 = mul(mul(add(sub(0x1p+0, v59), v54), v66), 0x1p-512);
        const float64 v72 = add(v69, 0x1p+0);
        const float64 v76 = div(select(v2, v69, 0x1p+0), v72);
        const float64 v82 = sub(select(v2, v71, 0x0p+0), mul(v76, add(add(sub(0x1p+0, v72), v69), v71)));
        return add(v76, mul(v82, select(v2, sub(0x1p+0, v76), v76)));
    }
};

struct Silu {
    DEVICE float32 of(float32 x, float32) {
        const bool v6 = less(x, 0x0p+0f);
        const float32 v7 = sub(0x0p+0f, from_bits((bits(x) & uint32(0x7fffffffu))));
        const float32 v10 = select(less(v7, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v7);
        const float32 v14 = add(mul(v10, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v15 = sub(v14, 0x1.8p+23f);
        const float32 v21 = sub(sub(v10, mul(v15, 0x1.62e4p-1f)), mul(v15, 0x1.7f7d1cp-20f));
        const float32 v27 = mul(add(mul(0x1.a1256cp-13f, v21), 0x1.6d43bp-10f), v21);
        const float32 v32 = add(mul(add(v27, 0x1.1110ep-7f), v21), 0x1.5554e8p-5f);
        const float32 v38 = add(mul(add(mul(v32, v21), 0x1.555556p-3f), v21), 0x1p-1f);
        const float32 v40 = add(v21, mul(mul(v21, v21), v38));
        const float32 v45 = add(v40, 0x1p+0f);
        const float32 v47 = add(sub(0x1p+0f, v45), v40);
        const uint32 v49 = ((bits(v14) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v52 = from_bits((v49 << 23));
        const float32 v54 = mul(v52, 0x1p-64f);
        const float32 v55 = mul(v45, v54);
        const float32 v56 = add(v55, 0x1p+0f);
        const float32 v60 = add(add(sub(0x1p+0f, v56), v55), mul(v47, v54));
        const float32 v61 = select(v6, v45, 0x1p+0f);
        const float32 v62 = div(v61, v56);
        const float32 v69 = from_bits((bits(v62) & uint32(0xfffff000u)));
        const float32 v72 = from_bits((bits(v56) & uint32(0xfffff000u)));
        const float32 v78 = sub(sub(v61, mul(v69, v72)), mul(v69, add(sub(v56, v72), v60)));
        const float32 v81 = mul(add(v78, select(v6, v47, 0x0p+0f)), select(v6, sub(0x1p+0f, mul(v62, v54)), v62));
        const float32 v83 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v86 = add(mul(v83, v69), mul(v83, v81));
        return select(v6, mul(mul(v86, v52), 0x1p-64f), select(less(0x1.fffffep+127f, x), x, v86));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const bool v6 = less(x, 0x0p+0);
        const float64 v7 = sub(0x0p+0, v4);
        const float64 v10 = select(less(v7, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v7);
        const float64 v14 = add(mul(v10, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v15 = sub(v14, 0x1.8p+52);
        const float64 v21 = sub(sub(v10, mul(v15, 0x1.62e42fefa38p-1)), mul(v15, 0x1.ef35793c7673p-45));
        const float64 v26 = add(mul(0x1.1f7340dbc337ep-29, v21), 0x1.af4e554377204p-26);
        const float64 v30 = mul(add(mul(v26, v21), 0x1.27e4db46cddd1p-22), v21);
        const float64 v35 = add(mul(add(v30, 0x1.71de01fdbf9cap-19), v21), 0x1.a01a01a6e1e2ap-16);
        const float64 v39 = mul(add(mul(v35, v21), 0x1.a01a01abf85abp-13), v21);
        const float64 v44 = add(mul(add(v39, 0x1.6c16c16c162c3p-10), v21), 0x1.11111111100bep-7);
        const float64 v48 = mul(add(mul(v44, v21), 0x1.5555555555556p-5), v21);
        const float64 v53 = add(mul(add(v48, 0x1.5555555555557p-3), v21), 0x1p-1);
        const float64 v55 = add(v21, mul(mul(v21, v21), v53));
        const float64 v60 = add(v55, 0x1p+0);
        const float64 v62 = add(sub(0x1p+0, v60), v55);
        const uint64 v64 = ((bits(v14) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v67 = from_bits((v64 << 52));
        const float64 v69 = mul(v67, 0x1p-512);
        const float64 v70 = mul(v60, v69);
        const float64 v71 = add(v70, 0x1p+0);
        const float64 v76 = select(v6, v60, 0x1p+0);
        const float64 v77 = div(v76, v71);
        const float64 v84 = from_bits((bits(v77) & uint64(0xfffffffff8000000ull)));
        const float64 v87 = from_bits((bits(v71) & uint64(0xfffffffff8000000ull)));
        const float64 v91 = add(sub(v71, v87), add(add(sub(0x1p+0, v71), v70), mul(v62, v69)));
        const float64 v95 = add(sub(sub(v76, mul(v84, v87)), mul(v84, v91)), select(v6, v62, 0x0p+0));
        const float64 v96 = mul(v95, select(v6, sub(0x1p+0, mul(v77, v69)), v77));
        const float64 v98 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v101 = add(mul(v98, v84), mul(v98, v96));
        const float64 v106 = select(less(0x1.fffffffffffffp+1023, x), x, v101);
        return select(v6, mul(mul(v101, v67), 0x1p-512), v106);
    }
};

struct SiluDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = sub(0x0p+0f, from_bits((bits(x) & uint32(0x7fffffffu))));
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v20 = sub(sub(v9, mul(v14, 0x1.62e4p-1f)), mul(v14, 0x1.7f7d1cp-20f));
        const float32 v26 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v31 = add(mul(add(v26, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v37 = add(mul(add(mul(v31, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v44 = add(add(v20, mul(mul(v20, v20), v37)), 0x1p+0f);
        const uint32 v46 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v52 = mul(mul(v44, from_bits((v46 << 23))), 0x1p-64f);
        const float32 v54 = div(0x1p+0f, add(v52, 0x1p+0f));
        const float32 v56 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v59 = select(less(0x1.cf05b6p+6f, v56), 0x1.cf05b6p+6f, v56);
        const float32 v61 = mul(v52, v54);
        return add(select(less(v59, 0x0p+0f), v61, v54), mul(mul(v59, 0x1p+0f), mul(v61, v54)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v6 = sub(0x0p+0, v4);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v25 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v29 = mul(add(mul(v25, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v34 = add(mul(add(v29, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v38 = mul(add(mul(v34, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v43 = add(mul(add(v38, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v47 = mul(add(mul(v43, v20), 0x1.5555555555556p-5), v20);
        const float64 v52 = add(mul(add(v47, 0x1.5555555555557p-3), v20), 0x1p-1);
        const uint64 v61 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v65 = mul(add(add(v20, mul(mul(v20, v20), v52)), 0x1p+0), from_bits((v61 << 52)));
        const float64 v67 = mul(v65, 0x1p-512);
        const float64 v69 = div(0x1p+0, add(v67, 0x1p+0));
        const float64 v71 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v74 = select(less(0x1.7a75571e8d7c8p+9, v71), 0x1.7a75571e8d7c8p+9, v71);
        const float64 v76 = mul(v67, v69);
        return add(select(less(v74, 0x0p+0), v76, v69), mul(mul(v74, 0x1p+0), mul(v76, v69)));
    }
};

struct Gelu {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) & uint32(0x7fffffffu)));
        const float32 v7 = select(less(0x1.ep+3f, v4), 0x1.ep+3f, v4);
        const float32 v11 = from_bits((bits(v7) & uint32(0xfffff000u)));
        const float32 v13 = mul(v11, v11);
        const float32 v15 = mul(add(v7, v11), sub(v7, v11));
        const float32 v16 = add(v13, v15);
        const float32 v20 = mul(v16, -0x1p-1f);
        const float32 v24 = select(less(v20, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v20);
        const float32 v28 = add(mul(v24, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v29 = sub(v28, 0x1.8p+23f);
        const float32 v35 = sub(mul(v29, 0x1.7f7d1cp-20f), mul(add(sub(v13, v16), v15), -0x1p-1f));
        const float32 v36 = sub(sub(v24, mul(v29, 0x1.62e4p-1f)), v35);
        const float32 v42 = mul(add(mul(0x1.a1256cp-13f, v36), 0x1.6d43bp-10f), v36);
        const float32 v47 = add(mul(add(v42, 0x1.1110ep-7f), v36), 0x1.5554e8p-5f);
        const float32 v53 = add(mul(add(mul(v47, v36), 0x1.555556p-3f), v36), 0x1p-1f);
        const float32 v55 = add(v36, mul(mul(v36, v36), v53));
        const float32 v60 = add(v55, 0x1p+0f);
        const uint32 v64 = ((bits(v28) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v67 = from_bits((v64 << 23));
        const float32 v70 = div(v7, add(v7, 0x1p+2f));
        const float32 v73 = sub(mul(v70, 0x1p+1f), 0x1p+0f);
        const float32 v77 = add(mul(-0x1.03ad6cp-13f, v73), 0x1.837b9ep-15f);
        const float32 v83 = add(mul(add(mul(v77, v73), 0x1.627dcap-10f), v73), -0x1.04ce24p-9f);
        const float32 v89 = add(mul(add(mul(v83, v73), -0x1.074f42p-7f), v73), 0x1.67d08ap-5f);
        const float32 v95 = add(mul(add(mul(v89, v73), -0x1.bba62ap-4f), v73), 0x1.52f80ap-3f);
        const float32 v101 = add(mul(add(mul(v95, v73), -0x1.19a098p-3f), v73), -0x1.c9e156p-5f);
        const float32 v102 = mul(v70, v101);
        const float32 v103 = add(v102, 0x1p-1f);
        const float32 v106 = add(v7, 0x1p+0f);
        const float32 v110 = div(mul(v60, v103), v106);
        const float32 v113 = add(mul(add(sub(0x1p+0f, v60), v55), v103), mul(v60, add(sub(0x1p-1f, v103), v102)));
        const float32 v115 = sub(v113, mul(v110, add(sub(0x1p+0f, v106), v7)));
        const float32 v116 = div(v115, v106);
        const bool v118 = less(x, 0x0p+0f);
        const float32 v120 = mul(v67, 0x1p-64f);
        const float32 v122 = sub(0x0p+0f, mul(v110, v120));
        const float32 v123 = add(v122, 0x1p+0f);
        const float32 v128 = sub(add(sub(0x1p+0f, v123), v122), mul(v116, v120));
        const float32 v131 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v134 = add(mul(v131, select(v118, v110, v123)), mul(v131, select(v118, v116, v128)));
        return select(v118, mul(mul(v134, v67), 0x1p-64f), select(less(0x1.fffffep+127f, x), x, v134));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = select(less(0x1.4p+5, v4), 0x1.4p+5, v4);
        const float64 v11 = from_bits((bits(v7) & uint64(0xfffffffff8000000ull)));
        const float64 v13 = mul(v11, v11);
        const float64 v15 = mul(add(v7, v11), sub(v7, v11));
        const float64 v16 = add(v13, v15);
        const float64 v20 = mul(v16, -0x1p-1);
        const float64 v24 = select(less(v20, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v20);
        const float64 v28 = add(mul(v24, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v29 = sub(v28, 0x1.8p+52);
        const float64 v35 = sub(mul(v29, 0x1.ef35793c7673p-45), mul(add(sub(v13, v16), v15), -0x1p-1));
        const float64 v36 = sub(sub(v24, mul(v29, 0x1.62e42fefa38p-1)), v35);
        const float64 v41 = add(mul(0x1.1f7340dbc337ep-29, v36), 0x1.af4e554377204p-26);
        const float64 v45 = mul(add(mul(v41, v36), 0x1.27e4db46cddd1p-22), v36);
        const float64 v50 = add(mul(add(v45, 0x1.71de01fdbf9cap-19), v36), 0x1.a01a01a6e1e2ap-16);
        const float64 v54 = mul(add(mul(v50, v36), 0x1.a01a01abf85abp-13), v36);
        const float64 v59 = add(mul(add(v54, 0x1.6c16c16c162c3p-10), v36), 0x1.11111111100bep-7);
        const float64 v63 = mul(add(mul(v59, v36), 0x1.5555555555556p-5), v36);
        const float64 v68 = add(mul(add(v63, 0x1.5555555555557p-3), v36), 0x1p-1);
        const float64 v70 = add(v36, mul(mul(v36, v36), v68));
        const float64 v75 = add(v70, 0x1p+0);
        const uint64 v79 = ((bits(v28) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v82 = from_bits((v79 << 52));
        const float64 v85 = div(v7, add(v7, 0x1.4p+2));
        const float64 v88 = sub(mul(v85, 0x1p+1), 0x1p+0);
        const float64 v92 = add(mul(-0x1.314a751527b1cp-32, v88), 0x1.26aa5acfe5b59p-30);
        const float64 v96 = mul(add(mul(v92, v88), 0x1.f41dfd9a62bbap-28), v88);
        const float64 v101 = add(mul(add(v96, -0x1.27d9437514cdfp-28), v88), -0x1.fc206fc8dad9dp-25);
        const float64 v105 = mul(add(mul(v101, v88), 0x1.a720053c551dcp-27), v88);
        const float64 v110 = add(mul(add(v105, 0x1.9c3e808183383p-22), v88), -0x1.1c57dcd4a93cdp-23);
        const float64 v114 = mul(add(mul(v110, v88), -0x1.4dac6f927e896p-19), v88);
        const float64 v119 = add(mul(add(v114, 0x1.3b0a51244989ap-19), v88), 0x1.08a66e0707bf3p-16);
        const float64 v123 = mul(add(mul(v119, v88), -0x1.2a5bb00e426cdp-15), v88);
        const float64 v128 = add(mul(add(v123, -0x1.2c8444d701fb7p-14), v88), 0x1.c982fc41bb53fp-12);
        const float64 v132 = mul(add(mul(v128, v88), -0x1.b92bddc84b79cp-12), v88);
        const float64 v137 = add(mul(add(v132, -0x1.8039d3ef94a93p-9), v88), 0x1.05bdbc427e27p-6);
        const float64 v141 = mul(add(mul(v137, v88), -0x1.7b6c33a296633p-5), v88);
        const float64 v146 = add(mul(add(v141, 0x1.86b7d7a6f7ba3p-4), v88), -0x1.2f7f6bd5697acp-3);
        const float64 v150 = mul(add(mul(v146, v88), 0x1.5877a5db73e94p-3), v88);
        const float64 v155 = add(mul(add(v150, -0x1.b2bbe58497309p-4), v88), -0x1.3b432786a6315p-4);
        const float64 v156 = mul(v85, v155);
        const float64 v157 = add(v156, 0x1p-1);
        const float64 v160 = add(v7, 0x1p+0);
        const float64 v164 = div(mul(v75, v157), v160);
        const float64 v167 = add(mul(add(sub(0x1p+0, v75), v70), v157), mul(v75, add(sub(0x1p-1, v157), v156)));
        const float64 v169 = sub(v167, mul(v164, add(sub(0x1p+0, v160), v7)));
        const float64 v170 = div(v169, v160);
        const bool v172 = less(x, 0x0p+0);
        const float64 v174 = mul(v82, 0x1p-512);
        const float64 v176 = sub(0x0p+0, mul(v164, v174));
        const float64 v177 = add(v176, 0x1p+0);
        const float64 v182 = sub(add(sub(0x1p+0, v177), v176), mul(v170, v174));
        const float64 v185 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v188 = add(mul(v185, select(v172, v164, v177)), mul(v185, select(v172, v170, v182)));
        const float64 v193 = select(less(0x1.fffffffffffffp+1023, x), x, v188);
        return select(v172, mul(mul(v188, v82), 0x1p-512), v193);
    }
};

struct GeluDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) & uint32(0x7fffffffu)));
        const float32 v7 = select(less(0x1.ep+3f, v4), 0x1.ep+3f, v4);
        const float32 v11 = from_bits((bits(v7) & uint32(0xfffff000u)));
        const float32 v13 = mul(v11, v11);
        const float32 v15 = mul(add(v7, v11), sub(v7, v11));
        const float32 v16 = add(v13, v15);
        const float32 v20 = mul(v16, -0x1p-1f);
        const float32 v24 = select(less(v20, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v20);
        const float32 v28 = add(mul(v24, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v29 = sub(v28, 0x1.8p+23f);
        const float32 v35 = sub(mul(v29, 0x1.7f7d1cp-20f), mul(add(sub(v13, v16), v15), -0x1p-1f));
        const float32 v36 = sub(sub(v24, mul(v29, 0x1.62e4p-1f)), v35);
        const float32 v42 = mul(add(mul(0x1.a1256cp-13f, v36), 0x1.6d43bp-10f), v36);
        const float32 v47 = add(mul(add(v42, 0x1.1110ep-7f), v36), 0x1.5554e8p-5f);
        const float32 v53 = add(mul(add(mul(v47, v36), 0x1.555556p-3f), v36), 0x1p-1f);
        const float32 v55 = add(v36, mul(mul(v36, v36), v53));
        const float32 v60 = add(v55, 0x1p+0f);
        const uint32 v64 = ((bits(v28) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v70 = div(v7, add(v7, 0x1p+2f));
        const float32 v73 = sub(mul(v70, 0x1p+1f), 0x1p+0f);
        const float32 v77 = add(mul(-0x1.03ad6cp-13f, v73), 0x1.837b9ep-15f);
        const float32 v83 = add(mul(add(mul(v77, v73), 0x1.627dcap-10f), v73), -0x1.04ce24p-9f);
        const float32 v89 = add(mul(add(mul(v83, v73), -0x1.074f42p-7f), v73), 0x1.67d08ap-5f);
        const float32 v95 = add(mul(add(mul(v89, v73), -0x1.bba62ap-4f), v73), 0x1.52f80ap-3f);
        const float32 v101 = add(mul(add(mul(v95, v73), -0x1.19a098p-3f), v73), -0x1.c9e156p-5f);
        const float32 v102 = mul(v70, v101);
        const float32 v103 = add(v102, 0x1p-1f);
        const float32 v106 = add(v7, 0x1p+0f);
        const float32 v110 = div(mul(v60, v103), v106);
        const float32 v113 = add(mul(add(sub(0x1p+0f, v60), v55), v103), mul(v60, add(sub(0x1p-1f, v103), v102)));
        const float32 v115 = sub(v113, mul(v110, add(sub(0x1p+0f, v106), v7)));
        const float32 v118 = mul(from_bits((v64 << 23)), 0x1p-64f);
        const float32 v120 = mul(add(v110, div(v115, v106)), v118);
        const float32 v126 = select(less(x, -0x1.ep+3f), -0x1.ep+3f, x);
        const float32 v128 = select(less(0x1.ep+3f, v126), 0x1.ep+3f, v126);
        const float32 v132 = select(less(v128, 0x0p+0f), v120, sub(0x1p+0f, v120));
        return add(v132, mul(v128, mul(mul(v60, 0x1.988454p-2f), v118)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = select(less(0x1.4p+5, v4), 0x1.4p+5, v4);
        const float64 v11 = from_bits((bits(v7) & uint64(0xfffffffff8000000ull)));
        const float64 v13 = mul(v11, v11);
        const float64 v15 = mul(add(v7, v11), sub(v7, v11));
        const float64 v16 = add(v13, v15);
        const float64 v20 = mul(v16, -0x1p-1);
        const float64 v24 = select(less(v20, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v20);
        const float64 v28 = add(mul(v24, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v29 = sub(v28, 0x1.8p+52);
        const float64 v35 = sub(mul(v29, 0x1.ef35793c7673p-45), mul(add(sub(v13, v16), v15), -0x1p-1));
        const float64 v36 = sub(sub(v24, mul(v29, 0x1.62e42fefa38p-1)), v35);
        const float64 v41 = add(mul(0x1.1f7340dbc337ep-29, v36), 0x1.af4e554377204p-26);
        const float64 v45 = mul(add(mul(v41, v36), 0x1.27e4db46cddd1p-22), v36);
        const float64 v50 = add(mul(add(v45, 0x1.71de01fdbf9cap-19), v36), 0x1.a01a01a6e1e2ap-16);
        const float64 v54 = mul(add(mul(v50, v36), 0x1.a01a01abf85abp-13), v36);
        const float64 v59 = add(mul(add(v54, 0x1.6c16c16c162c3p-10), v36), 0x1.11111111100bep-7);
        const float64 v63 = mul(add(mul(v59, v36), 0x1.5555555555556p-5), v36);
        const float64 v68 = add(mul(add(v63, 0x1.5555555555557p-3), v36), 0x1p-1);
        const float64 v70 = add(v36, mul(mul(v36, v36), v68));
        const float64 v75 = add(v70, 0x1p+0);
        const uint64 v79 = ((bits(v28) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v85 = div(v7, add(v7, 0x1.4p+2));
        const float64 v88 = sub(mul(v85, 0x1p+1), 0x1p+0);
        const float64 v92 = add(mul(-0x1.314a751527b1cp-32, v88), 0x1.26aa5acfe5b59p-30);
        const float64 v96 = mul(add(mul(v92, v88), 0x1.f41dfd9a62bbap-28), v88);
        const float64 v101 = add(mul(add(v96, -0x1.27d9437514cdfp-28), v88), -0x1.fc206fc8dad9dp-25);
        const float64 v105 = mul(add(mul(v101, v88), 0x1.a720053c551dcp-27), v88);
        const float64 v110 = add(mul(add(v105, 0x1.9c3e808183383p-22), v88), -0x1.1c57dcd4a93cdp-23);
        const float64 v114 = mul(add(mul(v110, v88), -0x1.4dac6f927e896p-19), v88);
        const float64 v119 = add(mul(add(v114, 0x1.3b0a51244989ap-19), v88), 0x1.08a66e0707bf3p-16);
        const float64 v123 = mul(add(mul(v119, v88), -0x1.2a5bb00e426cdp-15), v88);
        const float64 v128 = add(mul(add(v123, -0x1.2c8444d701fb7p-14), v88), 0x1.c982fc41bb53fp-12);
        const float64 v132 = mul(add(mul(v128, v88), -0x1.b92bddc84b79cp-12), v88);
        const float64 v137 = add(mul(add(v132, -0x1.8039d3ef94a93p-9), v88), 0x1.05bdbc427e27p-6);
        const float64 v141 = mul(add(mul(v137, v88), -0x1.7b6c33a296633p-5), v88);
        const float64 v146 = add(mul(add(v141, 0x1.86b7d7a6f7ba3p-4), v88), -0x1.2f7f6bd5697acp-3);
        const float64 v150 = mul(add(mul(v146, v88), 0x1.5877a5db73e94p-3), v88);
        const float64 v155 = add(mul(add(v150, -0x1.b2bbe58497309p-4), v88), -0x1.3b432786a6315p-4);
        const float64 v156 = mul(v85, v155);
        const float64 v157 = add(v156, 0x1p-1);
        const float64 v160 = add(v7, 0x1p+0);
        const float64 v164 = div(mul(v75, v157), v160);
        const float64 v167 = add(mul(add(sub(0x1p+0, v75), v70), v157), mul(v75, add(sub(0x1p-1, v157), v156)));
        const float64 v169 = sub(v167, mul(v164, add(sub(0x1p+0, v160), v7)));
        const float64 v172 = mul(from_bits((v79 << 52)), 0x1p-512);
        const float64 v174 = mul(add(v164, div(v169, v160)), v172);
        const float64 v180 = select(less(x, -0x1.4p+5), -0x1.4p+5, x);
        const float64 v182 = select(less(0x1.4p+5, v180), 0x1.4p+5, v180);
        const float64 v186 = select(less(v182, 0x0p+0), v174, sub(0x1p+0, v174));
        const float64 v187 = mul(v182, mul(mul(v75, 0x1.9884533d43651p-2), v172));
        return add(v186, v187);
    }
};

struct GeluTanh {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) & uint32(0x7fffffffu)));
        const float32 v7 = select(less(0x1.ep+3f, v4), 0x1.ep+3f, v4);
        const float32 v12 = from_bits((bits(v7) & uint32(0xfffff000u)));
        const float32 v13 = sub(v7, v12);
        const float32 v14 = mul(v12, v12);
        const float32 v16 = mul(add(v7, v12), v13);
        const float32 v17 = add(v14, v16);
        const float32 v22 = from_bits((bits(0x1.244p-4f) & uint32(0xfffff000u)));
        const float32 v26 = from_bits((bits(v17) & uint32(0xfffff000u)));
        const float32 v27 = sub(v17, v26);
        const float32 v28 = mul(v22, v26);
        const float32 v34 = mul(add(sub(0x1.244p-4f, v22), 0x1.3ca936p-18f), add(v26, v27));
        const float32 v35 = add(mul(v22, add(v27, add(sub(v14, v17), v16))), v34);
        const float32 v36 = add(v28, v35);
        const float32 v40 = add(0x1.988p+0f, v36);
        const float32 v41 = sub(v40, 0x1.988p+0f);
        const float32 v45 = add(sub(0x1.988p+0f, sub(v40, v41)), sub(v36, v41));
        const float32 v48 = add(v45, add(add(sub(v28, v36), v35), 0x1.14cf5p-14f));
        const float32 v49 = add(v40, v48);
        const float32 v54 = from_bits((bits(v49) & uint32(0xfffff000u)));
        const float32 v55 = sub(v49, v54);
        const float32 v56 = mul(v12, v54);
        const float32 v63 = add(mul(v12, add(v55, add(sub(v40, v49), v48))), mul(add(v13, 0x0p+0f), add(v54, v55)));
        const float32 v64 = add(v56, v63);
        const bool v67 = less(x, 0x0p+0f);
        const float32 v68 = sub(0x0p+0f, v64);
        const float32 v72 = select(less(v68, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v68);
        const float32 v76 = add(mul(v72, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v77 = sub(v76, 0x1.8p+23f);
        const float32 v83 = sub(mul(v77, 0x1.7f7d1cp-20f), sub(0x0p+0f, add(sub(v56, v64), v63)));
        const float32 v84 = sub(sub(v72, mul(v77, 0x1.62e4p-1f)), v83);
        const float32 v90 = mul(add(mul(0x1.a1256cp-13f, v84), 0x1.6d43bp-10f), v84);
        const float32 v95 = add(mul(add(v90, 0x1.1110ep-7f), v84), 0x1.5554e8p-5f);
        const float32 v101 = add(mul(add(mul(v95, v84), 0x1.555556p-3f), v84), 0x1p-1f);
        const float32 v103 = add(v84, mul(mul(v84, v84), v101));
        const float32 v108 = add(v103, 0x1p+0f);
        const float32 v110 = add(sub(0x1p+0f, v108), v103);
        const uint32 v112 = ((bits(v76) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v115 = from_bits((v112 << 23));
        const float32 v117 = mul(v115, 0x1p-64f);
        const float32 v118 = mul(v108, v117);
        const float32 v119 = add(v118, 0x1p+0f);
        const float32 v123 = add(add(sub(0x1p+0f, v119), v118), mul(v110, v117));
        const float32 v124 = select(v67, v108, 0x1p+0f);
        const float32 v125 = div(v124, v119);
        const float32 v128 = select(v67, sub(0x1p+0f, mul(v125, v117)), v125);
        const float32 v131 = from_bits((bits(v125) & uint32(0xfffff000u)));
        const float32 v134 = from_bits((bits(v119) & uint32(0xfffff000u)));
        const float32 v140 = sub(sub(v124, mul(v131, v134)), mul(v131, add(sub(v119, v134), v123)));
        const float32 v143 = mul(add(v140, select(v67, v110, 0x0p+0f)), v128);
        const float32 v145 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v148 = add(mul(v145, v131), mul(v145, v143));
        return select(v67, mul(mul(v148, v115), 0x1p-64f), select(less(0x1.fffffep+127f, x), x, v148));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = select(less(0x1.4p+5, v4), 0x1.4p+5, v4);
        const float64 v12 = from_bits((bits(v7) & uint64(0xfffffffff8000000ull)));
        const float64 v13 = sub(v7, v12);
        const float64 v14 = mul(v12, v12);
        const float64 v16 = mul(add(v7, v12), v13);
        const float64 v17 = add(v14, v16);
        const uint64 v21 = (bits(0x1.2444f28p-4) & uint64(0xfffffffff8000000ull));
        const float64 v22 = from_bits(v21);
        const float64 v26 = from_bits((bits(v17) & uint64(0xfffffffff8000000ull)));
        const float64 v27 = sub(v17, v26);
        const float64 v28 = mul(v22, v26);
        const float64 v32 = add(sub(0x1.2444f28p-4, v22), 0x1.26c5a57a4def1p-31);
        const float64 v35 = add(mul(v22, add(v27, add(sub(v14, v17), v16))), mul(v32, add(v26, v27)));
        const float64 v36 = add(v28, v35);
        const float64 v40 = add(0x1.988453p+0, v36);
        const float64 v41 = sub(v40, 0x1.988453p+0);
        const float64 v45 = add(sub(0x1.988453p+0, sub(v40, v41)), sub(v36, v41));
        const float64 v47 = add(add(sub(v28, v36), v35), 0x1.ea1b284687e5ap-27);
        const float64 v48 = add(v45, v47);
        const float64 v49 = add(v40, v48);
        const float64 v54 = from_bits((bits(v49) & uint64(0xfffffffff8000000ull)));
        const float64 v55 = sub(v49, v54);
        const float64 v56 = mul(v12, v54);
        const float64 v63 = add(mul(v12, add(v55, add(sub(v40, v49), v48))), mul(add(v13, 0x0p+0), add(v54, v55)));
        const float64 v64 = add(v56, v63);
        const bool v67 = less(x, 0x0p+0);
        const float64 v68 = sub(0x0p+0, v64);
        const float64 v72 = select(less(v68, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v68);
        const float64 v76 = add(mul(v72, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v77 = sub(v76, 0x1.8p+52);
        const float64 v83 = sub(mul(v77, 0x1.ef35793c7673p-45), sub(0x0p+0, add(sub(v56, v64), v63)));
        const float64 v84 = sub(sub(v72, mul(v77, 0x1.62e42fefa38p-1)), v83);
        const float64 v89 = add(mul(0x1.1f7340dbc337ep-29, v84), 0x1.af4e554377204p-26);
        const float64 v93 = mul(add(mul(v89, v84), 0x1.27e4db46cddd1p-22), v84);
        const float64 v98 = add(mul(add(v93, 0x1.71de01fdbf9cap-19), v84), 0x1.a01a01a6e1e2ap-16);
        const float64 v102 = mul(add(mul(v98, v84), 0x1.a01a01abf85abp-13), v84);
        const float64 v107 = add(mul(add(v102, 0x1.6c16c16c162c3p-10), v84), 0x1.11111111100bep-7);
        const float64 v111 = mul(add(mul(v107, v84), 0x1.5555555555556p-5), v84);
        const float64 v116 = add(mul(add(v111, 0x1.5555555555557p-3), v84), 0x1p-1);
        const float64 v118 = add(v84, mul(mul(v84, v84), v116));
        const float64 v123 = add(v118, 0x1p+0);
        const float64 v125 = add(sub(0x1p+0, v123), v118);
        const uint64 v127 = ((bits(v76) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v130 = from_bits((v127 << 52));
        const float64 v132 = mul(v130, 0x1p-512);
        const float64 v133 = mul(v123, v132);
        const float64 v134 = add(v133, 0x1p+0);
        const float64 v138 = add(add(sub(0x1p+0, v134), v133), mul(v125, v132));
        const float64 v139 = select(v67, v123, 0x1p+0);
        const float64 v140 = div(v139, v134);
        const float64 v143 = select(v67, sub(0x1p+0, mul(v140, v132)), v140);
        const float64 v146 = from_bits((bits(v140) & uint64(0xfffffffff8000000ull)));
        const float64 v149 = from_bits((bits(v134) & uint64(0xfffffffff8000000ull)));
        const float64 v155 = sub(sub(v139, mul(v146, v149)), mul(v146, add(sub(v134, v149), v138)));
        const float64 v158 = mul(add(v155, select(v67, v125, 0x0p+0)), v143);
        const float64 v160 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v163 = add(mul(v160, v146), mul(v160, v158));
        const float64 v168 = select(less(0x1.fffffffffffffp+1023, x), x, v163);
        return select(v67, mul(mul(v163, v130), 0x1p-512), v168);
    }
};

struct GeluTanhDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) & uint32(0x7fffffffu)));
        const float32 v7 = select(less(0x1.ep+3f, v4), 0x1.ep+3f, v4);
        const float32 v12 = from_bits((bits(v7) & uint32(0xfffff000u)));
        const float32 v13 = sub(v7, v12);
        const float32 v14 = mul(v12, v12);
        const float32 v16 = mul(add(v7, v12), v13);
        const float32 v17 = add(v14, v16);
        const float32 v22 = from_bits((bits(0x1.244p-4f) & uint32(0xfffff000u)));
        const float32 v26 = from_bits((bits(v17) & uint32(0xfffff000u)));
        const float32 v27 = sub(v17, v26);
        const float32 v28 = mul(v22, v26);
        const float32 v34 = mul(add(sub(0x1.244p-4f, v22), 0x1.3ca936p-18f), add(v26, v27));
        const float32 v35 = add(mul(v22, add(v27, add(sub(v14, v17), v16))), v34);
        const float32 v36 = add(v28, v35);
        const float32 v40 = add(0x1.988p+0f, v36);
        const float32 v41 = sub(v40, 0x1.988p+0f);
        const float32 v45 = add(sub(0x1.988p+0f, sub(v40, v41)), sub(v36, v41));
        const float32 v48 = add(v45, add(add(sub(v28, v36), v35), 0x1.14cf5p-14f));
        const float32 v49 = add(v40, v48);
        const float32 v56 = add(mul(mul(v7, v7), 0x1.b6676cp-3f), 0x1.988454p+0f);
        const float32 v59 = from_bits((bits(v49) & uint32(0xfffff000u)));
        const float32 v60 = sub(v49, v59);
        const float32 v61 = mul(v12, v59);
        const float32 v68 = add(mul(v12, add(v60, add(sub(v40, v49), v48))), mul(add(v13, 0x0p+0f), add(v59, v60)));
        const float32 v69 = add(v61, v68);
        const float32 v72 = sub(0x0p+0f, v69);
        const float32 v76 = select(less(v72, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v72);
        const float32 v80 = add(mul(v76, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v81 = sub(v80, 0x1.8p+23f);
        const float32 v87 = sub(mul(v81, 0x1.7f7d1cp-20f), sub(0x0p+0f, add(sub(v61, v69), v68)));
        const float32 v88 = sub(sub(v76, mul(v81, 0x1.62e4p-1f)), v87);
        const float32 v94 = mul(add(mul(0x1.a1256cp-13f, v88), 0x1.6d43bp-10f), v88);
        const float32 v99 = add(mul(add(v94, 0x1.1110ep-7f), v88), 0x1.5554e8p-5f);
        const float32 v105 = add(mul(add(mul(v99, v88), 0x1.555556p-3f), v88), 0x1p-1f);
        const float32 v112 = add(add(v88, mul(mul(v88, v88), v105)), 0x1p+0f);
        const uint32 v114 = ((bits(v80) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v120 = mul(mul(v112, from_bits((v114 << 23))), 0x1p-64f);
        const float32 v122 = div(0x1p+0f, add(v120, 0x1p+0f));
        const float32 v124 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v127 = select(less(0x1.cf05b6p+6f, v124), 0x1.cf05b6p+6f, v124);
        const float32 v129 = mul(v120, v122);
        return add(select(less(v127, 0x0p+0f), v129, v122), mul(mul(v127, v56), mul(v129, v122)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = select(less(0x1.4p+5, v4), 0x1.4p+5, v4);
        const float64 v12 = from_bits((bits(v7) & uint64(0xfffffffff8000000ull)));
        const float64 v13 = sub(v7, v12);
        const float64 v14 = mul(v12, v12);
        const float64 v16 = mul(add(v7, v12), v13);
        const float64 v17 = add(v14, v16);
        const uint64 v21 = (bits(0x1.2444f28p-4) & uint64(0xfffffffff8000000ull));
        const float64 v22 = from_bits(v21);
        const float64 v26 = from_bits((bits(v17) & uint64(0xfffffffff8000000ull)));
        const float64 v27 = sub(v17, v26);
        const float64 v28 = mul(v22, v26);
        const float64 v32 = add(sub(0x1.2444f28p-4, v22), 0x1.26c5a57a4def1p-31);
        const float64 v35 = add(mul(v22, add(v27, add(sub(v14, v17), v16))), mul(v32, add(v26, v27)));
        const float64 v36 = add(v28, v35);
        const float64 v40 = add(0x1.988453p+0, v36);
        const float64 v41 = sub(v40, 0x1.988453p+0);
        const float64 v45 = add(sub(0x1.988453p+0, sub(v40, v41)), sub(v36, v41));
        const float64 v47 = add(add(sub(v28, v36), v35), 0x1.ea1b284687e5ap-27);
        const float64 v48 = add(v45, v47);
        const float64 v49 = add(v40, v48);
        const float64 v56 = add(mul(mul(v7, v7), 0x1.b6676bf7450fp-3), 0x1.9884533d43651p+0);
        const float64 v59 = from_bits((bits(v49) & uint64(0xfffffffff8000000ull)));
        const float64 v60 = sub(v49, v59);
        const float64 v61 = mul(v12, v59);
        const float64 v68 = add(mul(v12, add(v60, add(sub(v40, v49), v48))), mul(add(v13, 0x0p+0), add(v59, v60)));
        const float64 v69 = add(v61, v68);
        const float64 v72 = sub(0x0p+0, v69);
        const float64 v76 = select(less(v72, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v72);
        const float64 v80 = add(mul(v76, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v81 = sub(v80, 0x1.8p+52);
        const float64 v87 = sub(mul(v81, 0x1.ef35793c7673p-45), sub(0x0p+0, add(sub(v61, v69), v68)));
        const float64 v88 = sub(sub(v76, mul(v81, 0x1.62e42fefa38p-1)), v87);
        const float64 v93 = add(mul(0x1.1f7340dbc337ep-29, v88), 0x1.af4e554377204p-26);
        const float64 v97 = mul(add(mul(v93, v88), 0x1.27e4db46cddd1p-22), v88);
        const float64 v102 = add(mul(add(v97, 0x1.71de01fdbf9cap-19), v88), 0x1.a01a01a6e1e2ap-16);
        const float64 v106 = mul(add(mul(v102, v88), 0x1.a01a01abf85abp-13), v88);
        const float64 v111 = add(mul(add(v106, 0x1.6c16c16c162c3p-10), v88), 0x1.11111111100bep-7);
        const float64 v115 = mul(add(mul(v111, v88), 0x1.5555555555556p-5), v88);
        const float64 v120 = add(mul(add(v115, 0x1.5555555555557p-3), v88), 0x1p-1);
        const float64 v127 = add(add(v88, mul(mul(v88, v88), v120)), 0x1p+0);
        const uint64 v129 = ((bits(v80) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v135 = mul(mul(v127, from_bits((v129 << 52))), 0x1p-512);
        const float64 v137 = div(0x1p+0, add(v135, 0x1p+0));
        const float64 v139 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v142 = select(less(0x1.7a75571e8d7c8p+9, v139), 0x1.7a75571e8d7c8p+9, v139);
        const float64 v144 = mul(v135, v137);
        return add(select(less(v142, 0x0p+0), v144, v137), mul(mul(v142, v56), mul(v144, v137)));
    }
};
