// The losses of a prediction and a target, and their derivatives: printed by tools/header.py from
// the recipes in _arithmetic/loss_recipes.py. Change those, and `make generate`.
#pragma once
#include "arithmetic.cuh"

struct SquaredError {
    DEVICE float32 of(float32 p, float32 t) {
        const float32 v2 = sub(p, t);
        return mul(v2, v2);
    }
    DEVICE float64 of(float64 p, float64 t) {
        const float64 v2 = sub(p, t);
        return mul(v2, v2);
    }
    DEVICE float32 derivative(float32 p, float32 t) {
        return mul(sub(p, t), 0x1p+1f);
    }
    DEVICE float64 derivative(float64 p, float64 t) {
        return mul(sub(p, t), 0x1p+1);
    }
};

struct AbsoluteError {
    DEVICE float32 of(float32 p, float32 t) {
        return from_bits((bits(sub(p, t)) & uint32(0x7fffffffu)));
    }
    DEVICE float64 of(float64 p, float64 t) {
        const uint64 v5 = (bits(sub(p, t)) & uint64(0x7fffffffffffffffull));
        return from_bits(v5);
    }
    DEVICE float32 derivative(float32 p, float32 t) {
        const float32 v2 = sub(p, t);
        return select(less(0x0p+0f, v2), 0x1p+0f, select(less(v2, 0x0p+0f), -0x1p+0f, v2));
    }
    DEVICE float64 derivative(float64 p, float64 t) {
        const float64 v2 = sub(p, t);
        return select(less(0x0p+0, v2), 0x1p+0, select(less(v2, 0x0p+0), -0x1p+0, v2));
    }
};

struct Huber {
    DEVICE float32 of(float32 p, float32 t) {
        const float32 v6 = from_bits((bits(sub(p, t)) & uint32(0x7fffffffu)));
        const float32 v9 = select(less(0x1p+0f, v6), 0x1p+0f, v6);
        return mul(v9, sub(v6, mul(v9, 0x1p-1f)));
    }
    DEVICE float64 of(float64 p, float64 t) {
        const uint64 v5 = (bits(sub(p, t)) & uint64(0x7fffffffffffffffull));
        const float64 v6 = from_bits(v5);
        const float64 v9 = select(less(0x1p+0, v6), 0x1p+0, v6);
        return mul(v9, sub(v6, mul(v9, 0x1p-1)));
    }
    DEVICE float32 derivative(float32 p, float32 t) {
        const float32 v2 = sub(p, t);
        const float32 v5 = select(less(v2, -0x1p+0f), -0x1p+0f, v2);
        return select(less(0x1p+0f, v5), 0x1p+0f, v5);
    }
    DEVICE float64 derivative(float64 p, float64 t) {
        const float64 v2 = sub(p, t);
        const float64 v5 = select(less(v2, -0x1p+0), -0x1p+0, v2);
        return select(less(0x1p+0, v5), 0x1p+0, v5);
    }
};

