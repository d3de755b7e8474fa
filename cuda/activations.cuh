// The activations and their derivatives, as functions of one number: printed by tools/header.py
// from the recipes in multisubnet/_activation_recipes.py. Change those, and `make generate`.
#pragma once
#include "arithmetic.cuh"

struct LinearDerivative {
    DEVICE float32 of(float32, float32) {
        return 0x1p+0f;
    }
    DEVICE float64 of(float64, float64) {
        return 0x1p+0;
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
        const float32 v12 = sub(v4, mul(v9, 0x1.62e4p-1f));
        const float32 v14 = mul(v9, 0x1.7f7d1cp-20f);
        const float32 v15 = sub(v12, v14);
        const float32 v23 = mul(add(mul(0x1.a1256cp-13f, v15), 0x1.6d43bp-10f), v15);
        const float32 v28 = add(mul(add(v23, 0x1.1110ep-7f), v15), 0x1.5554e8p-5f);
        const float32 v34 = add(mul(add(mul(v28, v15), 0x1.555556p-3f), v15), 0x1p-1f);
        const float32 v36 = add(mul(mul(v15, v15), v34), sub(sub(v12, v15), v14));
        const float32 v42 = from_bits(((bits(v8) - uint32(0x4b3fff81u)) << 23));
        const float32 v44 = sub(v42, 0x1p+0f);
        const float32 v45 = mul(v42, v15);
        const float32 v46 = add(v44, v45);
        const float32 v50 = add(add(sub(v44, v46), v45), mul(v42, v36));
        const float32 v51 = add(v46, v50);
        const float32 v58 = add(mul(parameter, v51), mul(parameter, add(sub(v46, v51), v50)));
        return select(less(x, 0x0p+0f), v58, x);
    }
    DEVICE float64 of(float64 x, float64 parameter) {
        const float64 v4 = select(less(x, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, x);
        const float64 v8 = add(mul(v4, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v9 = sub(v8, 0x1.8p+52);
        const float64 v12 = sub(v4, mul(v9, 0x1.62e42fefa38p-1));
        const float64 v14 = mul(v9, 0x1.ef35793c7673p-45);
        const float64 v15 = sub(v12, v14);
        const float64 v22 = add(mul(0x1.1f7340dbc337ep-29, v15), 0x1.af4e554377204p-26);
        const float64 v26 = mul(add(mul(v22, v15), 0x1.27e4db46cddd1p-22), v15);
        const float64 v31 = add(mul(add(v26, 0x1.71de01fdbf9cap-19), v15), 0x1.a01a01a6e1e2ap-16);
        const float64 v35 = mul(add(mul(v31, v15), 0x1.a01a01abf85abp-13), v15);
        const float64 v40 = add(mul(add(v35, 0x1.6c16c16c162c3p-10), v15), 0x1.11111111100bep-7);
        const float64 v44 = mul(add(mul(v40, v15), 0x1.5555555555556p-5), v15);
        const float64 v49 = add(mul(add(v44, 0x1.5555555555557p-3), v15), 0x1p-1);
        const float64 v51 = add(mul(mul(v15, v15), v49), sub(sub(v12, v15), v14));
        const uint64 v56 = ((bits(v8) - uint64(0x4337fffffffffc01ull)) << 52);
        const float64 v57 = from_bits(v56);
        const float64 v59 = sub(v57, 0x1p+0);
        const float64 v60 = mul(v57, v15);
        const float64 v61 = add(v59, v60);
        const float64 v65 = add(add(sub(v59, v61), v60), mul(v57, v51));
        const float64 v66 = add(v61, v65);
        const float64 v73 = add(mul(parameter, v66), mul(parameter, add(sub(v61, v66), v65)));
        return select(less(x, 0x0p+0), v73, x);
    }
};

struct EluDerivative {
    DEVICE float32 of(float32 x, float32 parameter) {
        const float32 v4 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v8 = add(mul(v4, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v9 = sub(v8, 0x1.8p+23f);
        const float32 v12 = sub(v4, mul(v9, 0x1.62e4p-1f));
        const float32 v14 = mul(v9, 0x1.7f7d1cp-20f);
        const float32 v15 = sub(v12, v14);
        const float32 v23 = mul(add(mul(0x1.a1256cp-13f, v15), 0x1.6d43bp-10f), v15);
        const float32 v28 = add(mul(add(v23, 0x1.1110ep-7f), v15), 0x1.5554e8p-5f);
        const float32 v34 = add(mul(add(mul(v28, v15), 0x1.555556p-3f), v15), 0x1p-1f);
        const float32 v36 = add(mul(mul(v15, v15), v34), sub(sub(v12, v15), v14));
        const float32 v39 = add(v15, 0x1p+0f);
        const float32 v42 = add(add(sub(0x1p+0f, v39), v15), v36);
        const float32 v43 = add(v39, v42);
        const uint32 v47 = (bits(v8) - uint32(0x4b3fff02u));
        const float32 v50 = add(mul(parameter, v43), mul(parameter, add(sub(v39, v43), v42)));
        const uint32 v52 = (v47 >> 1);
        const float32 v60 = mul(mul(v50, from_bits((v52 << 23))), from_bits(((v47 - v52) << 23)));
        return select(less_equal(x, 0x0p+0f), v60, select(less(0x0p+0f, x), 0x1p+0f, x));
    }
    DEVICE float64 of(float64 x, float64 parameter) {
        const float64 v4 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v8 = add(mul(v4, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v9 = sub(v8, 0x1.8p+52);
        const float64 v12 = sub(v4, mul(v9, 0x1.62e42fefa38p-1));
        const float64 v14 = mul(v9, 0x1.ef35793c7673p-45);
        const float64 v15 = sub(v12, v14);
        const float64 v22 = add(mul(0x1.1f7340dbc337ep-29, v15), 0x1.af4e554377204p-26);
        const float64 v26 = mul(add(mul(v22, v15), 0x1.27e4db46cddd1p-22), v15);
        const float64 v31 = add(mul(add(v26, 0x1.71de01fdbf9cap-19), v15), 0x1.a01a01a6e1e2ap-16);
        const float64 v35 = mul(add(mul(v31, v15), 0x1.a01a01abf85abp-13), v15);
        const float64 v40 = add(mul(add(v35, 0x1.6c16c16c162c3p-10), v15), 0x1.11111111100bep-7);
        const float64 v44 = mul(add(mul(v40, v15), 0x1.5555555555556p-5), v15);
        const float64 v49 = add(mul(add(v44, 0x1.5555555555557p-3), v15), 0x1p-1);
        const float64 v51 = add(mul(mul(v15, v15), v49), sub(sub(v12, v15), v14));
        const float64 v54 = add(v15, 0x1p+0);
        const float64 v57 = add(add(sub(0x1p+0, v54), v15), v51);
        const float64 v58 = add(v54, v57);
        const uint64 v62 = (bits(v8) - uint64(0x4337fffffffff802ull));
        const float64 v65 = add(mul(parameter, v58), mul(parameter, add(sub(v54, v58), v57)));
        const uint64 v67 = (v62 >> 1);
        const float64 v75 = mul(mul(v65, from_bits((v67 << 52))), from_bits(((v62 - v67) << 52)));
        return select(less_equal(x, 0x0p+0), v75, select(less(0x0p+0, x), 0x1p+0, x));
    }
};

struct Selu {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+4f), -0x1.cf05b6p+4f, x);
        const float32 v7 = add(mul(v3, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v8 = sub(v7, 0x1.8p+23f);
        const float32 v11 = sub(v3, mul(v8, 0x1.62e4p-1f));
        const float32 v13 = mul(v8, 0x1.7f7d1cp-20f);
        const float32 v14 = sub(v11, v13);
        const float32 v22 = mul(add(mul(0x1.a1256cp-13f, v14), 0x1.6d43bp-10f), v14);
        const float32 v27 = add(mul(add(v22, 0x1.1110ep-7f), v14), 0x1.5554e8p-5f);
        const float32 v33 = add(mul(add(mul(v27, v14), 0x1.555556p-3f), v14), 0x1p-1f);
        const float32 v35 = add(mul(mul(v14, v14), v33), sub(sub(v11, v14), v13));
        const float32 v41 = from_bits(((bits(v7) - uint32(0x4b3fff81u)) << 23));
        const float32 v43 = sub(v41, 0x1p+0f);
        const float32 v44 = mul(v41, v14);
        const float32 v45 = add(v43, v44);
        const float32 v49 = add(add(sub(v43, v45), v44), mul(v41, v35));
        const float32 v50 = add(v45, v49);
        const float32 v58 = add(mul(add(sub(v45, v50), v49), 0x1.c212ccp+0f), mul(v50, 0x1.903c0cp-26f));
        return select(less(x, 0x0p+0f), add(mul(v50, 0x1.c212ccp+0f), v58), mul(x, 0x1.0cfabep+0f));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, x);
        const float64 v7 = add(mul(v3, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v8 = sub(v7, 0x1.8p+52);
        const float64 v11 = sub(v3, mul(v8, 0x1.62e42fefa38p-1));
        const float64 v13 = mul(v8, 0x1.ef35793c7673p-45);
        const float64 v14 = sub(v11, v13);
        const float64 v21 = add(mul(0x1.1f7340dbc337ep-29, v14), 0x1.af4e554377204p-26);
        const float64 v25 = mul(add(mul(v21, v14), 0x1.27e4db46cddd1p-22), v14);
        const float64 v30 = add(mul(add(v25, 0x1.71de01fdbf9cap-19), v14), 0x1.a01a01a6e1e2ap-16);
        const float64 v34 = mul(add(mul(v30, v14), 0x1.a01a01abf85abp-13), v14);
        const float64 v39 = add(mul(add(v34, 0x1.6c16c16c162c3p-10), v14), 0x1.11111111100bep-7);
        const float64 v43 = mul(add(mul(v39, v14), 0x1.5555555555556p-5), v14);
        const float64 v48 = add(mul(add(v43, 0x1.5555555555557p-3), v14), 0x1p-1);
        const float64 v50 = add(mul(mul(v14, v14), v48), sub(sub(v11, v14), v13));
        const uint64 v55 = ((bits(v7) - uint64(0x4337fffffffffc01ull)) << 52);
        const float64 v56 = from_bits(v55);
        const float64 v58 = sub(v56, 0x1p+0);
        const float64 v59 = mul(v56, v14);
        const float64 v60 = add(v58, v59);
        const float64 v64 = add(add(sub(v58, v60), v59), mul(v56, v50));
        const float64 v65 = add(v60, v64);
        const float64 v70 = mul(add(sub(v60, v65), v64), 0x1.c212cc640f031p+0);
        const float64 v74 = add(mul(v65, 0x1.c212cc640f031p+0), add(v70, mul(v65, 0x1.05161b045a1fep-56)));
        return select(less(x, 0x0p+0), v74, mul(x, 0x1.0cfabd6a91132p+0));
    }
};

struct SeluDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v7 = add(mul(v3, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v8 = sub(v7, 0x1.8p+23f);
        const float32 v11 = sub(v3, mul(v8, 0x1.62e4p-1f));
        const float32 v13 = mul(v8, 0x1.7f7d1cp-20f);
        const float32 v14 = sub(v11, v13);
        const float32 v22 = mul(add(mul(0x1.a1256cp-13f, v14), 0x1.6d43bp-10f), v14);
        const float32 v27 = add(mul(add(v22, 0x1.1110ep-7f), v14), 0x1.5554e8p-5f);
        const float32 v33 = add(mul(add(mul(v27, v14), 0x1.555556p-3f), v14), 0x1p-1f);
        const float32 v35 = add(mul(mul(v14, v14), v33), sub(sub(v11, v14), v13));
        const float32 v38 = add(v14, 0x1p+0f);
        const float32 v42 = add(v38, add(add(sub(0x1p+0f, v38), v14), v35));
        const uint32 v44 = (bits(v7) - uint32(0x4b3fff02u));
        const uint32 v48 = (v44 >> 1);
        const float32 v52 = mul(mul(v42, 0x1.c212ccp+0f), from_bits((v48 << 23)));
        return select(less_equal(x, 0x0p+0f), mul(v52, from_bits(((v44 - v48) << 23))), select(less(0x0p+0f, x), 0x1.0cfabep+0f, x));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v7 = add(mul(v3, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v8 = sub(v7, 0x1.8p+52);
        const float64 v11 = sub(v3, mul(v8, 0x1.62e42fefa38p-1));
        const float64 v13 = mul(v8, 0x1.ef35793c7673p-45);
        const float64 v14 = sub(v11, v13);
        const float64 v21 = add(mul(0x1.1f7340dbc337ep-29, v14), 0x1.af4e554377204p-26);
        const float64 v25 = mul(add(mul(v21, v14), 0x1.27e4db46cddd1p-22), v14);
        const float64 v30 = add(mul(add(v25, 0x1.71de01fdbf9cap-19), v14), 0x1.a01a01a6e1e2ap-16);
        const float64 v34 = mul(add(mul(v30, v14), 0x1.a01a01abf85abp-13), v14);
        const float64 v39 = add(mul(add(v34, 0x1.6c16c16c162c3p-10), v14), 0x1.11111111100bep-7);
        const float64 v43 = mul(add(mul(v39, v14), 0x1.5555555555556p-5), v14);
        const float64 v48 = add(mul(add(v43, 0x1.5555555555557p-3), v14), 0x1p-1);
        const float64 v50 = add(mul(mul(v14, v14), v48), sub(sub(v11, v14), v13));
        const float64 v53 = add(v14, 0x1p+0);
        const uint64 v59 = (bits(v7) - uint64(0x4337fffffffff802ull));
        const float64 v61 = mul(add(v53, add(add(sub(0x1p+0, v53), v14), v50)), 0x1.c212cc640f031p+0);
        const uint64 v63 = (v59 >> 1);
        const float64 v71 = mul(mul(v61, from_bits((v63 << 52))), from_bits(((v59 - v63) << 52)));
        const float64 v76 = select(less(0x0p+0, x), 0x1.0cfabd6a91132p+0, x);
        return select(less_equal(x, 0x0p+0), v71, v76);
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
        const float32 v4 = from_bits((bits(x) & uint32(0x7fffffffu)));
        const bool v6 = less(x, 0x0p+0f);
        const float32 v9 = select(less(0x1.cf05b6p+6f, v4), 0x1.cf05b6p+6f, v4);
        const float32 v10 = sub(0x0p+0f, v9);
        const float32 v14 = add(mul(v10, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v15 = sub(v14, 0x1.8p+23f);
        const float32 v18 = sub(v10, mul(v15, 0x1.62e4p-1f));
        const float32 v20 = mul(v15, 0x1.7f7d1cp-20f);
        const float32 v21 = sub(v18, v20);
        const float32 v29 = mul(add(mul(0x1.a1256cp-13f, v21), 0x1.6d43bp-10f), v21);
        const float32 v34 = add(mul(add(v29, 0x1.1110ep-7f), v21), 0x1.5554e8p-5f);
        const float32 v40 = add(mul(add(mul(v34, v21), 0x1.555556p-3f), v21), 0x1p-1f);
        const float32 v42 = add(mul(mul(v21, v21), v40), sub(sub(v18, v21), v20));
        const float32 v45 = add(v21, 0x1p+0f);
        const float32 v48 = add(add(sub(0x1p+0f, v45), v21), v42);
        const float32 v49 = add(v45, v48);
        const float32 v51 = add(sub(v45, v49), v48);
        const uint32 v53 = (bits(v14) - uint32(0x4b3fff02u));
        const uint32 v55 = (v53 >> 1);
        const float32 v63 = mul(mul(0x1p+0f, from_bits((v55 << 23))), from_bits(((v53 - v55) << 23)));
        const float32 v64 = mul(v49, v63);
        const float32 v65 = add(v64, 0x1p+0f);
        const float32 v69 = add(add(sub(0x1p+0f, v65), v64), mul(v51, v63));
        const float32 v71 = div(select(v6, v49, 0x1p+0f), v65);
        const float32 v73 = mul(v71, select(v6, v63, 0x1p+0f));
        const float32 v79 = mul(sub(select(v6, v51, 0x0p+0f), mul(v71, v69)), select(v6, sub(0x1p+0f, v73), v73));
        const uint32 v81 = select(v6, v53, uint32(0xfeu));
        const uint32 v83 = (v81 >> 1);
        return mul(mul(add(v71, v79), from_bits((v83 << 23))), from_bits(((v81 - v83) << 23)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const bool v6 = less(x, 0x0p+0);
        const float64 v9 = select(less(0x1.7a75571e8d7c8p+9, v4), 0x1.7a75571e8d7c8p+9, v4);
        const float64 v10 = sub(0x0p+0, v9);
        const float64 v14 = add(mul(v10, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v15 = sub(v14, 0x1.8p+52);
        const float64 v18 = sub(v10, mul(v15, 0x1.62e42fefa38p-1));
        const float64 v20 = mul(v15, 0x1.ef35793c7673p-45);
        const float64 v21 = sub(v18, v20);
        const float64 v28 = add(mul(0x1.1f7340dbc337ep-29, v21), 0x1.af4e554377204p-26);
        const float64 v32 = mul(add(mul(v28, v21), 0x1.27e4db46cddd1p-22), v21);
        const float64 v37 = add(mul(add(v32, 0x1.71de01fdbf9cap-19), v21), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = mul(add(mul(v37, v21), 0x1.a01a01abf85abp-13), v21);
        const float64 v46 = add(mul(add(v41, 0x1.6c16c16c162c3p-10), v21), 0x1.11111111100bep-7);
        const float64 v50 = mul(add(mul(v46, v21), 0x1.5555555555556p-5), v21);
        const float64 v55 = add(mul(add(v50, 0x1.5555555555557p-3), v21), 0x1p-1);
        const float64 v57 = add(mul(mul(v21, v21), v55), sub(sub(v18, v21), v20));
        const float64 v60 = add(v21, 0x1p+0);
        const float64 v63 = add(add(sub(0x1p+0, v60), v21), v57);
        const float64 v64 = add(v60, v63);
        const float64 v66 = add(sub(v60, v64), v63);
        const uint64 v68 = (bits(v14) - uint64(0x4337fffffffff802ull));
        const uint64 v70 = (v68 >> 1);
        const float64 v78 = mul(mul(0x1p+0, from_bits((v70 << 52))), from_bits(((v68 - v70) << 52)));
        const float64 v79 = mul(v64, v78);
        const float64 v80 = add(v79, 0x1p+0);
        const float64 v86 = div(select(v6, v64, 0x1p+0), v80);
        const float64 v88 = mul(v86, select(v6, v78, 0x1p+0));
        const float64 v92 = mul(v86, add(add(sub(0x1p+0, v80), v79), mul(v66, v78)));
        const float64 v94 = mul(sub(select(v6, v66, 0x0p+0), v92), select(v6, sub(0x1p+0, v88), v88));
        const uint64 v96 = select(v6, v68, uint64(0x7feull));
        const uint64 v98 = (v96 >> 1);
        return mul(mul(add(v86, v94), from_bits((v98 << 52))), from_bits(((v96 - v98) << 52)));
    }
};

struct SigmoidDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = sub(0x0p+0f, from_bits((bits(x) & uint32(0x7fffffffu))));
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v17 = sub(v9, mul(v14, 0x1.62e4p-1f));
        const float32 v19 = mul(v14, 0x1.7f7d1cp-20f);
        const float32 v20 = sub(v17, v19);
        const float32 v28 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v33 = add(mul(add(v28, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v39 = add(mul(add(mul(v33, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v41 = add(mul(mul(v20, v20), v39), sub(sub(v17, v20), v19));
        const float32 v44 = add(v20, 0x1p+0f);
        const float32 v48 = add(v44, add(add(sub(0x1p+0f, v44), v20), v41));
        const uint32 v50 = (bits(v13) - uint32(0x4b3fff02u));
        const uint32 v52 = (v50 >> 1);
        const float32 v60 = mul(mul(v48, from_bits((v52 << 23))), from_bits(((v50 - v52) << 23)));
        const float32 v62 = div(0x1p+0f, add(v60, 0x1p+0f));
        return mul(mul(v60, v62), v62);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v6 = sub(0x0p+0, v4);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v17 = sub(v9, mul(v14, 0x1.62e42fefa38p-1));
        const float64 v19 = mul(v14, 0x1.ef35793c7673p-45);
        const float64 v20 = sub(v17, v19);
        const float64 v27 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v31 = mul(add(mul(v27, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v36 = add(mul(add(v31, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v40 = mul(add(mul(v36, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v45 = add(mul(add(v40, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v49 = mul(add(mul(v45, v20), 0x1.5555555555556p-5), v20);
        const float64 v54 = add(mul(add(v49, 0x1.5555555555557p-3), v20), 0x1p-1);
        const float64 v56 = add(mul(mul(v20, v20), v54), sub(sub(v17, v20), v19));
        const float64 v59 = add(v20, 0x1p+0);
        const uint64 v65 = (bits(v13) - uint64(0x4337fffffffff802ull));
        const uint64 v67 = (v65 >> 1);
        const float64 v71 = mul(add(v59, add(add(sub(0x1p+0, v59), v20), v56)), from_bits((v67 << 52)));
        const float64 v75 = mul(v71, from_bits(((v65 - v67) << 52)));
        const float64 v77 = div(0x1p+0, add(v75, 0x1p+0));
        return mul(mul(v75, v77), v77);
    }
};

struct Tanh {
    DEVICE float32 of(float32 x, float32) {
        const uint32 v1 = bits(x);
        const float32 v6 = mul(from_bits((v1 & uint32(0x7fffffffu))), -0x1p+1f);
        const float32 v9 = select(less(v6, -0x1.cf05b6p+4f), -0x1.cf05b6p+4f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v17 = sub(v9, mul(v14, 0x1.62e4p-1f));
        const float32 v19 = mul(v14, 0x1.7f7d1cp-20f);
        const float32 v20 = sub(v17, v19);
        const float32 v28 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v33 = add(mul(add(v28, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v39 = add(mul(add(mul(v33, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v41 = add(mul(mul(v20, v20), v39), sub(sub(v17, v20), v19));
        const float32 v47 = from_bits(((bits(v13) - uint32(0x4b3fff81u)) << 23));
        const float32 v49 = sub(v47, 0x1p+0f);
        const float32 v50 = mul(v47, v20);
        const float32 v51 = add(v49, v50);
        const float32 v55 = add(add(sub(v49, v51), v50), mul(v47, v41));
        const float32 v56 = add(v51, v55);
        const float32 v58 = add(sub(v51, v56), v55);
        const float32 v60 = add(v56, 0x1p+1f);
        const float32 v63 = div(v56, v60);
        const float32 v65 = mul(v63, add(add(sub(0x1p+1f, v60), v56), v58));
        const float32 v69 = mul(sub(v58, v65), sub(0x1p-1f, mul(v63, 0x1p-1f)));
        const uint32 v75 = ((bits(add(v63, v69)) & uint32(0x7fffffffu)) | (v1 & uint32(0x80000000u)));
        return from_bits(v75);
    }
    DEVICE float64 of(float64 x, float64) {
        const uint64 v1 = bits(x);
        const float64 v4 = from_bits((v1 & uint64(0x7fffffffffffffffull)));
        const float64 v6 = mul(v4, -0x1p+1);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v17 = sub(v9, mul(v14, 0x1.62e42fefa38p-1));
        const float64 v19 = mul(v14, 0x1.ef35793c7673p-45);
        const float64 v20 = sub(v17, v19);
        const float64 v27 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v31 = mul(add(mul(v27, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v36 = add(mul(add(v31, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v40 = mul(add(mul(v36, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v45 = add(mul(add(v40, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v49 = mul(add(mul(v45, v20), 0x1.5555555555556p-5), v20);
        const float64 v54 = add(mul(add(v49, 0x1.5555555555557p-3), v20), 0x1p-1);
        const float64 v56 = add(mul(mul(v20, v20), v54), sub(sub(v17, v20), v19));
        const uint64 v61 = ((bits(v13) - uint64(0x4337fffffffffc01ull)) << 52);
        const float64 v62 = from_bits(v61);
        const float64 v64 = sub(v62, 0x1p+0);
        const float64 v65 = mul(v62, v20);
        const float64 v66 = add(v64, v65);
        const float64 v70 = add(add(sub(v64, v66), v65), mul(v62, v56));
        const float64 v71 = add(v66, v70);
        const float64 v73 = add(sub(v66, v71), v70);
        const float64 v75 = add(v71, 0x1p+1);
        const float64 v78 = div(v71, v75);
        const float64 v81 = sub(v73, mul(v78, add(add(sub(0x1p+1, v75), v71), v73)));
        const float64 v85 = add(v78, mul(v81, sub(0x1p-1, mul(v78, 0x1p-1))));
        const uint64 v90 = ((bits(v85) & uint64(0x7fffffffffffffffull)) | (v1 & uint64(0x8000000000000000ull)));
        return from_bits(v90);
    }
};

struct TanhDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = mul(from_bits((bits(x) & uint32(0x7fffffffu))), -0x1p+1f);
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v17 = sub(v9, mul(v14, 0x1.62e4p-1f));
        const float32 v19 = mul(v14, 0x1.7f7d1cp-20f);
        const float32 v20 = sub(v17, v19);
        const float32 v28 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v33 = add(mul(add(v28, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v39 = add(mul(add(mul(v33, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v41 = add(mul(mul(v20, v20), v39), sub(sub(v17, v20), v19));
        const float32 v44 = add(v20, 0x1p+0f);
        const float32 v48 = add(v44, add(add(sub(0x1p+0f, v44), v20), v41));
        const uint32 v50 = (bits(v13) - uint32(0x4b3fff02u));
        const uint32 v52 = (v50 >> 1);
        const float32 v60 = mul(mul(v48, from_bits((v52 << 23))), from_bits(((v50 - v52) << 23)));
        const float32 v61 = add(v60, 0x1p+0f);
        const float32 v65 = div(0x1p+1f, v61);
        const float32 v68 = mul(mul(v65, v65), add(sub(0x1p+0f, v61), v60));
        return mul(mul(v60, v65), sub(v65, v68));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v6 = mul(v4, -0x1p+1);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v17 = sub(v9, mul(v14, 0x1.62e42fefa38p-1));
        const float64 v19 = mul(v14, 0x1.ef35793c7673p-45);
        const float64 v20 = sub(v17, v19);
        const float64 v27 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v31 = mul(add(mul(v27, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v36 = add(mul(add(v31, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v40 = mul(add(mul(v36, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v45 = add(mul(add(v40, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v49 = mul(add(mul(v45, v20), 0x1.5555555555556p-5), v20);
        const float64 v54 = add(mul(add(v49, 0x1.5555555555557p-3), v20), 0x1p-1);
        const float64 v56 = add(mul(mul(v20, v20), v54), sub(sub(v17, v20), v19));
        const float64 v59 = add(v20, 0x1p+0);
        const uint64 v65 = (bits(v13) - uint64(0x4337fffffffff802ull));
        const uint64 v67 = (v65 >> 1);
        const float64 v71 = mul(add(v59, add(add(sub(0x1p+0, v59), v20), v56)), from_bits((v67 << 52)));
        const float64 v75 = mul(v71, from_bits(((v65 - v67) << 52)));
        const float64 v76 = add(v75, 0x1p+0);
        const float64 v80 = div(0x1p+1, v76);
        const float64 v84 = sub(v80, mul(mul(v80, v80), add(sub(0x1p+0, v76), v75)));
        return mul(mul(v75, v80), v84);
    }
};

struct Exponential {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v6 = select(less(0x1.cf05b6p+6f, v3), 0x1.cf05b6p+6f, v3);
        const float32 v10 = add(mul(v6, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v11 = sub(v10, 0x1.8p+23f);
        const float32 v14 = sub(v6, mul(v11, 0x1.62e4p-1f));
        const float32 v16 = mul(v11, 0x1.7f7d1cp-20f);
        const float32 v17 = sub(v14, v16);
        const float32 v25 = mul(add(mul(0x1.a1256cp-13f, v17), 0x1.6d43bp-10f), v17);
        const float32 v30 = add(mul(add(v25, 0x1.1110ep-7f), v17), 0x1.5554e8p-5f);
        const float32 v36 = add(mul(add(mul(v30, v17), 0x1.555556p-3f), v17), 0x1p-1f);
        const float32 v38 = add(mul(mul(v17, v17), v36), sub(sub(v14, v17), v16));
        const float32 v41 = add(v17, 0x1p+0f);
        const float32 v45 = add(v41, add(add(sub(0x1p+0f, v41), v17), v38));
        const uint32 v47 = (bits(v10) - uint32(0x4b3fff02u));
        const uint32 v49 = (v47 >> 1);
        return mul(mul(v45, from_bits((v49 << 23))), from_bits(((v47 - v49) << 23)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v6 = select(less(0x1.7a75571e8d7c8p+9, v3), 0x1.7a75571e8d7c8p+9, v3);
        const float64 v10 = add(mul(v6, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v11 = sub(v10, 0x1.8p+52);
        const float64 v14 = sub(v6, mul(v11, 0x1.62e42fefa38p-1));
        const float64 v16 = mul(v11, 0x1.ef35793c7673p-45);
        const float64 v17 = sub(v14, v16);
        const float64 v24 = add(mul(0x1.1f7340dbc337ep-29, v17), 0x1.af4e554377204p-26);
        const float64 v28 = mul(add(mul(v24, v17), 0x1.27e4db46cddd1p-22), v17);
        const float64 v33 = add(mul(add(v28, 0x1.71de01fdbf9cap-19), v17), 0x1.a01a01a6e1e2ap-16);
        const float64 v37 = mul(add(mul(v33, v17), 0x1.a01a01abf85abp-13), v17);
        const float64 v42 = add(mul(add(v37, 0x1.6c16c16c162c3p-10), v17), 0x1.11111111100bep-7);
        const float64 v46 = mul(add(mul(v42, v17), 0x1.5555555555556p-5), v17);
        const float64 v51 = add(mul(add(v46, 0x1.5555555555557p-3), v17), 0x1p-1);
        const float64 v53 = add(mul(mul(v17, v17), v51), sub(sub(v14, v17), v16));
        const float64 v56 = add(v17, 0x1p+0);
        const uint64 v62 = (bits(v10) - uint64(0x4337fffffffff802ull));
        const uint64 v64 = (v62 >> 1);
        const float64 v68 = mul(add(v56, add(add(sub(0x1p+0, v56), v17), v53)), from_bits((v64 << 52)));
        return mul(v68, from_bits(((v62 - v64) << 52)));
    }
};

struct ExponentialDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v3 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v6 = select(less(0x1.cf05b6p+6f, v3), 0x1.cf05b6p+6f, v3);
        const float32 v10 = add(mul(v6, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v11 = sub(v10, 0x1.8p+23f);
        const float32 v14 = sub(v6, mul(v11, 0x1.62e4p-1f));
        const float32 v16 = mul(v11, 0x1.7f7d1cp-20f);
        const float32 v17 = sub(v14, v16);
        const float32 v25 = mul(add(mul(0x1.a1256cp-13f, v17), 0x1.6d43bp-10f), v17);
        const float32 v30 = add(mul(add(v25, 0x1.1110ep-7f), v17), 0x1.5554e8p-5f);
        const float32 v36 = add(mul(add(mul(v30, v17), 0x1.555556p-3f), v17), 0x1p-1f);
        const float32 v38 = add(mul(mul(v17, v17), v36), sub(sub(v14, v17), v16));
        const float32 v41 = add(v17, 0x1p+0f);
        const float32 v45 = add(v41, add(add(sub(0x1p+0f, v41), v17), v38));
        const uint32 v47 = (bits(v10) - uint32(0x4b3fff02u));
        const uint32 v49 = (v47 >> 1);
        return mul(mul(v45, from_bits((v49 << 23))), from_bits(((v47 - v49) << 23)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v3 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v6 = select(less(0x1.7a75571e8d7c8p+9, v3), 0x1.7a75571e8d7c8p+9, v3);
        const float64 v10 = add(mul(v6, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v11 = sub(v10, 0x1.8p+52);
        const float64 v14 = sub(v6, mul(v11, 0x1.62e42fefa38p-1));
        const float64 v16 = mul(v11, 0x1.ef35793c7673p-45);
        const float64 v17 = sub(v14, v16);
        const float64 v24 = add(mul(0x1.1f7340dbc337ep-29, v17), 0x1.af4e554377204p-26);
        const float64 v28 = mul(add(mul(v24, v17), 0x1.27e4db46cddd1p-22), v17);
        const float64 v33 = add(mul(add(v28, 0x1.71de01fdbf9cap-19), v17), 0x1.a01a01a6e1e2ap-16);
        const float64 v37 = mul(add(mul(v33, v17), 0x1.a01a01abf85abp-13), v17);
        const float64 v42 = add(mul(add(v37, 0x1.6c16c16c162c3p-10), v17), 0x1.11111111100bep-7);
        const float64 v46 = mul(add(mul(v42, v17), 0x1.5555555555556p-5), v17);
        const float64 v51 = add(mul(add(v46, 0x1.5555555555557p-3), v17), 0x1p-1);
        const float64 v53 = add(mul(mul(v17, v17), v51), sub(sub(v14, v17), v16));
        const float64 v56 = add(v17, 0x1p+0);
        const uint64 v62 = (bits(v10) - uint64(0x4337fffffffff802ull));
        const uint64 v64 = (v62 >> 1);
        const float64 v68 = mul(add(v56, add(add(sub(0x1p+0, v56), v17), v53)), from_bits((v64 << 52)));
        return mul(v68, from_bits(((v62 - v64) << 52)));
    }
};

struct Softplus {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = sub(0x0p+0f, from_bits((bits(x) & uint32(0x7fffffffu))));
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v17 = sub(v9, mul(v14, 0x1.62e4p-1f));
        const float32 v19 = mul(v14, 0x1.7f7d1cp-20f);
        const float32 v20 = sub(v17, v19);
        const float32 v28 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v33 = add(mul(add(v28, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v39 = add(mul(add(mul(v33, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v41 = add(mul(mul(v20, v20), v39), sub(sub(v17, v20), v19));
        const float32 v44 = add(v20, 0x1p+0f);
        const float32 v47 = add(add(sub(0x1p+0f, v44), v20), v41);
        const float32 v48 = add(v44, v47);
        const uint32 v52 = (bits(v13) - uint32(0x4b3fff02u));
        const uint32 v54 = (v52 >> 1);
        const float32 v57 = from_bits((v54 << 23));
        const float32 v61 = from_bits(((v52 - v54) << 23));
        const float32 v62 = mul(mul(v48, v57), v61);
        const float32 v64 = mul(mul(add(sub(v44, v48), v47), v57), v61);
        const bool v65 = less(0x1p-1f, v62);
        const float32 v68 = select(v65, mul(sub(v62, 0x1p+0f), 0x1p-1f), v62);
        const float32 v73 = div(v68, add(v68, 0x1p+1f));
        const float32 v74 = mul(v73, v73);
        const float32 v76 = mul(mul(v68, 0x1p-1f), v68);
        const float32 v81 = mul(add(mul(0x1.e6587ap-3f, v74), 0x1.242cep-2f), v74);
        const float32 v86 = add(mul(add(v81, 0x1.999a6ap-2f), v74), 0x1.555556p-1f);
        const float32 v91 = select(v65, 0x1.62e4p-1f, 0x0p+0f);
        const float32 v92 = add(v91, v68);
        const float32 v96 = sub(select(v65, 0x1.7f7d1cp-20f, 0x0p+0f), sub(v76, mul(v73, add(v76, mul(v74, v86)))));
        const float32 v98 = add(add(sub(v91, v92), v68), add(v96, select(v65, mul(v64, 0x1p-1f), v64)));
        const float32 v99 = add(v92, v98);
        const float32 v103 = select(less(x, 0x0p+0f), 0x0p+0f, x);
        const float32 v104 = add(v103, v99);
        const float32 v109 = add(add(sub(v103, v104), v99), add(sub(v92, v99), v98));
        return select(less(0x1.fffffep+127f, x), x, add(v104, v109));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v6 = sub(0x0p+0, v4);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v17 = sub(v9, mul(v14, 0x1.62e42fefa38p-1));
        const float64 v19 = mul(v14, 0x1.ef35793c7673p-45);
        const float64 v20 = sub(v17, v19);
        const float64 v27 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v31 = mul(add(mul(v27, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v36 = add(mul(add(v31, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v40 = mul(add(mul(v36, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v45 = add(mul(add(v40, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v49 = mul(add(mul(v45, v20), 0x1.5555555555556p-5), v20);
        const float64 v54 = add(mul(add(v49, 0x1.5555555555557p-3), v20), 0x1p-1);
        const float64 v56 = add(mul(mul(v20, v20), v54), sub(sub(v17, v20), v19));
        const float64 v59 = add(v20, 0x1p+0);
        const float64 v62 = add(add(sub(0x1p+0, v59), v20), v56);
        const float64 v63 = add(v59, v62);
        const uint64 v67 = (bits(v13) - uint64(0x4337fffffffff802ull));
        const uint64 v69 = (v67 >> 1);
        const float64 v72 = from_bits((v69 << 52));
        const float64 v76 = from_bits(((v67 - v69) << 52));
        const float64 v77 = mul(mul(v63, v72), v76);
        const float64 v79 = mul(mul(add(sub(v59, v63), v62), v72), v76);
        const bool v80 = less(0x1p-1, v77);
        const float64 v83 = select(v80, mul(sub(v77, 0x1p+0), 0x1p-1), v77);
        const float64 v88 = div(v83, add(v83, 0x1p+1));
        const float64 v89 = mul(v88, v88);
        const float64 v91 = mul(mul(v83, 0x1p-1), v83);
        const float64 v95 = add(mul(0x1.169c38cc826bep-3, v89), 0x1.0e8c55b42945fp-3);
        const float64 v99 = mul(add(mul(v95, v89), 0x1.3b29d0452d426p-3), v89);
        const float64 v104 = add(mul(add(v99, 0x1.745cac43cc003p-3), v89), 0x1.c71c72df580fcp-3);
        const float64 v108 = mul(add(mul(v104, v89), 0x1.24924923de6edp-2), v89);
        const float64 v113 = add(mul(add(v108, 0x1.9999999999f17p-2), v89), 0x1.5555555555555p-1);
        const float64 v118 = select(v80, 0x1.62e42fefa38p-1, 0x0p+0);
        const float64 v119 = add(v118, v83);
        const float64 v123 = sub(select(v80, 0x1.ef35793c7673p-45, 0x0p+0), sub(v91, mul(v88, add(v91, mul(v89, v113)))));
        const float64 v125 = add(add(sub(v118, v119), v83), add(v123, select(v80, mul(v79, 0x1p-1), v79)));
        const float64 v126 = add(v119, v125);
        const float64 v130 = select(less(x, 0x0p+0), 0x0p+0, x);
        const float64 v131 = add(v130, v126);
        const float64 v136 = add(add(sub(v130, v131), v126), add(sub(v119, v126), v125));
        return select(less(0x1.fffffffffffffp+1023, x), x, add(v131, v136));
    }
};

struct SoftplusDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) & uint32(0x7fffffffu)));
        const bool v6 = less(x, 0x0p+0f);
        const float32 v9 = select(less(0x1.cf05b6p+6f, v4), 0x1.cf05b6p+6f, v4);
        const float32 v10 = sub(0x0p+0f, v9);
        const float32 v14 = add(mul(v10, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v15 = sub(v14, 0x1.8p+23f);
        const float32 v18 = sub(v10, mul(v15, 0x1.62e4p-1f));
        const float32 v20 = mul(v15, 0x1.7f7d1cp-20f);
        const float32 v21 = sub(v18, v20);
        const float32 v29 = mul(add(mul(0x1.a1256cp-13f, v21), 0x1.6d43bp-10f), v21);
        const float32 v34 = add(mul(add(v29, 0x1.1110ep-7f), v21), 0x1.5554e8p-5f);
        const float32 v40 = add(mul(add(mul(v34, v21), 0x1.555556p-3f), v21), 0x1p-1f);
        const float32 v42 = add(mul(mul(v21, v21), v40), sub(sub(v18, v21), v20));
        const float32 v45 = add(v21, 0x1p+0f);
        const float32 v48 = add(add(sub(0x1p+0f, v45), v21), v42);
        const float32 v49 = add(v45, v48);
        const float32 v51 = add(sub(v45, v49), v48);
        const uint32 v53 = (bits(v14) - uint32(0x4b3fff02u));
        const uint32 v55 = (v53 >> 1);
        const float32 v63 = mul(mul(0x1p+0f, from_bits((v55 << 23))), from_bits(((v53 - v55) << 23)));
        const float32 v64 = mul(v49, v63);
        const float32 v65 = add(v64, 0x1p+0f);
        const float32 v69 = add(add(sub(0x1p+0f, v65), v64), mul(v51, v63));
        const float32 v71 = div(select(v6, v49, 0x1p+0f), v65);
        const float32 v73 = mul(v71, select(v6, v63, 0x1p+0f));
        const float32 v79 = mul(sub(select(v6, v51, 0x0p+0f), mul(v71, v69)), select(v6, sub(0x1p+0f, v73), v73));
        const uint32 v81 = select(v6, v53, uint32(0xfeu));
        const uint32 v83 = (v81 >> 1);
        return mul(mul(add(v71, v79), from_bits((v83 << 23))), from_bits(((v81 - v83) << 23)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const bool v6 = less(x, 0x0p+0);
        const float64 v9 = select(less(0x1.7a75571e8d7c8p+9, v4), 0x1.7a75571e8d7c8p+9, v4);
        const float64 v10 = sub(0x0p+0, v9);
        const float64 v14 = add(mul(v10, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v15 = sub(v14, 0x1.8p+52);
        const float64 v18 = sub(v10, mul(v15, 0x1.62e42fefa38p-1));
        const float64 v20 = mul(v15, 0x1.ef35793c7673p-45);
        const float64 v21 = sub(v18, v20);
        const float64 v28 = add(mul(0x1.1f7340dbc337ep-29, v21), 0x1.af4e554377204p-26);
        const float64 v32 = mul(add(mul(v28, v21), 0x1.27e4db46cddd1p-22), v21);
        const float64 v37 = add(mul(add(v32, 0x1.71de01fdbf9cap-19), v21), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = mul(add(mul(v37, v21), 0x1.a01a01abf85abp-13), v21);
        const float64 v46 = add(mul(add(v41, 0x1.6c16c16c162c3p-10), v21), 0x1.11111111100bep-7);
        const float64 v50 = mul(add(mul(v46, v21), 0x1.5555555555556p-5), v21);
        const float64 v55 = add(mul(add(v50, 0x1.5555555555557p-3), v21), 0x1p-1);
        const float64 v57 = add(mul(mul(v21, v21), v55), sub(sub(v18, v21), v20));
        const float64 v60 = add(v21, 0x1p+0);
        const float64 v63 = add(add(sub(0x1p+0, v60), v21), v57);
        const float64 v64 = add(v60, v63);
        const float64 v66 = add(sub(v60, v64), v63);
        const uint64 v68 = (bits(v14) - uint64(0x4337fffffffff802ull));
        const uint64 v70 = (v68 >> 1);
        const float64 v78 = mul(mul(0x1p+0, from_bits((v70 << 52))), from_bits(((v68 - v70) << 52)));
        const float64 v79 = mul(v64, v78);
        const float64 v80 = add(v79, 0x1p+0);
        const float64 v86 = div(select(v6, v64, 0x1p+0), v80);
        const float64 v88 = mul(v86, select(v6, v78, 0x1p+0));
        const float64 v92 = mul(v86, add(add(sub(0x1p+0, v80), v79), mul(v66, v78)));
        const float64 v94 = mul(sub(select(v6, v66, 0x0p+0), v92), select(v6, sub(0x1p+0, v88), v88));
        const uint64 v96 = select(v6, v68, uint64(0x7feull));
        const uint64 v98 = (v96 >> 1);
        return mul(mul(add(v86, v94), from_bits((v98 << 52))), from_bits(((v96 - v98) << 52)));
    }
};

struct Silu {
    DEVICE float32 of(float32 x, float32) {
        const float32 v4 = from_bits((bits(x) & uint32(0x7fffffffu)));
        const bool v6 = less(x, 0x0p+0f);
        const float32 v9 = select(less(0x1.cf05b6p+6f, v4), 0x1.cf05b6p+6f, v4);
        const float32 v10 = sub(0x0p+0f, v9);
        const float32 v14 = add(mul(v10, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v15 = sub(v14, 0x1.8p+23f);
        const float32 v18 = sub(v10, mul(v15, 0x1.62e4p-1f));
        const float32 v20 = mul(v15, 0x1.7f7d1cp-20f);
        const float32 v21 = sub(v18, v20);
        const float32 v29 = mul(add(mul(0x1.a1256cp-13f, v21), 0x1.6d43bp-10f), v21);
        const float32 v34 = add(mul(add(v29, 0x1.1110ep-7f), v21), 0x1.5554e8p-5f);
        const float32 v40 = add(mul(add(mul(v34, v21), 0x1.555556p-3f), v21), 0x1p-1f);
        const float32 v42 = add(mul(mul(v21, v21), v40), sub(sub(v18, v21), v20));
        const float32 v45 = add(v21, 0x1p+0f);
        const float32 v48 = add(add(sub(0x1p+0f, v45), v21), v42);
        const float32 v49 = add(v45, v48);
        const float32 v51 = add(sub(v45, v49), v48);
        const uint32 v53 = (bits(v14) - uint32(0x4b3fff02u));
        const uint32 v55 = (v53 >> 1);
        const float32 v63 = mul(mul(0x1p+0f, from_bits((v55 << 23))), from_bits(((v53 - v55) << 23)));
        const float32 v64 = mul(v49, v63);
        const float32 v65 = add(v64, 0x1p+0f);
        const float32 v69 = add(add(sub(0x1p+0f, v65), v64), mul(v51, v63));
        const float32 v71 = div(select(v6, v49, 0x1p+0f), v65);
        const float32 v73 = mul(v71, select(v6, v63, 0x1p+0f));
        const float32 v79 = mul(sub(select(v6, v51, 0x0p+0f), mul(v71, v69)), select(v6, sub(0x1p+0f, v73), v73));
        const uint32 v81 = select(v6, v53, uint32(0xfeu));
        const float32 v84 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const uint32 v88 = (v81 >> 1);
        const float32 v91 = mul(add(mul(v84, v71), mul(v84, v79)), from_bits((v88 << 23)));
        return select(less(0x1.fffffep+127f, x), x, mul(v91, from_bits(((v81 - v88) << 23))));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const bool v6 = less(x, 0x0p+0);
        const float64 v9 = select(less(0x1.7a75571e8d7c8p+9, v4), 0x1.7a75571e8d7c8p+9, v4);
        const float64 v10 = sub(0x0p+0, v9);
        const float64 v14 = add(mul(v10, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v15 = sub(v14, 0x1.8p+52);
        const float64 v18 = sub(v10, mul(v15, 0x1.62e42fefa38p-1));
        const float64 v20 = mul(v15, 0x1.ef35793c7673p-45);
        const float64 v21 = sub(v18, v20);
        const float64 v28 = add(mul(0x1.1f7340dbc337ep-29, v21), 0x1.af4e554377204p-26);
        const float64 v32 = mul(add(mul(v28, v21), 0x1.27e4db46cddd1p-22), v21);
        const float64 v37 = add(mul(add(v32, 0x1.71de01fdbf9cap-19), v21), 0x1.a01a01a6e1e2ap-16);
        const float64 v41 = mul(add(mul(v37, v21), 0x1.a01a01abf85abp-13), v21);
        const float64 v46 = add(mul(add(v41, 0x1.6c16c16c162c3p-10), v21), 0x1.11111111100bep-7);
        const float64 v50 = mul(add(mul(v46, v21), 0x1.5555555555556p-5), v21);
        const float64 v55 = add(mul(add(v50, 0x1.5555555555557p-3), v21), 0x1p-1);
        const float64 v57 = add(mul(mul(v21, v21), v55), sub(sub(v18, v21), v20));
        const float64 v60 = add(v21, 0x1p+0);
        const float64 v63 = add(add(sub(0x1p+0, v60), v21), v57);
        const float64 v64 = add(v60, v63);
        const float64 v66 = add(sub(v60, v64), v63);
        const uint64 v68 = (bits(v14) - uint64(0x4337fffffffff802ull));
        const uint64 v70 = (v68 >> 1);
        const float64 v78 = mul(mul(0x1p+0, from_bits((v70 << 52))), from_bits(((v68 - v70) << 52)));
        const float64 v79 = mul(v64, v78);
        const float64 v80 = add(v79, 0x1p+0);
        const float64 v86 = div(select(v6, v64, 0x1p+0), v80);
        const float64 v88 = mul(v86, select(v6, v78, 0x1p+0));
        const float64 v92 = mul(v86, add(add(sub(0x1p+0, v80), v79), mul(v66, v78)));
        const float64 v94 = mul(sub(select(v6, v66, 0x0p+0), v92), select(v6, sub(0x1p+0, v88), v88));
        const uint64 v96 = select(v6, v68, uint64(0x7feull));
        const float64 v99 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const uint64 v103 = (v96 >> 1);
        const float64 v106 = mul(add(mul(v99, v86), mul(v99, v94)), from_bits((v103 << 52)));
        return select(less(0x1.fffffffffffffp+1023, x), x, mul(v106, from_bits(((v96 - v103) << 52))));
    }
};

struct SiluDerivative {
    DEVICE float32 of(float32 x, float32) {
        const float32 v6 = sub(0x0p+0f, from_bits((bits(x) & uint32(0x7fffffffu))));
        const float32 v9 = select(less(v6, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v6);
        const float32 v13 = add(mul(v9, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v14 = sub(v13, 0x1.8p+23f);
        const float32 v17 = sub(v9, mul(v14, 0x1.62e4p-1f));
        const float32 v19 = mul(v14, 0x1.7f7d1cp-20f);
        const float32 v20 = sub(v17, v19);
        const float32 v28 = mul(add(mul(0x1.a1256cp-13f, v20), 0x1.6d43bp-10f), v20);
        const float32 v33 = add(mul(add(v28, 0x1.1110ep-7f), v20), 0x1.5554e8p-5f);
        const float32 v39 = add(mul(add(mul(v33, v20), 0x1.555556p-3f), v20), 0x1p-1f);
        const float32 v41 = add(mul(mul(v20, v20), v39), sub(sub(v17, v20), v19));
        const float32 v44 = add(v20, 0x1p+0f);
        const float32 v48 = add(v44, add(add(sub(0x1p+0f, v44), v20), v41));
        const uint32 v50 = (bits(v13) - uint32(0x4b3fff02u));
        const uint32 v52 = (v50 >> 1);
        const float32 v60 = mul(mul(v48, from_bits((v52 << 23))), from_bits(((v50 - v52) << 23)));
        const float32 v62 = div(0x1p+0f, add(v60, 0x1p+0f));
        const float32 v64 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v67 = select(less(0x1.cf05b6p+6f, v64), 0x1.cf05b6p+6f, v64);
        const float32 v69 = mul(v60, v62);
        return add(select(less(v67, 0x0p+0f), v69, v62), mul(mul(v67, 0x1p+0f), mul(v69, v62)));
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v6 = sub(0x0p+0, v4);
        const float64 v9 = select(less(v6, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v6);
        const float64 v13 = add(mul(v9, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v14 = sub(v13, 0x1.8p+52);
        const float64 v17 = sub(v9, mul(v14, 0x1.62e42fefa38p-1));
        const float64 v19 = mul(v14, 0x1.ef35793c7673p-45);
        const float64 v20 = sub(v17, v19);
        const float64 v27 = add(mul(0x1.1f7340dbc337ep-29, v20), 0x1.af4e554377204p-26);
        const float64 v31 = mul(add(mul(v27, v20), 0x1.27e4db46cddd1p-22), v20);
        const float64 v36 = add(mul(add(v31, 0x1.71de01fdbf9cap-19), v20), 0x1.a01a01a6e1e2ap-16);
        const float64 v40 = mul(add(mul(v36, v20), 0x1.a01a01abf85abp-13), v20);
        const float64 v45 = add(mul(add(v40, 0x1.6c16c16c162c3p-10), v20), 0x1.11111111100bep-7);
        const float64 v49 = mul(add(mul(v45, v20), 0x1.5555555555556p-5), v20);
        const float64 v54 = add(mul(add(v49, 0x1.5555555555557p-3), v20), 0x1p-1);
        const float64 v56 = add(mul(mul(v20, v20), v54), sub(sub(v17, v20), v19));
        const float64 v59 = add(v20, 0x1p+0);
        const uint64 v65 = (bits(v13) - uint64(0x4337fffffffff802ull));
        const uint64 v67 = (v65 >> 1);
        const float64 v71 = mul(add(v59, add(add(sub(0x1p+0, v59), v20), v56)), from_bits((v67 << 52)));
        const float64 v75 = mul(v71, from_bits(((v65 - v67) << 52)));
        const float64 v77 = div(0x1p+0, add(v75, 0x1p+0));
        const float64 v79 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v82 = select(less(0x1.7a75571e8d7c8p+9, v79), 0x1.7a75571e8d7c8p+9, v79);
        const float64 v84 = mul(v75, v77);
        return add(select(less(v82, 0x0p+0), v84, v77), mul(mul(v82, 0x1p+0), mul(v84, v77)));
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
        const float32 v25 = add(mul(v20, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v26 = sub(v25, 0x1.8p+23f);
        const float32 v29 = sub(v20, mul(v26, 0x1.62e4p-1f));
        const float32 v32 = sub(mul(v26, 0x1.7f7d1cp-20f), mul(add(sub(v13, v16), v15), -0x1p-1f));
        const float32 v33 = sub(v29, v32);
        const float32 v41 = mul(add(mul(0x1.a1256cp-13f, v33), 0x1.6d43bp-10f), v33);
        const float32 v46 = add(mul(add(v41, 0x1.1110ep-7f), v33), 0x1.5554e8p-5f);
        const float32 v52 = add(mul(add(mul(v46, v33), 0x1.555556p-3f), v33), 0x1p-1f);
        const float32 v54 = add(mul(mul(v33, v33), v52), sub(sub(v29, v33), v32));
        const float32 v57 = add(v33, 0x1p+0f);
        const float32 v60 = add(add(sub(0x1p+0f, v57), v33), v54);
        const float32 v61 = add(v57, v60);
        const uint32 v65 = (bits(v25) - uint32(0x4b3fff02u));
        const float32 v68 = div(v7, add(v7, 0x1p+2f));
        const float32 v71 = sub(mul(v68, 0x1p+1f), 0x1p+0f);
        const float32 v75 = add(mul(-0x1.03ad6cp-13f, v71), 0x1.837b9ep-15f);
        const float32 v81 = add(mul(add(mul(v75, v71), 0x1.627dcap-10f), v71), -0x1.04ce24p-9f);
        const float32 v87 = add(mul(add(mul(v81, v71), -0x1.074f42p-7f), v71), 0x1.67d08ap-5f);
        const float32 v93 = add(mul(add(mul(v87, v71), -0x1.bba62ap-4f), v71), 0x1.52f80ap-3f);
        const float32 v99 = add(mul(add(mul(v93, v71), -0x1.19a098p-3f), v71), -0x1.c9e156p-5f);
        const float32 v100 = mul(v68, v99);
        const float32 v101 = add(v100, 0x1p-1f);
        const float32 v104 = add(v7, 0x1p+0f);
        const float32 v108 = div(mul(v61, v101), v104);
        const float32 v111 = add(mul(add(sub(v57, v61), v60), v101), mul(v61, add(sub(0x1p-1f, v101), v100)));
        const float32 v113 = sub(v111, mul(v108, add(sub(0x1p+0f, v104), v7)));
        const float32 v114 = div(v113, v104);
        const bool v116 = less(x, 0x0p+0f);
        const uint32 v118 = (v65 >> 1);
        const float32 v121 = from_bits((v118 << 23));
        const float32 v125 = from_bits(((v65 - v118) << 23));
        const float32 v127 = sub(0x0p+0f, mul(mul(v108, v121), v125));
        const float32 v128 = add(v127, 0x1p+0f);
        const float32 v134 = sub(add(sub(0x1p+0f, v128), v127), mul(mul(v114, v121), v125));
        const uint32 v137 = select(v116, v65, uint32(0xfeu));
        const float32 v140 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v143 = add(mul(v140, select(v116, v108, v128)), mul(v140, select(v116, v114, v134)));
        const uint32 v144 = (v137 >> 1);
        const float32 v151 = mul(mul(v143, from_bits((v144 << 23))), from_bits(((v137 - v144) << 23)));
        return select(less(0x1.fffffep+127f, x), x, v151);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = select(less(0x1.4p+5, v4), 0x1.4p+5, v4);
        const float64 v11 = from_bits((bits(v7) & uint64(0xfffffffff8000000ull)));
        const float64 v13 = mul(v11, v11);
        const float64 v15 = mul(add(v7, v11), sub(v7, v11));
        const float64 v16 = add(v13, v15);
        const float64 v20 = mul(v16, -0x1p-1);
        const float64 v25 = add(mul(v20, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v26 = sub(v25, 0x1.8p+52);
        const float64 v29 = sub(v20, mul(v26, 0x1.62e42fefa38p-1));
        const float64 v32 = sub(mul(v26, 0x1.ef35793c7673p-45), mul(add(sub(v13, v16), v15), -0x1p-1));
        const float64 v33 = sub(v29, v32);
        const float64 v40 = add(mul(0x1.1f7340dbc337ep-29, v33), 0x1.af4e554377204p-26);
        const float64 v44 = mul(add(mul(v40, v33), 0x1.27e4db46cddd1p-22), v33);
        const float64 v49 = add(mul(add(v44, 0x1.71de01fdbf9cap-19), v33), 0x1.a01a01a6e1e2ap-16);
        const float64 v53 = mul(add(mul(v49, v33), 0x1.a01a01abf85abp-13), v33);
        const float64 v58 = add(mul(add(v53, 0x1.6c16c16c162c3p-10), v33), 0x1.11111111100bep-7);
        const float64 v62 = mul(add(mul(v58, v33), 0x1.5555555555556p-5), v33);
        const float64 v67 = add(mul(add(v62, 0x1.5555555555557p-3), v33), 0x1p-1);
        const float64 v69 = add(mul(mul(v33, v33), v67), sub(sub(v29, v33), v32));
        const float64 v72 = add(v33, 0x1p+0);
        const float64 v75 = add(add(sub(0x1p+0, v72), v33), v69);
        const float64 v76 = add(v72, v75);
        const uint64 v80 = (bits(v25) - uint64(0x4337fffffffff802ull));
        const float64 v83 = div(v7, add(v7, 0x1.4p+2));
        const float64 v86 = sub(mul(v83, 0x1p+1), 0x1p+0);
        const float64 v90 = add(mul(-0x1.314a751527b1cp-32, v86), 0x1.26aa5acfe5b59p-30);
        const float64 v94 = mul(add(mul(v90, v86), 0x1.f41dfd9a62bbap-28), v86);
        const float64 v99 = add(mul(add(v94, -0x1.27d9437514cdfp-28), v86), -0x1.fc206fc8dad9dp-25);
        const float64 v103 = mul(add(mul(v99, v86), 0x1.a720053c551dcp-27), v86);
        const float64 v108 = add(mul(add(v103, 0x1.9c3e808183383p-22), v86), -0x1.1c57dcd4a93cdp-23);
        const float64 v112 = mul(add(mul(v108, v86), -0x1.4dac6f927e896p-19), v86);
        const float64 v117 = add(mul(add(v112, 0x1.3b0a51244989ap-19), v86), 0x1.08a66e0707bf3p-16);
        const float64 v121 = mul(add(mul(v117, v86), -0x1.2a5bb00e426cdp-15), v86);
        const float64 v126 = add(mul(add(v121, -0x1.2c8444d701fb7p-14), v86), 0x1.c982fc41bb53fp-12);
        const float64 v130 = mul(add(mul(v126, v86), -0x1.b92bddc84b79cp-12), v86);
        const float64 v135 = add(mul(add(v130, -0x1.8039d3ef94a93p-9), v86), 0x1.05bdbc427e27p-6);
        const float64 v139 = mul(add(mul(v135, v86), -0x1.7b6c33a296633p-5), v86);
        const float64 v144 = add(mul(add(v139, 0x1.86b7d7a6f7ba3p-4), v86), -0x1.2f7f6bd5697acp-3);
        const float64 v148 = mul(add(mul(v144, v86), 0x1.5877a5db73e94p-3), v86);
        const float64 v153 = add(mul(add(v148, -0x1.b2bbe58497309p-4), v86), -0x1.3b432786a6315p-4);
        const float64 v154 = mul(v83, v153);
        const float64 v155 = add(v154, 0x1p-1);
        const float64 v158 = add(v7, 0x1p+0);
        const float64 v162 = div(mul(v76, v155), v158);
        const float64 v165 = add(mul(add(sub(v72, v76), v75), v155), mul(v76, add(sub(0x1p-1, v155), v154)));
        const float64 v167 = sub(v165, mul(v162, add(sub(0x1p+0, v158), v7)));
        const float64 v168 = div(v167, v158);
        const bool v170 = less(x, 0x0p+0);
        const uint64 v172 = (v80 >> 1);
        const float64 v175 = from_bits((v172 << 52));
        const float64 v179 = from_bits(((v80 - v172) << 52));
        const float64 v181 = sub(0x0p+0, mul(mul(v162, v175), v179));
        const float64 v182 = add(v181, 0x1p+0);
        const float64 v188 = sub(add(sub(0x1p+0, v182), v181), mul(mul(v168, v175), v179));
        const uint64 v191 = select(v170, v80, uint64(0x7feull));
        const float64 v194 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v197 = add(mul(v194, select(v170, v162, v182)), mul(v194, select(v170, v168, v188)));
        const uint64 v198 = (v191 >> 1);
        const float64 v205 = mul(mul(v197, from_bits((v198 << 52))), from_bits(((v191 - v198) << 52)));
        return select(less(0x1.fffffffffffffp+1023, x), x, v205);
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
        const float32 v25 = add(mul(v20, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v26 = sub(v25, 0x1.8p+23f);
        const float32 v29 = sub(v20, mul(v26, 0x1.62e4p-1f));
        const float32 v32 = sub(mul(v26, 0x1.7f7d1cp-20f), mul(add(sub(v13, v16), v15), -0x1p-1f));
        const float32 v33 = sub(v29, v32);
        const float32 v41 = mul(add(mul(0x1.a1256cp-13f, v33), 0x1.6d43bp-10f), v33);
        const float32 v46 = add(mul(add(v41, 0x1.1110ep-7f), v33), 0x1.5554e8p-5f);
        const float32 v52 = add(mul(add(mul(v46, v33), 0x1.555556p-3f), v33), 0x1p-1f);
        const float32 v54 = add(mul(mul(v33, v33), v52), sub(sub(v29, v33), v32));
        const float32 v57 = add(v33, 0x1p+0f);
        const float32 v60 = add(add(sub(0x1p+0f, v57), v33), v54);
        const float32 v61 = add(v57, v60);
        const uint32 v65 = (bits(v25) - uint32(0x4b3fff02u));
        const float32 v68 = div(v7, add(v7, 0x1p+2f));
        const float32 v71 = sub(mul(v68, 0x1p+1f), 0x1p+0f);
        const float32 v75 = add(mul(-0x1.03ad6cp-13f, v71), 0x1.837b9ep-15f);
        const float32 v81 = add(mul(add(mul(v75, v71), 0x1.627dcap-10f), v71), -0x1.04ce24p-9f);
        const float32 v87 = add(mul(add(mul(v81, v71), -0x1.074f42p-7f), v71), 0x1.67d08ap-5f);
        const float32 v93 = add(mul(add(mul(v87, v71), -0x1.bba62ap-4f), v71), 0x1.52f80ap-3f);
        const float32 v99 = add(mul(add(mul(v93, v71), -0x1.19a098p-3f), v71), -0x1.c9e156p-5f);
        const float32 v100 = mul(v68, v99);
        const float32 v101 = add(v100, 0x1p-1f);
        const float32 v104 = add(v7, 0x1p+0f);
        const float32 v108 = div(mul(v61, v101), v104);
        const float32 v111 = add(mul(add(sub(v57, v61), v60), v101), mul(v61, add(sub(0x1p-1f, v101), v100)));
        const float32 v113 = sub(v111, mul(v108, add(sub(0x1p+0f, v104), v7)));
        const uint32 v117 = (v65 >> 1);
        const float32 v120 = from_bits((v117 << 23));
        const float32 v124 = from_bits(((v65 - v117) << 23));
        const float32 v125 = mul(mul(add(v108, div(v113, v104)), v120), v124);
        const float32 v132 = select(less(x, -0x1.ep+3f), -0x1.ep+3f, x);
        const float32 v134 = select(less(0x1.ep+3f, v132), 0x1.ep+3f, v132);
        const float32 v138 = select(less(v134, 0x0p+0f), v125, sub(0x1p+0f, v125));
        const float32 v139 = mul(v134, mul(mul(mul(v61, 0x1.988454p-2f), v120), v124));
        return add(v138, v139);
    }
    DEVICE float64 of(float64 x, float64) {
        const float64 v4 = from_bits((bits(x) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = select(less(0x1.4p+5, v4), 0x1.4p+5, v4);
        const float64 v11 = from_bits((bits(v7) & uint64(0xfffffffff8000000ull)));
        const float64 v13 = mul(v11, v11);
        const float64 v15 = mul(add(v7, v11), sub(v7, v11));
        const float64 v16 = add(v13, v15);
        const float64 v20 = mul(v16, -0x1p-1);
        const float64 v25 = add(mul(v20, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v26 = sub(v25, 0x1.8p+52);
        const float64 v29 = sub(v20, mul(v26, 0x1.62e42fefa38p-1));
        const float64 v32 = sub(mul(v26, 0x1.ef35793c7673p-45), mul(add(sub(v13, v16), v15), -0x1p-1));
        const float64 v33 = sub(v29, v32);
        const float64 v40 = add(mul(0x1.1f7340dbc337ep-29, v33), 0x1.af4e554377204p-26);
        const float64 v44 = mul(add(mul(v40, v33), 0x1.27e4db46cddd1p-22), v33);
        const float64 v49 = add(mul(add(v44, 0x1.71de01fdbf9cap-19), v33), 0x1.a01a01a6e1e2ap-16);
        const float64 v53 = mul(add(mul(v49, v33), 0x1.a01a01abf85abp-13), v33);
        const float64 v58 = add(mul(add(v53, 0x1.6c16c16c162c3p-10), v33), 0x1.11111111100bep-7);
        const float64 v62 = mul(add(mul(v58, v33), 0x1.5555555555556p-5), v33);
        const float64 v67 = add(mul(add(v62, 0x1.5555555555557p-3), v33), 0x1p-1);
        const float64 v69 = add(mul(mul(v33, v33), v67), sub(sub(v29, v33), v32));
        const float64 v72 = add(v33, 0x1p+0);
        const float64 v75 = add(add(sub(0x1p+0, v72), v33), v69);
        const float64 v76 = add(v72, v75);
        const uint64 v80 = (bits(v25) - uint64(0x4337fffffffff802ull));
        const float64 v83 = div(v7, add(v7, 0x1.4p+2));
        const float64 v86 = sub(mul(v83, 0x1p+1), 0x1p+0);
        const float64 v90 = add(mul(-0x1.314a751527b1cp-32, v86), 0x1.26aa5acfe5b59p-30);
        const float64 v94 = mul(add(mul(v90, v86), 0x1.f41dfd9a62bbap-28), v86);
        const float64 v99 = add(mul(add(v94, -0x1.27d9437514cdfp-28), v86), -0x1.fc206fc8dad9dp-25);
        const float64 v103 = mul(add(mul(v99, v86), 0x1.a720053c551dcp-27), v86);
        const float64 v108 = add(mul(add(v103, 0x1.9c3e808183383p-22), v86), -0x1.1c57dcd4a93cdp-23);
        const float64 v112 = mul(add(mul(v108, v86), -0x1.4dac6f927e896p-19), v86);
        const float64 v117 = add(mul(add(v112, 0x1.3b0a51244989ap-19), v86), 0x1.08a66e0707bf3p-16);
        const float64 v121 = mul(add(mul(v117, v86), -0x1.2a5bb00e426cdp-15), v86);
        const float64 v126 = add(mul(add(v121, -0x1.2c8444d701fb7p-14), v86), 0x1.c982fc41bb53fp-12);
        const float64 v130 = mul(add(mul(v126, v86), -0x1.b92bddc84b79cp-12), v86);
        const float64 v135 = add(mul(add(v130, -0x1.8039d3ef94a93p-9), v86), 0x1.05bdbc427e27p-6);
        const float64 v139 = mul(add(mul(v135, v86), -0x1.7b6c33a296633p-5), v86);
        const float64 v144 = add(mul(add(v139, 0x1.86b7d7a6f7ba3p-4), v86), -0x1.2f7f6bd5697acp-3);
        const float64 v148 = mul(add(mul(v144, v86), 0x1.5877a5db73e94p-3), v86);
        const float64 v153 = add(mul(add(v148, -0x1.b2bbe58497309p-4), v86), -0x1.3b432786a6315p-4);
        const float64 v154 = mul(v83, v153);
        const float64 v155 = add(v154, 0x1p-1);
        const float64 v158 = add(v7, 0x1p+0);
        const float64 v162 = div(mul(v76, v155), v158);
        const float64 v165 = add(mul(add(sub(v72, v76), v75), v155), mul(v76, add(sub(0x1p-1, v155), v154)));
        const float64 v167 = sub(v165, mul(v162, add(sub(0x1p+0, v158), v7)));
        const uint64 v171 = (v80 >> 1);
        const float64 v174 = from_bits((v171 << 52));
        const float64 v178 = from_bits(((v80 - v171) << 52));
        const float64 v179 = mul(mul(add(v162, div(v167, v158)), v174), v178);
        const float64 v183 = mul(mul(mul(v76, 0x1.9884533d43651p-2), v174), v178);
        const float64 v186 = select(less(x, -0x1.4p+5), -0x1.4p+5, x);
        const float64 v188 = select(less(0x1.4p+5, v186), 0x1.4p+5, v186);
        const float64 v192 = select(less(v188, 0x0p+0), v179, sub(0x1p+0, v179));
        return add(v192, mul(v188, v183));
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
        const float32 v70 = select(less(0x1.cf05b6p+6f, v64), 0x1.cf05b6p+6f, v64);
        const float32 v71 = sub(0x0p+0f, v70);
        const float32 v76 = add(mul(v71, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v77 = sub(v76, 0x1.8p+23f);
        const float32 v80 = sub(v71, mul(v77, 0x1.62e4p-1f));
        const float32 v83 = sub(mul(v77, 0x1.7f7d1cp-20f), sub(0x0p+0f, add(sub(v56, v64), v63)));
        const float32 v84 = sub(v80, v83);
        const float32 v92 = mul(add(mul(0x1.a1256cp-13f, v84), 0x1.6d43bp-10f), v84);
        const float32 v97 = add(mul(add(v92, 0x1.1110ep-7f), v84), 0x1.5554e8p-5f);
        const float32 v103 = add(mul(add(mul(v97, v84), 0x1.555556p-3f), v84), 0x1p-1f);
        const float32 v105 = add(mul(mul(v84, v84), v103), sub(sub(v80, v84), v83));
        const float32 v108 = add(v84, 0x1p+0f);
        const float32 v111 = add(add(sub(0x1p+0f, v108), v84), v105);
        const float32 v112 = add(v108, v111);
        const float32 v114 = add(sub(v108, v112), v111);
        const uint32 v116 = (bits(v76) - uint32(0x4b3fff02u));
        const uint32 v118 = (v116 >> 1);
        const float32 v126 = mul(mul(0x1p+0f, from_bits((v118 << 23))), from_bits(((v116 - v118) << 23)));
        const float32 v127 = mul(v112, v126);
        const float32 v128 = add(v127, 0x1p+0f);
        const float32 v132 = add(add(sub(0x1p+0f, v128), v127), mul(v114, v126));
        const float32 v134 = div(select(v67, v112, 0x1p+0f), v128);
        const float32 v136 = mul(v134, select(v67, v126, 0x1p+0f));
        const float32 v141 = sub(select(v67, v114, 0x0p+0f), mul(v134, v132));
        const float32 v142 = mul(v141, select(v67, sub(0x1p+0f, v136), v136));
        const uint32 v144 = select(v67, v116, uint32(0xfeu));
        const float32 v147 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const uint32 v151 = (v144 >> 1);
        const float32 v154 = mul(add(mul(v147, v134), mul(v147, v142)), from_bits((v151 << 23)));
        return select(less(0x1.fffffep+127f, x), x, mul(v154, from_bits(((v144 - v151) << 23))));
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
        const float64 v70 = select(less(0x1.7a75571e8d7c8p+9, v64), 0x1.7a75571e8d7c8p+9, v64);
        const float64 v71 = sub(0x0p+0, v70);
        const float64 v76 = add(mul(v71, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v77 = sub(v76, 0x1.8p+52);
        const float64 v80 = sub(v71, mul(v77, 0x1.62e42fefa38p-1));
        const float64 v83 = sub(mul(v77, 0x1.ef35793c7673p-45), sub(0x0p+0, add(sub(v56, v64), v63)));
        const float64 v84 = sub(v80, v83);
        const float64 v91 = add(mul(0x1.1f7340dbc337ep-29, v84), 0x1.af4e554377204p-26);
        const float64 v95 = mul(add(mul(v91, v84), 0x1.27e4db46cddd1p-22), v84);
        const float64 v100 = add(mul(add(v95, 0x1.71de01fdbf9cap-19), v84), 0x1.a01a01a6e1e2ap-16);
        const float64 v104 = mul(add(mul(v100, v84), 0x1.a01a01abf85abp-13), v84);
        const float64 v109 = add(mul(add(v104, 0x1.6c16c16c162c3p-10), v84), 0x1.11111111100bep-7);
        const float64 v113 = mul(add(mul(v109, v84), 0x1.5555555555556p-5), v84);
        const float64 v118 = add(mul(add(v113, 0x1.5555555555557p-3), v84), 0x1p-1);
        const float64 v120 = add(mul(mul(v84, v84), v118), sub(sub(v80, v84), v83));
        const float64 v123 = add(v84, 0x1p+0);
        const float64 v126 = add(add(sub(0x1p+0, v123), v84), v120);
        const float64 v127 = add(v123, v126);
        const float64 v129 = add(sub(v123, v127), v126);
        const uint64 v131 = (bits(v76) - uint64(0x4337fffffffff802ull));
        const uint64 v133 = (v131 >> 1);
        const float64 v141 = mul(mul(0x1p+0, from_bits((v133 << 52))), from_bits(((v131 - v133) << 52)));
        const float64 v142 = mul(v127, v141);
        const float64 v143 = add(v142, 0x1p+0);
        const float64 v147 = add(add(sub(0x1p+0, v143), v142), mul(v129, v141));
        const float64 v149 = div(select(v67, v127, 0x1p+0), v143);
        const float64 v151 = mul(v149, select(v67, v141, 0x1p+0));
        const float64 v156 = sub(select(v67, v129, 0x0p+0), mul(v149, v147));
        const float64 v157 = mul(v156, select(v67, sub(0x1p+0, v151), v151));
        const uint64 v159 = select(v67, v131, uint64(0x7feull));
        const float64 v162 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const uint64 v166 = (v159 >> 1);
        const float64 v169 = mul(add(mul(v162, v149), mul(v162, v157)), from_bits((v166 << 52)));
        return select(less(0x1.fffffffffffffp+1023, x), x, mul(v169, from_bits(((v159 - v166) << 52))));
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
        const float32 v75 = select(less(v72, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v72);
        const float32 v80 = add(mul(v75, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v81 = sub(v80, 0x1.8p+23f);
        const float32 v84 = sub(v75, mul(v81, 0x1.62e4p-1f));
        const float32 v87 = sub(mul(v81, 0x1.7f7d1cp-20f), sub(0x0p+0f, add(sub(v61, v69), v68)));
        const float32 v88 = sub(v84, v87);
        const float32 v96 = mul(add(mul(0x1.a1256cp-13f, v88), 0x1.6d43bp-10f), v88);
        const float32 v101 = add(mul(add(v96, 0x1.1110ep-7f), v88), 0x1.5554e8p-5f);
        const float32 v107 = add(mul(add(mul(v101, v88), 0x1.555556p-3f), v88), 0x1p-1f);
        const float32 v109 = add(mul(mul(v88, v88), v107), sub(sub(v84, v88), v87));
        const float32 v112 = add(v88, 0x1p+0f);
        const float32 v116 = add(v112, add(add(sub(0x1p+0f, v112), v88), v109));
        const uint32 v118 = (bits(v80) - uint32(0x4b3fff02u));
        const uint32 v120 = (v118 >> 1);
        const float32 v128 = mul(mul(v116, from_bits((v120 << 23))), from_bits(((v118 - v120) << 23)));
        const float32 v130 = div(0x1p+0f, add(v128, 0x1p+0f));
        const float32 v132 = select(less(x, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, x);
        const float32 v135 = select(less(0x1.cf05b6p+6f, v132), 0x1.cf05b6p+6f, v132);
        const float32 v137 = mul(v128, v130);
        return add(select(less(v135, 0x0p+0f), v137, v130), mul(mul(v135, v56), mul(v137, v130)));
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
        const float64 v75 = select(less(v72, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, v72);
        const float64 v80 = add(mul(v75, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v81 = sub(v80, 0x1.8p+52);
        const float64 v84 = sub(v75, mul(v81, 0x1.62e42fefa38p-1));
        const float64 v87 = sub(mul(v81, 0x1.ef35793c7673p-45), sub(0x0p+0, add(sub(v61, v69), v68)));
        const float64 v88 = sub(v84, v87);
        const float64 v95 = add(mul(0x1.1f7340dbc337ep-29, v88), 0x1.af4e554377204p-26);
        const float64 v99 = mul(add(mul(v95, v88), 0x1.27e4db46cddd1p-22), v88);
        const float64 v104 = add(mul(add(v99, 0x1.71de01fdbf9cap-19), v88), 0x1.a01a01a6e1e2ap-16);
        const float64 v108 = mul(add(mul(v104, v88), 0x1.a01a01abf85abp-13), v88);
        const float64 v113 = add(mul(add(v108, 0x1.6c16c16c162c3p-10), v88), 0x1.11111111100bep-7);
        const float64 v117 = mul(add(mul(v113, v88), 0x1.5555555555556p-5), v88);
        const float64 v122 = add(mul(add(v117, 0x1.5555555555557p-3), v88), 0x1p-1);
        const float64 v124 = add(mul(mul(v88, v88), v122), sub(sub(v84, v88), v87));
        const float64 v127 = add(v88, 0x1p+0);
        const float64 v131 = add(v127, add(add(sub(0x1p+0, v127), v88), v124));
        const uint64 v133 = (bits(v80) - uint64(0x4337fffffffff802ull));
        const uint64 v135 = (v133 >> 1);
        const float64 v143 = mul(mul(v131, from_bits((v135 << 52))), from_bits(((v133 - v135) << 52)));
        const float64 v145 = div(0x1p+0, add(v143, 0x1p+0));
        const float64 v147 = select(less(x, -0x1.7a75571e8d7c8p+9), -0x1.7a75571e8d7c8p+9, x);
        const float64 v150 = select(less(0x1.7a75571e8d7c8p+9, v147), 0x1.7a75571e8d7c8p+9, v147);
        const float64 v152 = mul(v143, v145);
        return add(select(less(v150, 0x0p+0), v152, v145), mul(mul(v150, v56), mul(v152, v145)));
    }
};
