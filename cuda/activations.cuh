// The activations and their derivatives, as functions of one number: printed by tools/header.py
// from the recipes in _arithmetic/activation_recipes.py. Change those, and `make generate`.
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
        const float32 v16 = mul(v15, v15);
        const float32 v29 = mul(v16, add(mul(v15, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v30 = add(add(mul(v15, 0x1.555556p-3f), 0x1p-1f), v29);
        const float32 v32 = mul(mul(v16, v16), add(mul(v15, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v34 = mul(v16, add(v30, v32));
        const float32 v35 = add(v15, v34);
        const uint32 v42 = ((bits(v8) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v45 = from_bits((v42 << 23));
        const float32 v47 = sub(v45, 0x1p+0f);
        const float32 v48 = mul(v45, v35);
        const float32 v49 = add(v47, v48);
        const float32 v53 = add(add(sub(v47, v49), v48), mul(v45, add(sub(v15, v35), v34)));
        return select(less(x, 0x0p+0f), add(mul(parameter, v49), mul(parameter, v53)), x);
    }
    DEVICE float64 of(float64 x, float64 parameter) {
        const float64 v4 = select(less(x, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, x);
        const float64 v8 = add(mul(v4, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v9 = sub(v8, 0x1.8p+52);
        const float64 v15 = sub(sub(v4, mul(v9, 0x1.62e42fefa38p-1)), mul(v9, 0x1.ef35793c7673p-45));
        const float64 v16 = mul(v15, v15);
        const float64 v24 = add(mul(v15, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v28 = add(mul(v15, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v32 = add(mul(v15, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v36 = add(mul(v15, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v38 = add(add(mul(v15, 0x1.5555555555557p-3), 0x1p-1), mul(v16, v24));
        const float64 v44 = mul(v16, v16);
        const float64 v48 = mul(mul(v44, v44), add(v36, mul(v16, 0x1.1f7340dbc337ep-29)));
        const float64 v49 = add(add(v38, mul(v44, add(v28, mul(v16, v32)))), v48);
        const float64 v50 = mul(v16, v49);
        const float64 v51 = add(v15, v50);
        const uint64 v58 = ((bits(v8) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v61 = from_bits((v58 << 52));
        const float64 v63 = sub(v61, 0x1p+0);
        const float64 v64 = mul(v61, v51);
        const float64 v65 = add(v63, v64);
        const float64 v69 = add(add(sub(v63, v65), v64), mul(v61, add(sub(v15, v51), v50)));
        return select(less(x, 0x0p+0), add(mul(parameter, v65), mul(parameter, v69)), x);
    }
};

struct EluDerivative {
    DEVICE float32 of(float32 x, float32 parameter) {
        const float32 v4 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v8 = add(mul(v4, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v9 = sub(v8, 0x1.8p+23f);
        const float32 v15 = sub(sub(v4, mul(v9, 0x1.62e4p-1f)), mul(v9, 0x1.7f7d1cp-20f));
        const float32 v16 = mul(v15, v15);
        const float32 v29 = mul(v16, add(mul(v15, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v30 = add(add(mul(v15, 0x1.555556p-3f), 0x1p-1f), v29);
        const float32 v32 = mul(mul(v16, v16), add(mul(v15, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v40 = add(add(v15, mul(v16, add(v30, v32))), 0x1p+0f);
        const uint32 v42 = ((bits(v8) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v48 = mul(mul(v40, from_bits((v42 << 23))), 0x1p-64f);
        return select(less_equal(x, 0x0p+0f), mul(v48, parameter), select(less(0x0p+0f, x), 0x1p+0f, x));
    }
    DEVICE float64 of(float64 x, float64 parameter) {
        const float64 v4 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v8 = add(mul(v4, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v9 = sub(v8, 0x1.8p+52);
        const float64 v15 = sub(sub(v4, mul(v9, 0x1.62e42fefa38p-1)), mul(v9, 0x1.ef35793c7673p-45));
        const float64 v16 = mul(v15, v15);
        const float64 v24 = add(mul(v15, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v28 = add(mul(v15, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v32 = add(mul(v15, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v36 = add(mul(v15, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v38 = add(add(mul(v15, 0x1.5555555555557p-3), 0x1p-1), mul(v16, v24));
        const float64 v44 = mul(v16, v16);
        const float64 v48 = mul(mul(v44, v44), add(v36, mul(v16, 0x1.1f7340dbc337ep-29)));
        const float64 v49 = add(add(v38, mul(v44, add(v28, mul(v16, v32)))), v48);
        const uint64 v58 = ((bits(v8) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v62 = mul(add(add(v15, mul(v16, v49)), 0x1p+0), from_bits((v58 << 52)));
        return select(less_equal(x, 0x0p+0), mul(mul(v62, 0x1p-512), parameter), select(less(0x0p+0, x), 0x1p+0, x));
    }
};

struct Selu {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+4f), -0x1.cf05b6p+4f, x);
        const float32 v7 = add(mul(v3, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v8 = sub(v7, 0x1.8p+23f);
        const float32 v14 = sub(sub(v3, mul(v8, 0x1.62e4p-1f)), mul(v8, 0x1.7f7d1cp-20f));
        const float32 v15 = mul(v14, v14);
        const float32 v28 = mul(v15, add(mul(v14, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v29 = add(add(mul(v14, 0x1.555556p-3f), 0x1p-1f), v28);
        const float32 v31 = mul(mul(v15, v15), add(mul(v14, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v33 = mul(v15, add(v29, v31));
        const float32 v34 = add(v14, v33);
        const uint32 v41 = ((bits(v7) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v44 = from_bits((v41 << 23));
        const float32 v46 = sub(v44, 0x1p+0f);
        const float32 v47 = mul(v44, v34);
        const float32 v48 = add(v46, v47);
        const float32 v52 = add(add(sub(v46, v48), v47), mul(v44, add(sub(v14, v34), v33)));
        const float32 v58 = add(mul(v52, 0x1.c212ccp+0f), mul(v48, 0x1.903c0cp-26f));
        const float32 v66 = add(mul(x, 0x1.0cfabcp+0f), mul(x, 0x1.6a9114p-24f));
        return select(less(x, 0x0p+0f), add(mul(v48, 0x1.c212ccp+0f), v58), v66);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, x);
        const float64 v7 = add(mul(v3, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v8 = sub(v7, 0x1.8p+52);
        const float64 v14 = sub(sub(v3, mul(v8, 0x1.62e42fefa38p-1)), mul(v8, 0x1.ef35793c7673p-45));
        const float64 v15 = mul(v14, v14);
        const float64 v23 = add(mul(v14, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v27 = add(mul(v14, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v31 = add(mul(v14, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v35 = add(mul(v14, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v37 = add(add(mul(v14, 0x1.5555555555557p-3), 0x1p-1), mul(v15, v23));
        const float64 v43 = mul(v15, v15);
        const float64 v47 = mul(mul(v43, v43), add(v35, mul(v15, 0x1.1f7340dbc337ep-29)));
        const float64 v48 = add(add(v37, mul(v43, add(v27, mul(v15, v31)))), v47);
        const float64 v49 = mul(v15, v48);
        const float64 v50 = add(v14, v49);
        const uint64 v57 = ((bits(v7) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v60 = from_bits((v57 << 52));
        const float64 v62 = sub(v60, 0x1p+0);
        const float64 v63 = mul(v60, v50);
        const float64 v64 = add(v62, v63);
        const float64 v68 = add(add(sub(v62, v64), v63), mul(v60, add(sub(v14, v50), v49)));
        const float64 v74 = add(mul(v68, 0x1.c212cc640f031p+0), mul(v64, 0x1.05161b045a1fep-56));
        const float64 v82 = add(mul(x, 0x1.0cfabd6a91132p+0), mul(x, 0x1.6fc7d272f2695p-55));
        return select(less(x, 0x0p+0), add(mul(v64, 0x1.c212cc640f031p+0), v74), v82);
    }
};

struct SeluDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v7 = add(mul(v3, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v8 = sub(v7, 0x1.8p+23f);
        const float32 v14 = sub(sub(v3, mul(v8, 0x1.62e4p-1f)), mul(v8, 0x1.7f7d1cp-20f));
        const float32 v15 = mul(v14, v14);
        const float32 v28 = mul(v15, add(mul(v14, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v29 = add(add(mul(v14, 0x1.555556p-3f), 0x1p-1f), v28);
        const float32 v31 = mul(mul(v15, v15), add(mul(v14, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v39 = add(add(v14, mul(v15, add(v29, v31))), 0x1p+0f);
        const uint32 v41 = ((bits(v7) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v47 = mul(mul(v39, 0x1.c212ccp+0f), from_bits((v41 << 23)));
        return select(less_equal(x, 0x0p+0f), mul(v47, 0x1p-64f), select(less(0x0p+0f, x), 0x1.0cfabep+0f, x));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v7 = add(mul(v3, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v8 = sub(v7, 0x1.8p+52);
        const float64 v14 = sub(sub(v3, mul(v8, 0x1.62e42fefa38p-1)), mul(v8, 0x1.ef35793c7673p-45));
        const float64 v15 = mul(v14, v14);
        const float64 v23 = add(mul(v14, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v27 = add(mul(v14, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v31 = add(mul(v14, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v35 = add(mul(v14, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v37 = add(add(mul(v14, 0x1.5555555555557p-3), 0x1p-1), mul(v15, v23));
        const float64 v43 = mul(v15, v15);
        const float64 v47 = mul(mul(v43, v43), add(v35, mul(v15, 0x1.1f7340dbc337ep-29)));
        const float64 v48 = add(add(v37, mul(v43, add(v27, mul(v15, v31)))), v47);
        const uint64 v57 = ((bits(v7) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v62 = mul(add(add(v14, mul(v15, v48)), 0x1p+0), 0x1.c212cc640f031p+0);
        const float64 v65 = mul(mul(v62, from_bits((v57 << 52))), 0x1p-512);
        const float64 v70 = select(less(0x0p+0, x), 0x1.0cfabd6a91132p+0, x);
        return select(less_equal(x, 0x0p+0), v65, v70);
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
        const float32 v21 = mul(v20, v20);
        const float32 v34 = mul(v21, add(mul(v20, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v35 = add(add(mul(v20, 0x1.555556p-3f), 0x1p-1f), v34);
        const float32 v37 = mul(mul(v21, v21), add(mul(v20, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v40 = add(v20, mul(v21, add(v35, v37)));
        const float32 v45 = add(v40, 0x1p+0f);
        const uint32 v49 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v52 = from_bits((v49 << 23));
        const float32 v55 = mul(mul(v45, v52), 0x1p-64f);
        const float32 v57 = mul(mul(add(sub(0x1p+0f, v45), v40), v52), 0x1p-64f);
        const float32 v58 = add(v55, 0x1p+0f);
        const float32 v62 = div(select(v2, v55, 0x1p+0f), v58);
        const float32 v67 = mul(v62, add(add(sub(0x1p+0f, v58), v55), v57));
        const float32 v69 = mul(sub(select(v2, v57, 0x0p+0f), v67), select(v2, sub(0x1p+0f, v62), v62));
        return add(v62, v69);
    }
    DEVICE float64 of(float64 x, float64) {
        const bool v2 = less(x, 0x0p+0);
        const float64 v6 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v21 = mul(v20, v20);
        const float64 v29 = add(mul(v20, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v33 = add(mul(v20, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v37 = add(mul(v20, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = add(mul(v20, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v43 = add(add(mul(v20, 0x1.5555555555557p-3), 0x1p-1), mul(v21, v29));
        const float64 v49 = mul(v21, v21);
        const float64 v53 = mul(mul(v49, v49), add(v41, mul(v21, 0x1.1f7340dbc337ep-29)));
        const float64 v54 = add(add(v43, mul(v49, add(v33, mul(v21, v37)))), v53);
        const float64 v56 = add(v20, mul(v21, v54));
        const float64 v61 = add(v56, 0x1p+0);
        const uint64 v65 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v68 = from_bits((v65 << 52));
        const float64 v71 = mul(mul(v61, v68), 0x1p-512);
        const float64 v73 = mul(mul(add(sub(0x1p+0, v61), v56), v68), 0x1p-512);
        const float64 v74 = add(v71, 0x1p+0);
        const float64 v78 = div(select(v2, v71, 0x1p+0), v74);
        const float64 v84 = sub(select(v2, v73, 0x0p+0), mul(v78, add(add(sub(0x1p+0, v74), v71), v73)));
        return add(v78, mul(v84, select(v2, sub(0x1p+0, v78), v78)));
    }
};

struct SigmoidDerivative {
    DEVICE float32 of(float32 x, float32) {
        const bool v2 = less(x, 0x0p+0f);
        const float32 v6 = from_bits((bits(x) | uint32(0x80000000u)));
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v20 = sub(sub(v9, mul(v14, 0x1.62e4p-1f)), mul(v14, 0x1.7f7d1cp-20f));
        const float32 v21 = mul(v20, v20);
        const float32 v34 = mul(v21, add(mul(v20, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v35 = add(add(mul(v20, 0x1.555556p-3f), 0x1p-1f), v34);
        const float32 v37 = mul(mul(v21, v21), add(mul(v20, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v45 = add(add(v20, mul(v21, add(v35, v37))), 0x1p+0f);
        const uint32 v47 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v53 = mul(mul(v45, from_bits((v47 << 23))), 0x1p-64f);
        const float32 v56 = div(select(v2, v53, 0x1p+0f), add(v53, 0x1p+0f));
        const float32 v58 = select(v2, sub(0x1p+0f, v56), v56);
        return mul(mul(v53, v58), v58);
    }
    DEVICE float64 of(float64 x, float64) {
        const bool v2 = less(x, 0x0p+0);
        const float64 v6 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v21 = mul(v20, v20);
        const float64 v29 = add(mul(v20, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v33 = add(mul(v20, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v37 = add(mul(v20, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = add(mul(v20, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v43 = add(add(mul(v20, 0x1.5555555555557p-3), 0x1p-1), mul(v21, v29));
        const float64 v49 = mul(v21, v21);
        const float64 v53 = mul(mul(v49, v49), add(v41, mul(v21, 0x1.1f7340dbc337ep-29)));
        const float64 v54 = add(add(v43, mul(v49, add(v33, mul(v21, v37)))), v53);
        const uint64 v63 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v67 = mul(add(add(v20, mul(v21, v54)), 0x1p+0), from_bits((v63 << 52)));
        const float64 v69 = mul(v67, 0x1p-512);
        const float64 v72 = div(select(v2, v69, 0x1p+0), add(v69, 0x1p+0));
        const float64 v74 = select(v2, sub(0x1p+0, v72), v72);
        return mul(mul(v69, v74), v74);
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
        const float32 v21 = mul(v20, v20);
        const float32 v34 = mul(v21, add(mul(v20, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v35 = add(add(mul(v20, 0x1.555556p-3f), 0x1p-1f), v34);
        const float32 v37 = mul(mul(v21, v21), add(mul(v20, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v39 = mul(v21, add(v35, v37));
        const float32 v40 = add(v20, v39);
        const uint32 v47 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v50 = from_bits((v47 << 23));
        const float32 v52 = sub(v50, 0x1p+0f);
        const float32 v53 = mul(v50, v40);
        const float32 v54 = add(v52, v53);
        const float32 v58 = add(add(sub(v52, v54), v53), mul(v50, add(sub(v20, v40), v39)));
        const float32 v59 = add(v54, 0x1p+1f);
        const float32 v62 = div(v54, v59);
        const float32 v64 = mul(v62, add(add(sub(0x1p+1f, v59), v54), v58));
        const float32 v68 = mul(sub(v58, v64), sub(0x1p-1f, mul(v62, 0x1p-1f)));
        const uint32 v74 = ((bits(add(v62, v68)) & uint32(0x7fffffffu)) | (v1 & uint32(0x80000000u)));
        return from_bits(v74);
    }
    DEVICE float64 of(float64 x, float64) {
        const uint64 v1 = bits(x);
        const float64 v4 = from_bits((v1 | uint64(0x8000000000000000ull)));
        const float64 v6 = mul(v4, 0x1p+1);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v21 = mul(v20, v20);
        const float64 v29 = add(mul(v20, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v33 = add(mul(v20, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v37 = add(mul(v20, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = add(mul(v20, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v43 = add(add(mul(v20, 0x1.5555555555557p-3), 0x1p-1), mul(v21, v29));
        const float64 v49 = mul(v21, v21);
        const float64 v53 = mul(mul(v49, v49), add(v41, mul(v21, 0x1.1f7340dbc337ep-29)));
        const float64 v54 = add(add(v43, mul(v49, add(v33, mul(v21, v37)))), v53);
        const float64 v55 = mul(v21, v54);
        const float64 v56 = add(v20, v55);
        const uint64 v63 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v66 = from_bits((v63 << 52));
        const float64 v68 = sub(v66, 0x1p+0);
        const float64 v69 = mul(v66, v56);
        const float64 v70 = add(v68, v69);
        const float64 v74 = add(add(sub(v68, v70), v69), mul(v66, add(sub(v20, v56), v55)));
        const float64 v75 = add(v70, 0x1p+1);
        const float64 v78 = div(v70, v75);
        const float64 v81 = sub(v74, mul(v78, add(add(sub(0x1p+1, v75), v70), v74)));
        const float64 v85 = add(v78, mul(v81, sub(0x1p-1, mul(v78, 0x1p-1))));
        const uint64 v90 = ((bits(v85) & uint64(0x7fffffffffffffffull)) | (v1 & uint64(0x8000000000000000ull)));
        return from_bits(v90);
    }
};

struct TanhDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = mul(from_bits((bits(x) | uint32(0x80000000u))), 0x1p+1f);
        const bool v8 = less(v6, -0x1.cf05b6p+4f);
        const float32 v9 = select(v8, -0x1.cf05b6p+4f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v20 = sub(sub(v9, mul(v14, 0x1.62e4p-1f)), mul(v14, 0x1.7f7d1cp-20f));
        const float32 v21 = mul(v20, v20);
        const float32 v34 = mul(v21, add(mul(v20, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v35 = add(add(mul(v20, 0x1.555556p-3f), 0x1p-1f), v34);
        const float32 v37 = mul(mul(v21, v21), add(mul(v20, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v39 = mul(v21, add(v35, v37));
        const float32 v40 = add(v20, v39);
        const uint32 v47 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v50 = from_bits((v47 << 23));
        const float32 v52 = sub(v50, 0x1p+0f);
        const float32 v53 = mul(v50, v40);
        const float32 v54 = add(v52, v53);
        const float32 v58 = add(add(sub(v52, v54), v53), mul(v50, add(sub(v20, v40), v39)));
        const float32 v59 = add(v54, 0x1p+1f);
        const float32 v62 = div(v54, v59);
        const float32 v64 = mul(v62, add(add(sub(0x1p+1f, v59), v54), v58));
        const float32 v68 = mul(sub(v58, v64), sub(0x1p-1f, mul(v62, 0x1p-1f)));
        const float32 v71 = sub(0x0p+0f, add(v62, v68));
        const float32 v72 = add(v71, 0x1p+0f);
        const float32 v77 = mul(select(v8, 0x0p+0f, add(v50, v53)), v72);
        const float32 v80 = mul(mul(v77, 0x1p+1f), add(sub(0x1p+0f, v72), v71));
        return add(mul(v77, v72), v80);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v6 = mul(v4, 0x1p+1);
        const bool v8 = less(v6, -0x1.7a75571e8d7c8p+7);
        const float64 v9 = select(v8, -0x1.7a75571e8d7c8p+7, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v21 = mul(v20, v20);
        const float64 v29 = add(mul(v20, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v33 = add(mul(v20, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v37 = add(mul(v20, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = add(mul(v20, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v43 = add(add(mul(v20, 0x1.5555555555557p-3), 0x1p-1), mul(v21, v29));
        const float64 v49 = mul(v21, v21);
        const float64 v53 = mul(mul(v49, v49), add(v41, mul(v21, 0x1.1f7340dbc337ep-29)));
        const float64 v54 = add(add(v43, mul(v49, add(v33, mul(v21, v37)))), v53);
        const float64 v55 = mul(v21, v54);
        const float64 v56 = add(v20, v55);
        const uint64 v63 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v66 = from_bits((v63 << 52));
        const float64 v68 = sub(v66, 0x1p+0);
        const float64 v69 = mul(v66, v56);
        const float64 v70 = add(v68, v69);
        const float64 v74 = add(add(sub(v68, v70), v69), mul(v66, add(sub(v20, v56), v55)));
        const float64 v75 = add(v70, 0x1p+1);
        const float64 v78 = div(v70, v75);
        const float64 v81 = sub(v74, mul(v78, add(add(sub(0x1p+1, v75), v70), v74)));
        const float64 v85 = add(v78, mul(v81, sub(0x1p-1, mul(v78, 0x1p-1))));
        const float64 v87 = sub(0x0p+0, v85);
        const float64 v88 = add(v87, 0x1p+0);
        const float64 v93 = mul(select(v8, 0x0p+0, add(v66, v69)), v88);
        const float64 v96 = mul(mul(v93, 0x1p+1), add(sub(0x1p+0, v88), v87));
        return add(mul(v93, v88), v96);
    }
};

struct Exponential {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v6 = select(less(0x1.cf05b6p+6f, v3), 0x1.cf05b6p+6f, v3);
        const float32 v10 = add(mul(v6, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v11 = sub(v10, 0x1.8p+23f);
        const float32 v17 = sub(sub(v6, mul(v11, 0x1.62e4p-1f)), mul(v11, 0x1.7f7d1cp-20f));
        const float32 v18 = mul(v17, v17);
        const float32 v31 = mul(v18, add(mul(v17, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v32 = add(add(mul(v17, 0x1.555556p-3f), 0x1p-1f), v31);
        const float32 v34 = mul(mul(v18, v18), add(mul(v17, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const uint32 v42 = ((bits(v10) - uint32(0x4b400000u)) + uint32(0xfeu));
        const uint32 v44 = (v42 >> 1);
        const float32 v46 = add(add(v17, mul(v18, add(v32, v34))), 0x1p+0f);
        return mul(mul(v46, from_bits((v44 << 23))), from_bits(((v42 - v44) << 23)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v6 = select(less(0x1.7a75571e8d7c8p+9, v3), 0x1.7a75571e8d7c8p+9, v3);
        const float64 v10 = add(mul(v6, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v11 = sub(v10, 0x1.8p+52);
        const float64 v17 = sub(sub(v6, mul(v11, 0x1.62e42fefa38p-1)), mul(v11, 0x1.ef35793c7673p-45));
        const float64 v18 = mul(v17, v17);
        const float64 v26 = add(mul(v17, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v30 = add(mul(v17, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v34 = add(mul(v17, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v38 = add(mul(v17, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v40 = add(add(mul(v17, 0x1.5555555555557p-3), 0x1p-1), mul(v18, v26));
        const float64 v46 = mul(v18, v18);
        const float64 v50 = mul(mul(v46, v46), add(v38, mul(v18, 0x1.1f7340dbc337ep-29)));
        const float64 v51 = add(add(v40, mul(v46, add(v30, mul(v18, v34)))), v50);
        const uint64 v58 = ((bits(v10) - uint64(0x4338000000000000ull)) + uint64(0x7feull));
        const uint64 v60 = (v58 >> 1);
        const float64 v66 = mul(add(add(v17, mul(v18, v51)), 0x1p+0), from_bits((v60 << 52)));
        return mul(v66, from_bits(((v58 - v60) << 52)));
    }
};

struct ExponentialDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v6 = select(less(0x1.cf05b6p+6f, v3), 0x1.cf05b6p+6f, v3);
        const float32 v10 = add(mul(v6, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v11 = sub(v10, 0x1.8p+23f);
        const float32 v17 = sub(sub(v6, mul(v11, 0x1.62e4p-1f)), mul(v11, 0x1.7f7d1cp-20f));
        const float32 v18 = mul(v17, v17);
        const float32 v31 = mul(v18, add(mul(v17, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v32 = add(add(mul(v17, 0x1.555556p-3f), 0x1p-1f), v31);
        const float32 v34 = mul(mul(v18, v18), add(mul(v17, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const uint32 v42 = ((bits(v10) - uint32(0x4b400000u)) + uint32(0xfeu));
        const uint32 v44 = (v42 >> 1);
        const float32 v46 = add(add(v17, mul(v18, add(v32, v34))), 0x1p+0f);
        return mul(mul(v46, from_bits((v44 << 23))), from_bits(((v42 - v44) << 23)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v6 = select(less(0x1.7a75571e8d7c8p+9, v3), 0x1.7a75571e8d7c8p+9, v3);
        const float64 v10 = add(mul(v6, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v11 = sub(v10, 0x1.8p+52);
        const float64 v17 = sub(sub(v6, mul(v11, 0x1.62e42fefa38p-1)), mul(v11, 0x1.ef35793c7673p-45));
        const float64 v18 = mul(v17, v17);
        const float64 v26 = add(mul(v17, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v30 = add(mul(v17, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v34 = add(mul(v17, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v38 = add(mul(v17, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v40 = add(add(mul(v17, 0x1.5555555555557p-3), 0x1p-1), mul(v18, v26));
        const float64 v46 = mul(v18, v18);
        const float64 v50 = mul(mul(v46, v46), add(v38, mul(v18, 0x1.1f7340dbc337ep-29)));
        const float64 v51 = add(add(v40, mul(v46, add(v30, mul(v18, v34)))), v50);
        const uint64 v58 = ((bits(v10) - uint64(0x4338000000000000ull)) + uint64(0x7feull));
        const uint64 v60 = (v58 >> 1);
        const float64 v66 = mul(add(add(v17, mul(v18, v51)), 0x1p+0), from_bits((v60 << 52)));
        return mul(v66, from_bits(((v58 - v60) << 52)));
    }
};

struct Softplus {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) | uint32(0x80000000u)));
        const float32 v7 = select(less(v4, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v4);
        const float32 v11 = add(mul(v7, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v12 = sub(v11, 0x1.8p+23f);
        const float32 v18 = sub(sub(v7, mul(v12, 0x1.62e4p-1f)), mul(v12, 0x1.7f7d1cp-20f));
        const float32 v19 = mul(v18, v18);
        const float32 v32 = mul(v19, add(mul(v18, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v33 = add(add(mul(v18, 0x1.555556p-3f), 0x1p-1f), v32);
        const float32 v35 = mul(mul(v19, v19), add(mul(v18, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v38 = add(v18, mul(v19, add(v33, v35)));
        const float32 v43 = add(v38, 0x1p+0f);
        const uint32 v47 = ((bits(v11) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v50 = from_bits((v47 << 23));
        const float32 v53 = mul(mul(v43, v50), 0x1p-64f);
        const float32 v55 = mul(mul(add(sub(0x1p+0f, v43), v38), v50), 0x1p-64f);
        const bool v56 = less(0x1p-1f, v53);
        const float32 v59 = select(v56, mul(sub(v53, 0x1p+0f), 0x1p-1f), v53);
        const float32 v64 = div(v59, add(v59, 0x1p+1f));
        const float32 v65 = mul(v64, v64);
        const float32 v67 = mul(mul(v59, 0x1p-1f), v59);
        const float32 v77 = mul(mul(v65, v65), add(mul(v65, 0x1.e6587ap-3f), 0x1.242cep-2f));
        const float32 v78 = add(add(mul(v65, 0x1.999a6ap-2f), 0x1.555556p-1f), v77);
        const float32 v84 = select(v56, 0x1.62e4p-1f, 0x0p+0f);
        const float32 v85 = add(v84, v59);
        const float32 v89 = sub(select(v56, 0x1.7f7d1cp-20f, 0x0p+0f), sub(v67, mul(v64, add(v67, mul(v65, v78)))));
        const float32 v91 = add(add(sub(v84, v85), v59), add(v89, select(v56, mul(v55, 0x1p-1f), v55)));
        const float32 v92 = add(v85, v91);
        const float32 v96 = select(less(x, 0x0p+0f), 0x0p+0f, x);
        const float32 v97 = add(v96, v92);
        const float32 v98 = sub(v97, v96);
        const float32 v105 = add(add(sub(v96, sub(v97, v98)), sub(v92, v98)), add(sub(v85, v92), v91));
        return select(less(0x1.fffffep+127f, x), x, add(v97, v105));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v7 = select(less(v4, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v4);
        const float64 v11 = add(mul(v7, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v12 = sub(v11, 0x1.8p+52);
        const float64 v18 = sub(sub(v7, mul(v12, 0x1.62e42fefa38p-1)), mul(v12, 0x1.ef35793c7673p-45));
        const float64 v19 = mul(v18, v18);
        const float64 v27 = add(mul(v18, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v31 = add(mul(v18, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v35 = add(mul(v18, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v39 = add(mul(v18, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v41 = add(add(mul(v18, 0x1.5555555555557p-3), 0x1p-1), mul(v19, v27));
        const float64 v47 = mul(v19, v19);
        const float64 v51 = mul(mul(v47, v47), add(v39, mul(v19, 0x1.1f7340dbc337ep-29)));
        const float64 v52 = add(add(v41, mul(v47, add(v31, mul(v19, v35)))), v51);
        const float64 v54 = add(v18, mul(v19, v52));
        const float64 v59 = add(v54, 0x1p+0);
        const uint64 v63 = ((bits(v11) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v66 = from_bits((v63 << 52));
        const float64 v69 = mul(mul(v59, v66), 0x1p-512);
        const float64 v71 = mul(mul(add(sub(0x1p+0, v59), v54), v66), 0x1p-512);
        const bool v72 = less(0x1p-1, v69);
        const float64 v75 = select(v72, mul(sub(v69, 0x1p+0), 0x1p-1), v69);
        const float64 v80 = div(v75, add(v75, 0x1p+1));
        const float64 v81 = mul(v80, v80);
        const float64 v83 = mul(mul(v75, 0x1p-1), v75);
        const float64 v87 = add(mul(v81, 0x1.9999999999f17p-2), 0x1.5555555555555p-1);
        const float64 v91 = add(mul(v81, 0x1.c71c72df580fcp-3), 0x1.24924923de6edp-2);
        const float64 v95 = add(mul(v81, 0x1.3b29d0452d426p-3), 0x1.745cac43cc003p-3);
        const float64 v99 = add(mul(v81, 0x1.169c38cc826bep-3), 0x1.0e8c55b42945fp-3);
        const float64 v100 = mul(v81, v81);
        const float64 v107 = add(add(v87, mul(v100, v91)), mul(mul(v100, v100), add(v95, mul(v100, v99))));
        const float64 v113 = select(v72, 0x1.62e42fefa38p-1, 0x0p+0);
        const float64 v114 = add(v113, v75);
        const float64 v118 = sub(select(v72, 0x1.ef35793c7673p-45, 0x0p+0), sub(v83, mul(v80, add(v83, mul(v81, v107)))));
        const float64 v120 = add(add(sub(v113, v114), v75), add(v118, select(v72, mul(v71, 0x1p-1), v71)));
        const float64 v121 = add(v114, v120);
        const float64 v125 = select(less(x, 0x0p+0), 0x0p+0, x);
        const float64 v126 = add(v125, v121);
        const float64 v127 = sub(v126, v125);
        const float64 v131 = add(sub(v125, sub(v126, v127)), sub(v121, v127));
        const float64 v135 = add(v126, add(v131, add(sub(v114, v121), v120)));
        return select(less(0x1.fffffffffffffp+1023, x), x, v135);
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
        const float32 v21 = mul(v20, v20);
        const float32 v34 = mul(v21, add(mul(v20, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v35 = add(add(mul(v20, 0x1.555556p-3f), 0x1p-1f), v34);
        const float32 v37 = mul(mul(v21, v21), add(mul(v20, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v40 = add(v20, mul(v21, add(v35, v37)));
        const float32 v45 = add(v40, 0x1p+0f);
        const uint32 v49 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v52 = from_bits((v49 << 23));
        const float32 v55 = mul(mul(v45, v52), 0x1p-64f);
        const float32 v57 = mul(mul(add(sub(0x1p+0f, v45), v40), v52), 0x1p-64f);
        const float32 v58 = add(v55, 0x1p+0f);
        const float32 v62 = div(select(v2, v55, 0x1p+0f), v58);
        const float32 v67 = mul(v62, add(add(sub(0x1p+0f, v58), v55), v57));
        const float32 v69 = mul(sub(select(v2, v57, 0x0p+0f), v67), select(v2, sub(0x1p+0f, v62), v62));
        return add(v62, v69);
    }
    DEVICE float64 of(float64 x, float64) {
        const bool v2 = less(x, 0x0p+0);
        const float64 v6 = from_bits((bits(x) | uint64(0x8000000000000000ull)));
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v21 = mul(v20, v20);
        const float64 v29 = add(mul(v20, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v33 = add(mul(v20, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v37 = add(mul(v20, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = add(mul(v20, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v43 = add(add(mul(v20, 0x1.5555555555557p-3), 0x1p-1), mul(v21, v29));
        const float64 v49 = mul(v21, v21);
        const float64 v53 = mul(mul(v49, v49), add(v41, mul(v21, 0x1.1f7340dbc337ep-29)));
        const float64 v54 = add(add(v43, mul(v49, add(v33, mul(v21, v37)))), v53);
        const float64 v56 = add(v20, mul(v21, v54));
        const float64 v61 = add(v56, 0x1p+0);
        const uint64 v65 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v68 = from_bits((v65 << 52));
        const float64 v71 = mul(mul(v61, v68), 0x1p-512);
        const float64 v73 = mul(mul(add(sub(0x1p+0, v61), v56), v68), 0x1p-512);
        const float64 v74 = add(v71, 0x1p+0);
        const float64 v78 = div(select(v2, v71, 0x1p+0), v74);
        const float64 v84 = sub(select(v2, v73, 0x0p+0), mul(v78, add(add(sub(0x1p+0, v74), v71), v73)));
        return add(v78, mul(v84, select(v2, sub(0x1p+0, v78), v78)));
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
        const float32 v22 = mul(v21, v21);
        const float32 v35 = mul(v22, add(mul(v21, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v36 = add(add(mul(v21, 0x1.555556p-3f), 0x1p-1f), v35);
        const float32 v38 = mul(mul(v22, v22), add(mul(v21, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v41 = add(v21, mul(v22, add(v36, v38)));
        const float32 v46 = add(v41, 0x1p+0f);
        const float32 v48 = add(sub(0x1p+0f, v46), v41);
        const uint32 v50 = ((bits(v14) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v53 = from_bits((v50 << 23));
        const float32 v55 = mul(v53, 0x1p-64f);
        const float32 v56 = mul(v46, v55);
        const float32 v57 = add(v56, 0x1p+0f);
        const float32 v61 = add(add(sub(0x1p+0f, v57), v56), mul(v48, v55));
        const float32 v62 = select(v6, v46, 0x1p+0f);
        const float32 v63 = div(v62, v57);
        const float32 v70 = from_bits((bits(v63) & uint32(0xfffff000u)));
        const float32 v73 = from_bits((bits(v57) & uint32(0xfffff000u)));
        const float32 v79 = sub(sub(v62, mul(v70, v73)), mul(v70, add(sub(v57, v73), v61)));
        const float32 v82 = mul(add(v79, select(v6, v48, 0x0p+0f)), select(v6, sub(0x1p+0f, mul(v63, v55)), v63));
        const float32 v84 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v87 = add(mul(v84, v70), mul(v84, v82));
        return select(v6, mul(mul(v87, v53), 0x1p-64f), select(less(0x1.fffffep+127f, x), x, v87));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const bool v6 = less(x, 0x0p+0);
        const float64 v7 = sub(0x0p+0, v4);
        const float64 v10 = select(less(v7, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v7);
        const float64 v14 = add(mul(v10, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v15 = sub(v14, 0x1.8p+52);
        const float64 v21 = sub(sub(v10, mul(v15, 0x1.62e42fefa38p-1)), mul(v15, 0x1.ef35793c7673p-45));
        const float64 v22 = mul(v21, v21);
        const float64 v30 = add(mul(v21, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v34 = add(mul(v21, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v38 = add(mul(v21, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v42 = add(mul(v21, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v44 = add(add(mul(v21, 0x1.5555555555557p-3), 0x1p-1), mul(v22, v30));
        const float64 v50 = mul(v22, v22);
        const float64 v54 = mul(mul(v50, v50), add(v42, mul(v22, 0x1.1f7340dbc337ep-29)));
        const float64 v55 = add(add(v44, mul(v50, add(v34, mul(v22, v38)))), v54);
        const float64 v57 = add(v21, mul(v22, v55));
        const float64 v62 = add(v57, 0x1p+0);
        const float64 v64 = add(sub(0x1p+0, v62), v57);
        const uint64 v66 = ((bits(v14) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v69 = from_bits((v66 << 52));
        const float64 v71 = mul(v69, 0x1p-512);
        const float64 v72 = mul(v62, v71);
        const float64 v73 = add(v72, 0x1p+0);
        const float64 v78 = select(v6, v62, 0x1p+0);
        const float64 v79 = div(v78, v73);
        const float64 v86 = from_bits((bits(v79) & uint64(0xfffffffff8000000ull)));
        const float64 v89 = from_bits((bits(v73) & uint64(0xfffffffff8000000ull)));
        const float64 v93 = add(sub(v73, v89), add(add(sub(0x1p+0, v73), v72), mul(v64, v71)));
        const float64 v97 = add(sub(sub(v78, mul(v86, v89)), mul(v86, v93)), select(v6, v64, 0x0p+0));
        const float64 v98 = mul(v97, select(v6, sub(0x1p+0, mul(v79, v71)), v79));
        const float64 v100 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v103 = add(mul(v100, v86), mul(v100, v98));
        const float64 v108 = select(less(0x1.fffffffffffffp+1023, x), x, v103);
        return select(v6, mul(mul(v103, v69), 0x1p-512), v108);
    }
};

struct SiluDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = sub(0x0p+0f, from_bits((bits(x) & uint32(0x7fffffffu))));
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v20 = sub(sub(v9, mul(v14, 0x1.62e4p-1f)), mul(v14, 0x1.7f7d1cp-20f));
        const float32 v21 = mul(v20, v20);
        const float32 v34 = mul(v21, add(mul(v20, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v35 = add(add(mul(v20, 0x1.555556p-3f), 0x1p-1f), v34);
        const float32 v37 = mul(mul(v21, v21), add(mul(v20, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v45 = add(add(v20, mul(v21, add(v35, v37))), 0x1p+0f);
        const uint32 v47 = ((bits(v13) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v53 = mul(mul(v45, from_bits((v47 << 23))), 0x1p-64f);
        const float32 v55 = div(0x1p+0f, add(v53, 0x1p+0f));
        const float32 v57 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v60 = select(less(0x1.cf05b6p+6f, v57), 0x1.cf05b6p+6f, v57);
        const float32 v62 = mul(v53, v55);
        return add(select(less(v60, 0x0p+0f), v62, v55), mul(mul(v60, 0x1p+0f), mul(v62, v55)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v6 = sub(0x0p+0, v4);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v20 = sub(sub(v9, mul(v14, 0x1.62e42fefa38p-1)), mul(v14, 0x1.ef35793c7673p-45));
        const float64 v21 = mul(v20, v20);
        const float64 v29 = add(mul(v20, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v33 = add(mul(v20, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v37 = add(mul(v20, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = add(mul(v20, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v43 = add(add(mul(v20, 0x1.5555555555557p-3), 0x1p-1), mul(v21, v29));
        const float64 v49 = mul(v21, v21);
        const float64 v53 = mul(mul(v49, v49), add(v41, mul(v21, 0x1.1f7340dbc337ep-29)));
        const float64 v54 = add(add(v43, mul(v49, add(v33, mul(v21, v37)))), v53);
        const uint64 v63 = ((bits(v13) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v67 = mul(add(add(v20, mul(v21, v54)), 0x1p+0), from_bits((v63 << 52)));
        const float64 v69 = mul(v67, 0x1p-512);
        const float64 v71 = div(0x1p+0, add(v69, 0x1p+0));
        const float64 v73 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v76 = select(less(0x1.7a75571e8d7c8p+9, v73), 0x1.7a75571e8d7c8p+9, v73);
        const float64 v78 = mul(v69, v71);
        return add(select(less(v76, 0x0p+0), v78, v71), mul(mul(v76, 0x1p+0), mul(v78, v71)));
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
        const float32 v37 = mul(v36, v36);
        const float32 v50 = mul(v37, add(mul(v36, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v51 = add(add(mul(v36, 0x1.555556p-3f), 0x1p-1f), v50);
        const float32 v53 = mul(mul(v37, v37), add(mul(v36, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v56 = add(v36, mul(v37, add(v51, v53)));
        const float32 v61 = add(v56, 0x1p+0f);
        const uint32 v65 = ((bits(v28) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v68 = from_bits((v65 << 23));
        const float32 v71 = div(v7, add(v7, 0x1p+2f));
        const float32 v74 = sub(mul(v71, 0x1p+1f), 0x1p+0f);
        const float32 v78 = add(mul(v74, -0x1.19a098p-3f), -0x1.c9e156p-5f);
        const float32 v90 = add(mul(v74, 0x1.627dcap-10f), -0x1.04ce24p-9f);
        const float32 v94 = add(mul(v74, -0x1.03ad6cp-13f), 0x1.837b9ep-15f);
        const float32 v95 = mul(v74, v74);
        const float32 v96 = mul(v95, add(mul(v74, -0x1.bba62ap-4f), 0x1.52f80ap-3f));
        const float32 v99 = add(add(mul(v74, -0x1.074f42p-7f), 0x1.67d08ap-5f), mul(v95, v90));
        const float32 v100 = mul(v95, v95);
        const float32 v105 = add(add(add(v78, v96), mul(v100, v99)), mul(mul(v100, v100), v94));
        const float32 v106 = mul(v71, v105);
        const float32 v107 = add(v106, 0x1p-1f);
        const float32 v110 = add(v7, 0x1p+0f);
        const float32 v114 = div(mul(v61, v107), v110);
        const float32 v117 = add(mul(add(sub(0x1p+0f, v61), v56), v107), mul(v61, add(sub(0x1p-1f, v107), v106)));
        const float32 v119 = sub(v117, mul(v114, add(sub(0x1p+0f, v110), v7)));
        const float32 v120 = div(v119, v110);
        const bool v122 = less(x, 0x0p+0f);
        const float32 v124 = mul(v68, 0x1p-64f);
        const float32 v126 = sub(0x0p+0f, mul(v114, v124));
        const float32 v127 = add(v126, 0x1p+0f);
        const float32 v132 = sub(add(sub(0x1p+0f, v127), v126), mul(v120, v124));
        const float32 v135 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v138 = add(mul(v135, select(v122, v114, v127)), mul(v135, select(v122, v120, v132)));
        return select(v122, mul(mul(v138, v68), 0x1p-64f), select(less(0x1.fffffep+127f, x), x, v138));
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
        const float64 v37 = mul(v36, v36);
        const float64 v45 = add(mul(v36, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v49 = add(mul(v36, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v53 = add(mul(v36, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v57 = add(mul(v36, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v59 = add(add(mul(v36, 0x1.5555555555557p-3), 0x1p-1), mul(v37, v45));
        const float64 v65 = mul(v37, v37);
        const float64 v69 = mul(mul(v65, v65), add(v57, mul(v37, 0x1.1f7340dbc337ep-29)));
        const float64 v70 = add(add(v59, mul(v65, add(v49, mul(v37, v53)))), v69);
        const float64 v72 = add(v36, mul(v37, v70));
        const float64 v77 = add(v72, 0x1p+0);
        const uint64 v81 = ((bits(v28) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v84 = from_bits((v81 << 52));
        const float64 v87 = div(v7, add(v7, 0x1.4p+2));
        const float64 v90 = sub(mul(v87, 0x1p+1), 0x1p+0);
        const float64 v94 = add(mul(v90, -0x1.b2bbe58497309p-4), -0x1.3b432786a6315p-4);
        const float64 v98 = add(mul(v90, -0x1.2f7f6bd5697acp-3), 0x1.5877a5db73e94p-3);
        const float64 v102 = add(mul(v90, -0x1.7b6c33a296633p-5), 0x1.86b7d7a6f7ba3p-4);
        const float64 v106 = add(mul(v90, -0x1.8039d3ef94a93p-9), 0x1.05bdbc427e27p-6);
        const float64 v110 = add(mul(v90, 0x1.c982fc41bb53fp-12), -0x1.b92bddc84b79cp-12);
        const float64 v114 = add(mul(v90, -0x1.2a5bb00e426cdp-15), -0x1.2c8444d701fb7p-14);
        const float64 v118 = add(mul(v90, 0x1.3b0a51244989ap-19), 0x1.08a66e0707bf3p-16);
        const float64 v122 = add(mul(v90, -0x1.1c57dcd4a93cdp-23), -0x1.4dac6f927e896p-19);
        const float64 v126 = add(mul(v90, 0x1.a720053c551dcp-27), 0x1.9c3e808183383p-22);
        const float64 v130 = add(mul(v90, -0x1.27d9437514cdfp-28), -0x1.fc206fc8dad9dp-25);
        const float64 v134 = add(mul(v90, 0x1.26aa5acfe5b59p-30), 0x1.f41dfd9a62bbap-28);
        const float64 v135 = mul(v90, v90);
        const float64 v149 = mul(v135, v135);
        const float64 v151 = add(add(v94, mul(v135, v98)), mul(v149, add(v102, mul(v135, v106))));
        const float64 v153 = add(add(v110, mul(v135, v114)), mul(v149, add(v118, mul(v135, v122))));
        const float64 v154 = mul(v149, add(v134, mul(v135, -0x1.314a751527b1cp-32)));
        const float64 v156 = mul(v149, v149);
        const float64 v160 = mul(mul(v156, v156), add(add(v126, mul(v135, v130)), v154));
        const float64 v162 = mul(v87, add(add(v151, mul(v156, v153)), v160));
        const float64 v163 = add(v162, 0x1p-1);
        const float64 v166 = add(v7, 0x1p+0);
        const float64 v170 = div(mul(v77, v163), v166);
        const float64 v173 = add(mul(add(sub(0x1p+0, v77), v72), v163), mul(v77, add(sub(0x1p-1, v163), v162)));
        const float64 v175 = sub(v173, mul(v170, add(sub(0x1p+0, v166), v7)));
        const float64 v176 = div(v175, v166);
        const bool v178 = less(x, 0x0p+0);
        const float64 v180 = mul(v84, 0x1p-512);
        const float64 v182 = sub(0x0p+0, mul(v170, v180));
        const float64 v183 = add(v182, 0x1p+0);
        const float64 v188 = sub(add(sub(0x1p+0, v183), v182), mul(v176, v180));
        const float64 v191 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v194 = add(mul(v191, select(v178, v170, v183)), mul(v191, select(v178, v176, v188)));
        const float64 v199 = select(less(0x1.fffffffffffffp+1023, x), x, v194);
        return select(v178, mul(mul(v194, v84), 0x1p-512), v199);
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
        const float32 v37 = mul(v36, v36);
        const float32 v50 = mul(v37, add(mul(v36, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v51 = add(add(mul(v36, 0x1.555556p-3f), 0x1p-1f), v50);
        const float32 v53 = mul(mul(v37, v37), add(mul(v36, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v56 = add(v36, mul(v37, add(v51, v53)));
        const float32 v61 = add(v56, 0x1p+0f);
        const uint32 v65 = ((bits(v28) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v71 = div(v7, add(v7, 0x1p+2f));
        const float32 v74 = sub(mul(v71, 0x1p+1f), 0x1p+0f);
        const float32 v78 = add(mul(v74, -0x1.19a098p-3f), -0x1.c9e156p-5f);
        const float32 v90 = add(mul(v74, 0x1.627dcap-10f), -0x1.04ce24p-9f);
        const float32 v94 = add(mul(v74, -0x1.03ad6cp-13f), 0x1.837b9ep-15f);
        const float32 v95 = mul(v74, v74);
        const float32 v96 = mul(v95, add(mul(v74, -0x1.bba62ap-4f), 0x1.52f80ap-3f));
        const float32 v99 = add(add(mul(v74, -0x1.074f42p-7f), 0x1.67d08ap-5f), mul(v95, v90));
        const float32 v100 = mul(v95, v95);
        const float32 v105 = add(add(add(v78, v96), mul(v100, v99)), mul(mul(v100, v100), v94));
        const float32 v106 = mul(v71, v105);
        const float32 v107 = add(v106, 0x1p-1f);
        const float32 v110 = add(v7, 0x1p+0f);
        const float32 v114 = div(mul(v61, v107), v110);
        const float32 v117 = add(mul(add(sub(0x1p+0f, v61), v56), v107), mul(v61, add(sub(0x1p-1f, v107), v106)));
        const float32 v119 = sub(v117, mul(v114, add(sub(0x1p+0f, v110), v7)));
        const float32 v122 = mul(from_bits((v65 << 23)), 0x1p-64f);
        const float32 v124 = mul(add(v114, div(v119, v110)), v122);
        const float32 v130 = select(less(x, -0x1.ep+3f), -0x1.ep+3f, x);
        const float32 v132 = select(less(0x1.ep+3f, v130), 0x1.ep+3f, v130);
        const float32 v136 = select(less(v132, 0x0p+0f), v124, sub(0x1p+0f, v124));
        return add(v136, mul(v132, mul(mul(v61, 0x1.988454p-2f), v122)));
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
        const float64 v37 = mul(v36, v36);
        const float64 v45 = add(mul(v36, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v49 = add(mul(v36, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v53 = add(mul(v36, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v57 = add(mul(v36, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v59 = add(add(mul(v36, 0x1.5555555555557p-3), 0x1p-1), mul(v37, v45));
        const float64 v65 = mul(v37, v37);
        const float64 v69 = mul(mul(v65, v65), add(v57, mul(v37, 0x1.1f7340dbc337ep-29)));
        const float64 v70 = add(add(v59, mul(v65, add(v49, mul(v37, v53)))), v69);
        const float64 v72 = add(v36, mul(v37, v70));
        const float64 v77 = add(v72, 0x1p+0);
        const uint64 v81 = ((bits(v28) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v87 = div(v7, add(v7, 0x1.4p+2));
        const float64 v90 = sub(mul(v87, 0x1p+1), 0x1p+0);
        const float64 v94 = add(mul(v90, -0x1.b2bbe58497309p-4), -0x1.3b432786a6315p-4);
        const float64 v98 = add(mul(v90, -0x1.2f7f6bd5697acp-3), 0x1.5877a5db73e94p-3);
        const float64 v102 = add(mul(v90, -0x1.7b6c33a296633p-5), 0x1.86b7d7a6f7ba3p-4);
        const float64 v106 = add(mul(v90, -0x1.8039d3ef94a93p-9), 0x1.05bdbc427e27p-6);
        const float64 v110 = add(mul(v90, 0x1.c982fc41bb53fp-12), -0x1.b92bddc84b79cp-12);
        const float64 v114 = add(mul(v90, -0x1.2a5bb00e426cdp-15), -0x1.2c8444d701fb7p-14);
        const float64 v118 = add(mul(v90, 0x1.3b0a51244989ap-19), 0x1.08a66e0707bf3p-16);
        const float64 v122 = add(mul(v90, -0x1.1c57dcd4a93cdp-23), -0x1.4dac6f927e896p-19);
        const float64 v126 = add(mul(v90, 0x1.a720053c551dcp-27), 0x1.9c3e808183383p-22);
        const float64 v130 = add(mul(v90, -0x1.27d9437514cdfp-28), -0x1.fc206fc8dad9dp-25);
        const float64 v134 = add(mul(v90, 0x1.26aa5acfe5b59p-30), 0x1.f41dfd9a62bbap-28);
        const float64 v135 = mul(v90, v90);
        const float64 v149 = mul(v135, v135);
        const float64 v151 = add(add(v94, mul(v135, v98)), mul(v149, add(v102, mul(v135, v106))));
        const float64 v153 = add(add(v110, mul(v135, v114)), mul(v149, add(v118, mul(v135, v122))));
        const float64 v154 = mul(v149, add(v134, mul(v135, -0x1.314a751527b1cp-32)));
        const float64 v156 = mul(v149, v149);
        const float64 v160 = mul(mul(v156, v156), add(add(v126, mul(v135, v130)), v154));
        const float64 v162 = mul(v87, add(add(v151, mul(v156, v153)), v160));
        const float64 v163 = add(v162, 0x1p-1);
        const float64 v166 = add(v7, 0x1p+0);
        const float64 v170 = div(mul(v77, v163), v166);
        const float64 v173 = add(mul(add(sub(0x1p+0, v77), v72), v163), mul(v77, add(sub(0x1p-1, v163), v162)));
        const float64 v175 = sub(v173, mul(v170, add(sub(0x1p+0, v166), v7)));
        const float64 v178 = mul(from_bits((v81 << 52)), 0x1p-512);
        const float64 v180 = mul(add(v170, div(v175, v166)), v178);
        const float64 v186 = select(less(x, -0x1.4p+5), -0x1.4p+5, x);
        const float64 v188 = select(less(0x1.4p+5, v186), 0x1.4p+5, v186);
        const float64 v192 = select(less(v188, 0x0p+0), v180, sub(0x1p+0, v180));
        const float64 v193 = mul(v188, mul(mul(v77, 0x1.9884533d43651p-2), v178));
        return add(v192, v193);
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
        const float32 v85 = mul(v84, v84);
        const float32 v98 = mul(v85, add(mul(v84, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v99 = add(add(mul(v84, 0x1.555556p-3f), 0x1p-1f), v98);
        const float32 v101 = mul(mul(v85, v85), add(mul(v84, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v104 = add(v84, mul(v85, add(v99, v101)));
        const float32 v109 = add(v104, 0x1p+0f);
        const float32 v111 = add(sub(0x1p+0f, v109), v104);
        const uint32 v113 = ((bits(v76) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v116 = from_bits((v113 << 23));
        const float32 v118 = mul(v116, 0x1p-64f);
        const float32 v119 = mul(v109, v118);
        const float32 v120 = add(v119, 0x1p+0f);
        const float32 v124 = add(add(sub(0x1p+0f, v120), v119), mul(v111, v118));
        const float32 v125 = select(v67, v109, 0x1p+0f);
        const float32 v126 = div(v125, v120);
        const float32 v129 = select(v67, sub(0x1p+0f, mul(v126, v118)), v126);
        const float32 v132 = from_bits((bits(v126) & uint32(0xfffff000u)));
        const float32 v135 = from_bits((bits(v120) & uint32(0xfffff000u)));
        const float32 v141 = sub(sub(v125, mul(v132, v135)), mul(v132, add(sub(v120, v135), v124)));
        const float32 v144 = mul(add(v141, select(v67, v111, 0x0p+0f)), v129);
        const float32 v146 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v149 = add(mul(v146, v132), mul(v146, v144));
        return select(v67, mul(mul(v149, v116), 0x1p-64f), select(less(0x1.fffffep+127f, x), x, v149));
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
        const float64 v85 = mul(v84, v84);
        const float64 v93 = add(mul(v84, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v97 = add(mul(v84, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v101 = add(mul(v84, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v105 = add(mul(v84, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v107 = add(add(mul(v84, 0x1.5555555555557p-3), 0x1p-1), mul(v85, v93));
        const float64 v113 = mul(v85, v85);
        const float64 v117 = mul(mul(v113, v113), add(v105, mul(v85, 0x1.1f7340dbc337ep-29)));
        const float64 v118 = add(add(v107, mul(v113, add(v97, mul(v85, v101)))), v117);
        const float64 v120 = add(v84, mul(v85, v118));
        const float64 v125 = add(v120, 0x1p+0);
        const float64 v127 = add(sub(0x1p+0, v125), v120);
        const uint64 v129 = ((bits(v76) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v132 = from_bits((v129 << 52));
        const float64 v134 = mul(v132, 0x1p-512);
        const float64 v135 = mul(v125, v134);
        const float64 v136 = add(v135, 0x1p+0);
        const float64 v140 = add(add(sub(0x1p+0, v136), v135), mul(v127, v134));
        const float64 v141 = select(v67, v125, 0x1p+0);
        const float64 v142 = div(v141, v136);
        const float64 v145 = select(v67, sub(0x1p+0, mul(v142, v134)), v142);
        const float64 v148 = from_bits((bits(v142) & uint64(0xfffffffff8000000ull)));
        const float64 v151 = from_bits((bits(v136) & uint64(0xfffffffff8000000ull)));
        const float64 v157 = sub(sub(v141, mul(v148, v151)), mul(v148, add(sub(v136, v151), v140)));
        const float64 v160 = mul(add(v157, select(v67, v127, 0x0p+0)), v145);
        const float64 v162 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v165 = add(mul(v162, v148), mul(v162, v160));
        const float64 v170 = select(less(0x1.fffffffffffffp+1023, x), x, v165);
        return select(v67, mul(mul(v165, v132), 0x1p-512), v170);
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
        const float32 v89 = mul(v88, v88);
        const float32 v102 = mul(v89, add(mul(v88, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v103 = add(add(mul(v88, 0x1.555556p-3f), 0x1p-1f), v102);
        const float32 v105 = mul(mul(v89, v89), add(mul(v88, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v113 = add(add(v88, mul(v89, add(v103, v105))), 0x1p+0f);
        const uint32 v115 = ((bits(v80) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v121 = mul(mul(v113, from_bits((v115 << 23))), 0x1p-64f);
        const float32 v123 = div(0x1p+0f, add(v121, 0x1p+0f));
        const float32 v125 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v128 = select(less(0x1.cf05b6p+6f, v125), 0x1.cf05b6p+6f, v125);
        const float32 v130 = mul(v121, v123);
        return add(select(less(v128, 0x0p+0f), v130, v123), mul(mul(v128, v56), mul(v130, v123)));
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
        const float64 v89 = mul(v88, v88);
        const float64 v97 = add(mul(v88, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v101 = add(mul(v88, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v105 = add(mul(v88, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v109 = add(mul(v88, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v111 = add(add(mul(v88, 0x1.5555555555557p-3), 0x1p-1), mul(v89, v97));
        const float64 v117 = mul(v89, v89);
        const float64 v119 = add(v111, mul(v117, add(v101, mul(v89, v105))));
        const float64 v121 = mul(mul(v117, v117), add(v109, mul(v89, 0x1.1f7340dbc337ep-29)));
        const float64 v129 = add(add(v88, mul(v89, add(v119, v121))), 0x1p+0);
        const uint64 v131 = ((bits(v80) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v137 = mul(mul(v129, from_bits((v131 << 52))), 0x1p-512);
        const float64 v139 = div(0x1p+0, add(v137, 0x1p+0));
        const float64 v141 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v144 = select(less(0x1.7a75571e8d7c8p+9, v141), 0x1.7a75571e8d7c8p+9, v141);
        const float64 v146 = mul(v137, v139);
        return add(select(less(v144, 0x0p+0), v146, v139), mul(mul(v144, v56), mul(v146, v139)));
    }
};