struct LogCosh {
    DEVICE float32 of(float32 p, float32 t) {
        const uint32 v3 = bits(sub(p, t));
        const float32 v6 = from_bits((v3 & uint32(0x7fffffffu)));
        const float32 v11 = mul(from_bits((v3 | uint32(0x80000000u))), 0x1p+1f);
        const bool v13 = less(v11, -0x1.cf05b6p+4f);
        const float32 v14 = select(v13, -0x1.cf05b6p+4f, v11);
        const float32 v18 = add(mul(v14, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v19 = sub(v18, 0x1.8p+23f);
        const float32 v25 = sub(sub(v14, mul(v19, 0x1.62e4p-1f)), mul(v19, 0x1.7f7d1cp-20f));
        const float32 v26 = mul(v25, v25);
        const float32 v39 = mul(v26, add(mul(v25, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v40 = add(add(mul(v25, 0x1.555556p-3f), 0x1p-1f), v39);
        const float32 v42 = mul(mul(v26, v26), add(mul(v25, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v44 = mul(v26, add(v40, v42));
        const float32 v45 = add(v25, v44);
        const uint32 v52 = ((bits(v18) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v55 = from_bits((v52 << 23));
        const float32 v57 = sub(v55, 0x1p+0f);
        const float32 v58 = mul(v55, v45);
        const float32 v59 = add(v57, v58);
        const float32 v63 = add(add(sub(v57, v59), v58), mul(v55, add(sub(v25, v45), v44)));
        const float32 v64 = add(v59, 0x1p+1f);
        const float32 v67 = div(v59, v64);
        const float32 v69 = mul(v67, add(add(sub(0x1p+1f, v64), v59), v63));
        const float32 v73 = mul(sub(v63, v69), sub(0x1p-1f, mul(v67, 0x1p-1f)));
        const uint32 v78 = ((bits(add(v67, v73)) & uint32(0x7fffffffu)) | (v3 & uint32(0x80000000u)));
        const float32 v79 = from_bits(v78);
        const bool v80 = less(v6, 0x1p-1f);
        const float32 v86 = select(v80, sub(0x0p+0f, mul(v79, v79)), select(v13, 0x0p+0f, add(v55, v58)));
        const float32 v88 = div(v86, add(v86, 0x1p+1f));
        const float32 v89 = mul(v88, v88);
        const float32 v91 = mul(mul(v86, 0x1p-1f), v86);
        const float32 v101 = mul(mul(v89, v89), add(mul(v89, 0x1.e6587ap-3f), 0x1.242cep-2f));
        const float32 v102 = add(add(mul(v89, 0x1.999a6ap-2f), 0x1.555556p-1f), v101);
        const float32 v107 = sub(v86, sub(v91, mul(v88, add(v91, mul(v89, v102)))));
        const float32 v112 = add(sub(sub(v6, 0x1.62e4p-1f), 0x1.7f7d1cp-20f), v107);
        return select(v80, mul(v107, -0x1p-1f), v112);
    }
    DEVICE float64 of(float64 p, float64 t) {
        const uint64 v3 = bits(sub(p, t));
        const float64 v6 = from_bits((v3 & uint64(0x7fffffffffffffffull)));
        const float64 v9 = from_bits((v3 | uint64(0x8000000000000000ull)));
        const float64 v11 = mul(v9, 0x1p+1);
        const bool v13 = less(v11, -0x1.7a75571e8d7c8p+7);
        const float64 v14 = select(v13, -0x1.7a75571e8d7c8p+7, v11);
        const float64 v18 = add(mul(v14, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v19 = sub(v18, 0x1.8p+52);
        const float64 v25 = sub(sub(v14, mul(v19, 0x1.62e42fefa38p-1)), mul(v19, 0x1.ef35793c7673p-45));
        const float64 v26 = mul(v25, v25);
        const float64 v34 = add(mul(v25, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v38 = add(mul(v25, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v42 = add(mul(v25, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v46 = add(mul(v25, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v48 = add(add(mul(v25, 0x1.5555555555557p-3), 0x1p-1), mul(v26, v34));
        const float64 v54 = mul(v26, v26);
        const float64 v58 = mul(mul(v54, v54), add(v46, mul(v26, 0x1.1f7340dbc337ep-29)));
        const float64 v59 = add(add(v48, mul(v54, add(v38, mul(v26, v42)))), v58);
        const float64 v60 = mul(v26, v59);
        const float64 v61 = add(v25, v60);
        const uint64 v68 = ((bits(v18) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v71 = from_bits((v68 << 52));
        const float64 v73 = sub(v71, 0x1p+0);
        const float64 v74 = mul(v71, v61);
        const float64 v75 = add(v73, v74);
        const float64 v79 = add(add(sub(v73, v75), v74), mul(v71, add(sub(v25, v61), v60)));
        const float64 v80 = add(v75, 0x1p+1);
        const float64 v83 = div(v75, v80);
        const float64 v86 = sub(v79, mul(v83, add(add(sub(0x1p+1, v80), v75), v79)));
        const float64 v90 = add(v83, mul(v86, sub(0x1p-1, mul(v83, 0x1p-1))));
        const uint64 v94 = ((bits(v90) & uint64(0x7fffffffffffffffull)) | (v3 & uint64(0x8000000000000000ull)));
        const float64 v95 = from_bits(v94);
        const bool v96 = less(v6, 0x1p-1);
        const float64 v102 = select(v96, sub(0x0p+0, mul(v95, v95)), select(v13, 0x0p+0, add(v71, v74)));
        const float64 v104 = div(v102, add(v102, 0x1p+1));
        const float64 v105 = mul(v104, v104);
        const float64 v107 = mul(mul(v102, 0x1p-1), v102);
        const float64 v111 = add(mul(v105, 0x1.9999999999f17p-2), 0x1.5555555555555p-1);
        const float64 v115 = add(mul(v105, 0x1.c71c72df580fcp-3), 0x1.24924923de6edp-2);
        const float64 v119 = add(mul(v105, 0x1.3b29d0452d426p-3), 0x1.745cac43cc003p-3);
        const float64 v123 = add(mul(v105, 0x1.169c38cc826bep-3), 0x1.0e8c55b42945fp-3);
        const float64 v124 = mul(v105, v105);
        const float64 v130 = mul(mul(v124, v124), add(v119, mul(v124, v123)));
        const float64 v132 = mul(v105, add(add(v111, mul(v124, v115)), v130));
        const float64 v136 = sub(v102, sub(v107, mul(v104, add(v107, v132))));
        const float64 v138 = sub(sub(v6, 0x1.62e42fefa38p-1), 0x1.ef35793c7673p-45);
        return select(v96, mul(v136, -0x1p-1), add(v138, v136));
    }
    DEVICE float32 derivative(float32 p, float32 t) {
        const uint32 v3 = bits(sub(p, t));
        const float32 v8 = mul(from_bits((v3 | uint32(0x80000000u))), 0x1p+1f);
        const float32 v11 = select(less(v8, -0x1.cf05b6p+4f), -0x1.cf05b6p+4f, v8);
        const float32 v15 = add(mul(v11, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v16 = sub(v15, 0x1.8p+23f);
        const float32 v22 = sub(sub(v11, mul(v16, 0x1.62e4p-1f)), mul(v16, 0x1.7f7d1cp-20f));
        const float32 v23 = mul(v22, v22);
        const float32 v36 = mul(v23, add(mul(v22, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v37 = add(add(mul(v22, 0x1.555556p-3f), 0x1p-1f), v36);
        const float32 v39 = mul(mul(v23, v23), add(mul(v22, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v41 = mul(v23, add(v37, v39));
        const float32 v42 = add(v22, v41);
        const uint32 v49 = ((bits(v15) - uint32(0x4b400000u)) + uint32(0x7fu));
        const float32 v52 = from_bits((v49 << 23));
        const float32 v54 = sub(v52, 0x1p+0f);
        const float32 v55 = mul(v52, v42);
        const float32 v56 = add(v54, v55);
        const float32 v60 = add(add(sub(v54, v56), v55), mul(v52, add(sub(v22, v42), v41)));
        const float32 v61 = add(v56, 0x1p+1f);
        const float32 v64 = div(v56, v61);
        const float32 v66 = mul(v64, add(add(sub(0x1p+1f, v61), v56), v60));
        const float32 v70 = mul(sub(v60, v66), sub(0x1p-1f, mul(v64, 0x1p-1f)));
        const uint32 v76 = ((bits(add(v64, v70)) & uint32(0x7fffffffu)) | (v3 & uint32(0x80000000u)));
        return from_bits(v76);
    }
    DEVICE float64 derivative(float64 p, float64 t) {
        const uint64 v3 = bits(sub(p, t));
        const float64 v6 = from_bits((v3 | uint64(0x8000000000000000ull)));
        const float64 v8 = mul(v6, 0x1p+1);
        const float64 v11 = select(less(v8, -0x1.7a75571e8d7c8p+7), -0x1.7a75571e8d7c8p+7, v8);
        const float64 v15 = add(mul(v11, 0x1.71547652b82fep+0), 0x1.8p+52);
        const float64 v16 = sub(v15, 0x1.8p+52);
        const float64 v22 = sub(sub(v11, mul(v16, 0x1.62e42fefa38p-1)), mul(v16, 0x1.ef35793c7673p-45));
        const float64 v23 = mul(v22, v22);
        const float64 v31 = add(mul(v22, 0x1.11111111100bep-7), 0x1.5555555555556p-5);
        const float64 v35 = add(mul(v22, 0x1.a01a01abf85abp-13), 0x1.6c16c16c162c3p-10);
        const float64 v39 = add(mul(v22, 0x1.71de01fdbf9cap-19), 0x1.a01a01a6e1e2ap-16);
        const float64 v43 = add(mul(v22, 0x1.af4e554377204p-26), 0x1.27e4db46cddd1p-22);
        const float64 v45 = add(add(mul(v22, 0x1.5555555555557p-3), 0x1p-1), mul(v23, v31));
        const float64 v51 = mul(v23, v23);
        const float64 v55 = mul(mul(v51, v51), add(v43, mul(v23, 0x1.1f7340dbc337ep-29)));
        const float64 v56 = add(add(v45, mul(v51, add(v35, mul(v23, v39)))), v55);
        const float64 v57 = mul(v23, v56);
        const float64 v58 = add(v22, v57);
        const uint64 v65 = ((bits(v15) - uint64(0x4338000000000000ull)) + uint64(0x3ffull));
        const float64 v68 = from_bits((v65 << 52));
        const float64 v70 = sub(v68, 0x1p+0);
        const float64 v71 = mul(v68, v58);
        const float64 v72 = add(v70, v71);
        const float64 v76 = add(add(sub(v70, v72), v71), mul(v68, add(sub(v22, v58), v57)));
        const float64 v77 = add(v72, 0x1p+1);
        const float64 v80 = div(v72, v77);
        const float64 v83 = sub(v76, mul(v80, add(add(sub(0x1p+1, v77), v72), v76)));
        const float64 v87 = add(v80, mul(v83, sub(0x1p-1, mul(v80, 0x1p-1))));
        const uint64 v92 = ((bits(v87) & uint64(0x7fffffffffffffffull)) | (v3 & uint64(0x8000000000000000ull)));
        return from_bits(v92);
    }
};

struct BinaryCrossentropy {
    DEVICE float32 of(float32 p, float32 t) {
        const float32 v4 = select(less(p, 0x0p+0f), 0x0p+0f, p);
        const float32 v8 = add(select(less(0x1p+0f, v4), 0x1p+0f, v4), 0x0p+0f);
        const float32 v9 = sub(0x0p+0f, v8);
        const float32 v10 = add(v9, 0x1p+0f);
        const bool v14 = less(v8, 0x1p-126f);
        const uint32 v20 = (bits(select(v14, mul(v8, 0x1p+24f), v8)) + uint32(0x4afb0du));
        const uint32 v24 = ((v20 & uint32(0x7fffffu)) + uint32(0x3f3504f3u));
        const float32 v26 = sub(from_bits(v24), 0x1p+0f);
        const float32 v33 = sub(from_bits(((v20 >> 23) + uint32(0x4b000000u))), 0x1.0000fep+23f);
        const float32 v36 = sub(v33, select(v14, 0x1.8p+4f, 0x0p+0f));
        const float32 v38 = mul(v36, 0x1.62e4p-1f);
        const float32 v39 = add(v38, v26);
        const float32 v46 = div(v26, add(v26, 0x1p+1f));
        const float32 v47 = mul(v46, v46);
        const float32 v50 = mul(mul(v26, 0x1p-1f), v26);
        const float32 v60 = mul(mul(v47, v47), add(mul(v47, 0x1.e6587ap-3f), 0x1.242cep-2f));
        const float32 v61 = add(add(mul(v47, 0x1.999a6ap-2f), 0x1.555556p-1f), v60);
        const float32 v66 = sub(mul(v36, 0x1.7f7d1cp-20f), sub(v50, mul(v46, add(v50, mul(v47, v61)))));
        const float32 v68 = add(v39, add(add(sub(v38, v39), v26), v66));
        const bool v72 = less(v10, 0x1p-126f);
        const uint32 v76 = (bits(select(v72, mul(v10, 0x1p+24f), v10)) + uint32(0x4afb0du));
        const uint32 v78 = ((v76 & uint32(0x7fffffu)) + uint32(0x3f3504f3u));
        const float32 v80 = sub(from_bits(v78), 0x1p+0f);
        const float32 v84 = sub(from_bits(((v76 >> 23) + uint32(0x4b000000u))), 0x1.0000fep+23f);
        const float32 v86 = sub(v84, select(v72, 0x1.8p+4f, 0x0p+0f));
        const float32 v87 = mul(v86, 0x1.62e4p-1f);
        const float32 v88 = add(v87, v80);
        const float32 v93 = div(v80, add(v80, 0x1p+1f));
        const float32 v94 = mul(v93, v93);
        const float32 v96 = mul(mul(v80, 0x1p-1f), v80);
        const float32 v102 = mul(mul(v94, v94), add(mul(v94, 0x1.e6587ap-3f), 0x1.242cep-2f));
        const float32 v103 = add(add(mul(v94, 0x1.999a6ap-2f), 0x1.555556p-1f), v102);
        const float32 v108 = sub(mul(v86, 0x1.7f7d1cp-20f), sub(v96, mul(v93, add(v96, mul(v94, v103)))));
        const float32 v111 = add(add(v88, add(add(sub(v87, v88), v80), v108)), add(sub(0x1p+0f, v10), v9));
        const float32 v113 = select(less(v111, -0x1.9p+6f), -0x1.9p+6f, v111);
        const float32 v114 = mul(t, select(less(v68, -0x1.9p+6f), -0x1.9p+6f, v68));
        return sub(0x0p+0f, add(v114, mul(sub(0x1p+0f, t), v113)));
    }
    DEVICE float64 of(float64 p, float64 t) {
        const float64 v4 = select(less(p, 0x0p+0), 0x0p+0, p);
        const float64 v8 = add(select(less(0x1p+0, v4), 0x1p+0, v4), 0x0p+0);
        const float64 v9 = sub(0x0p+0, v8);
        const float64 v10 = add(v9, 0x1p+0);
        const bool v14 = less(v8, 0x1p-1022);
        const uint64 v20 = (bits(select(v14, mul(v8, 0x1p+53), v8)) + uint64(0x95f619980c433ull));
        const uint64 v24 = ((v20 & uint64(0xfffffffffffffull)) + uint64(0x3fe6a09e667f3bcdull));
        const float64 v26 = sub(from_bits(v24), 0x1p+0);
        const float64 v31 = from_bits(((v20 >> 52) + uint64(0x4330000000000000ull)));
        const float64 v36 = sub(sub(v31, 0x1.00000000003ffp+52), select(v14, 0x1.a8p+5, 0x0p+0));
        const float64 v38 = mul(v36, 0x1.62e42fefa38p-1);
        const float64 v39 = add(v38, v26);
        const float64 v46 = div(v26, add(v26, 0x1p+1));
        const float64 v47 = mul(v46, v46);
        const float64 v50 = mul(mul(v26, 0x1p-1), v26);
        const float64 v54 = add(mul(v47, 0x1.9999999999f17p-2), 0x1.5555555555555p-1);
        const float64 v58 = add(mul(v47, 0x1.c71c72df580fcp-3), 0x1.24924923de6edp-2);
        const float64 v62 = add(mul(v47, 0x1.3b29d0452d426p-3), 0x1.745cac43cc003p-3);
        const float64 v66 = add(mul(v47, 0x1.169c38cc826bep-3), 0x1.0e8c55b42945fp-3);
        const float64 v67 = mul(v47, v47);
        const float64 v74 = add(add(v54, mul(v67, v58)), mul(mul(v67, v67), add(v62, mul(v67, v66))));
        const float64 v79 = sub(mul(v36, 0x1.ef35793c7673p-45), sub(v50, mul(v46, add(v50, mul(v47, v74)))));
        const float64 v81 = add(v39, add(add(sub(v38, v39), v26), v79));
        const bool v85 = less(v10, 0x1p-1022);
        const uint64 v89 = (bits(select(v85, mul(v10, 0x1p+53), v10)) + uint64(0x95f619980c433ull));
        const uint64 v91 = ((v89 & uint64(0xfffffffffffffull)) + uint64(0x3fe6a09e667f3bcdull));
        const float64 v93 = sub(from_bits(v91), 0x1p+0);
        const float64 v96 = from_bits(((v89 >> 52) + uint64(0x4330000000000000ull)));
        const float64 v99 = sub(sub(v96, 0x1.00000000003ffp+52), select(v85, 0x1.a8p+5, 0x0p+0));
        const float64 v100 = mul(v99, 0x1.62e42fefa38p-1);
        const float64 v101 = add(v100, v93);
        const float64 v106 = div(v93, add(v93, 0x1p+1));
        const float64 v107 = mul(v106, v106);
        const float64 v109 = mul(mul(v93, 0x1p-1), v93);
        const float64 v111 = add(mul(v107, 0x1.9999999999f17p-2), 0x1.5555555555555p-1);
        const float64 v113 = add(mul(v107, 0x1.c71c72df580fcp-3), 0x1.24924923de6edp-2);
        const float64 v115 = add(mul(v107, 0x1.3b29d0452d426p-3), 0x1.745cac43cc003p-3);
        const float64 v117 = add(mul(v107, 0x1.169c38cc826bep-3), 0x1.0e8c55b42945fp-3);
        const float64 v118 = mul(v107, v107);
        const float64 v124 = mul(mul(v118, v118), add(v115, mul(v118, v117)));
        const float64 v126 = mul(v107, add(add(v111, mul(v118, v113)), v124));
        const float64 v130 = sub(mul(v99, 0x1.ef35793c7673p-45), sub(v109, mul(v106, add(v109, v126))));
        const float64 v132 = add(v101, add(add(sub(v100, v101), v93), v130));
        const float64 v133 = add(v132, add(sub(0x1p+0, v10), v9));
        const float64 v136 = mul(t, select(less(v81, -0x1.9p+6), -0x1.9p+6, v81));
        const float64 v138 = mul(sub(0x1p+0, t), select(less(v133, -0x1.9p+6), -0x1.9p+6, v133));
        return sub(0x0p+0, add(v136, v138));
    }
    DEVICE float32 derivative(float32 p, float32 t) {
        const float32 v4 = select(less(p, 0x0p+0f), 0x0p+0f, p);
        const float32 v7 = select(less(0x1p+0f, v4), 0x1p+0f, v4);
        const float32 v10 = mul(sub(0x1p+0f, v7), v7);
        const float32 v13 = select(less(v10, 0x1.197998p-40f), 0x1.197998p-40f, v10);
        return div(sub(v7, t), v13);
    }
    DEVICE float64 derivative(float64 p, float64 t) {
        const float64 v4 = select(less(p, 0x0p+0), 0x0p+0, p);
        const float64 v7 = select(less(0x1p+0, v4), 0x1p+0, v4);
        const float64 v10 = mul(sub(0x1p+0, v7), v7);
        const float64 v13 = select(less(v10, 0x1.19799812dea11p-40), 0x1.19799812dea11p-40, v10);
        return div(sub(v7, t), v13);
    }
};

struct BinaryCrossentropyFromLogits {
    DEVICE float32 of(float32 p, float32 t) {
        const float32 v5 = from_bits((bits(p) & uint32(0x7fffffffu)));
        const float32 v7 = sub(0x0p+0f, v5);
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
        const uint32 v50 = ((bits(v14) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v55 = mul(from_bits((v50 << 23)), 0x1p-64f);
        const float32 v56 = mul(v46, v55);
        const float32 v57 = mul(add(sub(0x1p+0f, v46), v41), v55);
        const bool v58 = less(0x1p-1f, v56);
        const float32 v61 = select(v58, mul(sub(v56, 0x1p+0f), 0x1p-1f), v56);
        const float32 v66 = div(v61, add(v61, 0x1p+1f));
        const float32 v67 = mul(v66, v66);
        const float32 v69 = mul(mul(v61, 0x1p-1f), v61);
        const float32 v79 = mul(mul(v67, v67), add(mul(v67, 0x1.e6587ap-3f), 0x1.242cep-2f));
        const float32 v80 = add(add(mul(v67, 0x1.999a6ap-2f), 0x1.555556p-1f), v79);
        const float32 v85 = select(v58, 0x1.62e4p-1f, 0x0p+0f);
        const float32 v86 = add(v85, v61);
        const float32 v90 = sub(select(v58, 0x1.7f7d1cp-20f, 0x0p+0f), sub(v69, mul(v66, add(v69, mul(v67, v80)))));
        const float32 v92 = add(add(sub(v85, v86), v61), add(v90, select(v58, mul(v57, 0x1p-1f), v57)));
        const float32 v93 = add(v86, v92);
        const float32 v99 = mul(v5, select(less(p, 0x0p+0f), t, sub(0x1p+0f, t)));
        return add(v99, add(v93, add(sub(v86, v93), v92)));
    }
    DEVICE float64 of(float64 p, float64 t) {
        const float64 v5 = from_bits((bits(p) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = sub(0x0p+0, v5);
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
        const uint64 v66 = ((bits(v14) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v71 = mul(from_bits((v66 << 52)), 0x1p-512);
        const float64 v72 = mul(v62, v71);
        const float64 v73 = mul(add(sub(0x1p+0, v62), v57), v71);
        const bool v74 = less(0x1p-1, v72);
        const float64 v77 = select(v74, mul(sub(v72, 0x1p+0), 0x1p-1), v72);
        const float64 v82 = div(v77, add(v77, 0x1p+1));
        const float64 v83 = mul(v82, v82);
        const float64 v85 = mul(mul(v77, 0x1p-1), v77);
        const float64 v89 = add(mul(v83, 0x1.9999999999f17p-2), 0x1.5555555555555p-1);
        const float64 v93 = add(mul(v83, 0x1.c71c72df580fcp-3), 0x1.24924923de6edp-2);
        const float64 v97 = add(mul(v83, 0x1.3b29d0452d426p-3), 0x1.745cac43cc003p-3);
        const float64 v101 = add(mul(v83, 0x1.169c38cc826bep-3), 0x1.0e8c55b42945fp-3);
        const float64 v102 = mul(v83, v83);
        const float64 v108 = mul(mul(v102, v102), add(v97, mul(v102, v101)));
        const float64 v111 = add(v85, mul(v83, add(add(v89, mul(v102, v93)), v108)));
        const float64 v114 = select(v74, 0x1.62e42fefa38p-1, 0x0p+0);
        const float64 v115 = add(v114, v77);
        const float64 v119 = sub(select(v74, 0x1.ef35793c7673p-45, 0x0p+0), sub(v85, mul(v82, v111)));
        const float64 v121 = add(add(sub(v114, v115), v77), add(v119, select(v74, mul(v73, 0x1p-1), v73)));
        const float64 v122 = add(v115, v121);
        const float64 v128 = mul(v5, select(less(p, 0x0p+0), t, sub(0x1p+0, t)));
        return add(v128, add(v122, add(sub(v115, v122), v121)));
    }
    DEVICE float32 derivative(float32 p, float32 t) {
        const float32 v7 = sub(0x0p+0f, from_bits((bits(p) & uint32(0x7fffffffu))));
        const float32 v10 = select(less(v7, -0x1.cf05b6p+6f), -0x1.cf05b6p+6f, v7);
        const float32 v14 = add(mul(v10, 0x1.715476p+0f), 0x1.8p+23f);
        const float32 v15 = sub(v14, 0x1.8p+23f);
        const float32 v21 = sub(sub(v10, mul(v15, 0x1.62e4p-1f)), mul(v15, 0x1.7f7d1cp-20f));
        const float32 v22 = mul(v21, v21);
        const float32 v35 = mul(v22, add(mul(v21, 0x1.1110ep-7f), 0x1.5554e8p-5f));
        const float32 v36 = add(add(mul(v21, 0x1.555556p-3f), 0x1p-1f), v35);
        const float32 v38 = mul(mul(v22, v22), add(mul(v21, 0x1.a1256cp-13f), 0x1.6d43bp-10f));
        const float32 v46 = add(add(v21, mul(v22, add(v36, v38))), 0x1p+0f);
        const uint32 v48 = ((bits(v14) - uint32(0x4b400000u)) + uint32(0xbfu));
        const float32 v54 = mul(mul(v46, from_bits((v48 << 23))), 0x1p-64f);
        const float32 v58 = div(select(less(p, 0x0p+0f), v54, 0x1p+0f), add(v54, 0x1p+0f));
        return sub(v58, t);
    }
    DEVICE float64 derivative(float64 p, float64 t) {
        const float64 v5 = from_bits((bits(p) & uint64(0x7fffffffffffffffull)));
        const float64 v7 = sub(0x0p+0, v5);
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
        const uint64 v64 = ((bits(v14) - uint64(0x4338000000000000ull)) + uint64(0x5ffull));
        const float64 v68 = mul(add(add(v21, mul(v22, v55)), 0x1p+0), from_bits((v64 << 52)));
        const float64 v70 = mul(v68, 0x1p-512);
        const float64 v74 = div(select(less(p, 0x0p+0), v70, 0x1p+0), add(v70, 0x1p+0));
        return sub(v74, t);
    }
};

struct Hinge {
    DEVICE float32 of(float32 p, float32 t) {
        const float32 v4 = sub(0x1p+0f, mul(t, p));
        return select(less(v4, 0x0p+0f), 0x0p+0f, v4);
    }
    DEVICE float64 of(float64 p, float64 t) {
        const float64 v4 = sub(0x1p+0, mul(t, p));
        return select(less(v4, 0x0p+0), 0x0p+0, v4);
    }
    DEVICE float32 derivative(float32 p, float32 t) {
        const float32 v4 = sub(0x1p+0f, mul(t, p));
        return select(less_equal(0x0p+0f, v4), sub(0x0p+0f, t), select(less(v4, 0x0p+0f), 0x0p+0f, v4));
    }
    DEVICE float64 derivative(float64 p, float64 t) {
        const float64 v4 = sub(0x1p+0, mul(t, p));
        return select(less_equal(0x0p+0, v4), sub(0x0p+0, t), select(less(v4, 0x0p+0), 0x0p+0, v4));
    }
};

struct Poisson {
    DEVICE float32 of(float32 p, float32 t) {
        const float32 v3 = add(p, 0x1.ad7f2ap-24f);
        const float32 v9 = div(0x1p+0f, from_bits((bits(v3) & uint32(0x7fffffffu))));
        const float32 v13 = sub(v3, v3);
        const float32 v15 = select(less(v3, 0x0p+0f), div(v13, v13), sub(0x0p+0f, v9));
        const bool v18 = less(v3, 0x1p-126f);
        const uint32 v24 = (bits(select(v18, mul(v3, 0x1p+24f), v3)) + uint32(0x4afb0du));
        const uint32 v28 = ((v24 & uint32(0x7fffffu)) + uint32(0x3f3504f3u));
        const float32 v30 = sub(from_bits(v28), 0x1p+0f);
        const float32 v37 = sub(from_bits(((v24 >> 23) + uint32(0x4b000000u))), 0x1.0000fep+23f);
        const float32 v40 = sub(v37, select(v18, 0x1.8p+4f, 0x0p+0f));
        const float32 v42 = mul(v40, 0x1.62e4p-1f);
        const float32 v43 = add(v42, v30);
        const float32 v50 = div(v30, add(v30, 0x1p+1f));
        const float32 v51 = mul(v50, v50);
        const float32 v54 = mul(mul(v30, 0x1p-1f), v30);
        const float32 v64 = mul(mul(v51, v51), add(mul(v51, 0x1.e6587ap-3f), 0x1.242cep-2f));
        const float32 v65 = add(add(mul(v51, 0x1.999a6ap-2f), 0x1.555556p-1f), v64);
        const float32 v70 = sub(mul(v40, 0x1.7f7d1cp-20f), sub(v54, mul(v50, add(v54, mul(v51, v65)))));
        const float32 v73 = select(less(0x0p+0f, v3), add(v43, add(add(sub(v42, v43), v30), v70)), v15);
        const float32 v76 = select(less_equal(v3, 0x1.fffffep+127f), v73, v3);
        return sub(p, mul(t, v76));
    }
    DEVICE float64 of(float64 p, float64 t) {
        const float64 v3 = add(p, 0x1.ad7f29abcaf48p-24);
        const float64 v7 = from_bits((bits(v3) & uint64(0x7fffffffffffffffull)));
        const float64 v13 = sub(v3, v3);
        const float64 v15 = select(less(v3, 0x0p+0), div(v13, v13), sub(0x0p+0, div(0x1p+0, v7)));
        const bool v18 = less(v3, 0x1p-1022);
        const uint64 v24 = (bits(select(v18, mul(v3, 0x1p+53), v3)) + uint64(0x95f619980c433ull));
        const uint64 v28 = ((v24 & uint64(0xfffffffffffffull)) + uint64(0x3fe6a09e667f3bcdull));
        const float64 v30 = sub(from_bits(v28), 0x1p+0);
        const float64 v35 = from_bits(((v24 >> 52) + uint64(0x4330000000000000ull)));
        const float64 v40 = sub(sub(v35, 0x1.00000000003ffp+52), select(v18, 0x1.a8p+5, 0x0p+0));
        const float64 v42 = mul(v40, 0x1.62e42fefa38p-1);
        const float64 v43 = add(v42, v30);
        const float64 v50 = div(v30, add(v30, 0x1p+1));
        const float64 v51 = mul(v50, v50);
        const float64 v54 = mul(mul(v30, 0x1p-1), v30);
        const float64 v58 = add(mul(v51, 0x1.9999999999f17p-2), 0x1.5555555555555p-1);
        const float64 v62 = add(mul(v51, 0x1.c71c72df580fcp-3), 0x1.24924923de6edp-2);
        const float64 v66 = add(mul(v51, 0x1.3b29d0452d426p-3), 0x1.745cac43cc003p-3);
        const float64 v70 = add(mul(v51, 0x1.169c38cc826bep-3), 0x1.0e8c55b42945fp-3);
        const float64 v71 = mul(v51, v51);
        const float64 v78 = add(add(v58, mul(v71, v62)), mul(mul(v71, v71), add(v66, mul(v71, v70))));
        const float64 v83 = sub(mul(v40, 0x1.ef35793c7673p-45), sub(v54, mul(v50, add(v54, mul(v51, v78)))));
        const float64 v86 = select(less(0x0p+0, v3), add(v43, add(add(sub(v42, v43), v30), v83)), v15);
        const float64 v89 = select(less_equal(v3, 0x1.fffffffffffffp+1023), v86, v3);
        return sub(p, mul(t, v89));
    }
    DEVICE float32 derivative(float32 p, float32 t) {
        return sub(0x1p+0f, div(t, add(p, 0x1.ad7f2ap-24f)));
    }
    DEVICE float64 derivative(float64 p, float64 t) {
        return sub(0x1p+0, div(t, add(p, 0x1.ad7f29abcaf48p-24)));
    }
};

struct Product {
    DEVICE float32 of(float32 p, float32 t) {
        return mul(p, t);
    }
    DEVICE float64 of(float64 p, float64 t) {
        return mul(p, t);
    }
    DEVICE float32 derivative(float32, float32 t) {
        return t;
    }
    DEVICE float64 derivative(float64, float64 t) {
        return t;
    }
};
