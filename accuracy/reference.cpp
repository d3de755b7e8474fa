// The true values of the activations and of their derivatives, and how far results are from them.
//
// A float is judged in double, and a double in __float128. The formulas keep their relative
// accuracy down to the smallest subnormal result: the truth is off by less than 1e-4 ulp of it.
#include <math.h>
#include <quadmath.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <limits>

using Quad = __float128;
static Quad exp(Quad x) { return expq(x); }
static Quad expm1(Quad x) { return expm1q(x); }
static Quad log1p(Quad x) { return log1pq(x); }
static Quad erfc(Quad x) { return erfcq(x); }
static Quad tanh(Quad x) { return tanhq(x); }
static Quad cosh(Quad x) { return coshq(x); }
static Quad fabs(Quad x) { return fabsq(x); }
static Quad ldexp(Quad x, int exponent) { return ldexpq(x, exponent); }
static int ilogb(Quad x) { return ilogbq(x); }

template <class Real> const Real root_half = M_SQRT1_2q;
template <class Real> const Real root_2_over_pi = M_2_SQRTPIq * M_SQRT1_2q;
template <class Real> const Real cubic = 0.044715Q;
template <class Real> const Real scale = 1.0507009873554804934193349852946Q;
template <class Real> const Real alpha = 1.6732632423543772848170429916717Q;

template <class Real> Real square(Real x) { return x * x; }

// Where exp(-x) overflows, the quotient is 0, as it should be.
template <class Real> Real sigmoid(Real x) { return 1 / (1 + exp(-x)); }

// gelu_tanh(x) is x * sigmoid(inner(x)), in which nothing cancels.
template <class Real> Real inner(Real x) {
    return 2 * root_2_over_pi<Real> * (x + cubic<Real> * x * x * x);
}
template <class Real> Real inner_slope(Real x) {
    return 2 * root_2_over_pi<Real> * (1 + 3 * cubic<Real> * x * x);
}

template <class Real> struct Activation {
    using Function = Real(Real x, Real a);  // a is the parameter of those that have one
    const char *name;
    Function *value, *derivative;
};

#define F(expression) [](Real x, Real a) -> Real { return expression; }

template <class Real> const Activation<Real> *find(const char *name) {
    static const Activation<Real> activations[] = {
        {"linear", F(x), F(1)},
        {"relu", F(x > 0 ? x : 0), F(x > 0)},
        {"relu6", F(std::clamp(x, Real(0), Real(6))), F(0 < x && x < 6)},
        {"leaky_relu", F(x > 0 ? x : a * x), F(x > 0 ? 1 : a)},
        {"elu", F(x > 0 ? x : a * expm1(x)), F(x > 0 ? 1 : a * exp(x))},
        {"selu", F(scale<Real> * (x > 0 ? x : alpha<Real> * expm1(x))),
                 F(scale<Real> * (x > 0 ? 1 : alpha<Real> * exp(x)))},
        {"softsign", F(x / (1 + fabs(x))), F(1 / square(1 + fabs(x)))},
        {"hard_sigmoid", F(std::clamp(x + 3, Real(0), Real(6)) / 6),
                         F(fabs(x) < 3 ? Real(1) / 6 : 0)},
        {"hard_tanh", F(std::clamp(x, Real(-1), Real(1))), F(fabs(x) < 1)},
        {"sigmoid", F(sigmoid(x)), F(sigmoid(x) * sigmoid(-x))},
        {"tanh", F(tanh(x)), F(1 / square(cosh(x)))},
        {"exponential", F(exp(x)), F(exp(x))},
        {"softplus", F(std::max(x, Real(0)) + log1p(exp(-fabs(x)))), F(sigmoid(x))},
        {"silu", F(x * sigmoid(x)), F(sigmoid(x) * (1 + x * sigmoid(-x)))},
        {"gelu", F(x * erfc(-x * root_half<Real>) / 2),
                 F((erfc(-x * root_half<Real>) + root_2_over_pi<Real> * x * exp(-x * x / 2)) / 2)},
        {"gelu_tanh", F(x * sigmoid(inner(x))),
                      F(sigmoid(inner(x)) * (1 + x * sigmoid(-inner(x)) * inner_slope(x)))},
    };
    for (const auto &activation : activations)
        if (!std::strcmp(activation.name, name)) return &activation;
    return nullptr;
}

struct Error {
    double ulp, x, y;
};

// The largest errors and the first result that is wrong in kind, and how many were and were judged.
struct Result {
    Error normal, subnormal, wrong;
    int64_t n_wrong, n;
};

// Whether y is NaN, infinite or 0 and must not be, or is not infinite and must be.
template <class T, class Real> bool is_wrong(T y, Real truth, bool derivative) {
    const T rounded = truth;
    if (isnan(y) || isinf(y) || isinf(rounded)) return y != rounded;
    return y == 0 && !derivative && fabs(truth) >= std::numeric_limits<T>::denorm_min();
}

// The errors of values are in ulp of the truth, or of the smallest normal number where that is
// larger; those of derivatives are in ulp of the truth or of 1/4.
template <class T, class Real>
bool judge(const char *name, bool derivative, T parameter, const T *x, const T *y, int64_t n,
           Result *result) {
    using Limits = std::numeric_limits<T>;
    const auto *activation = find<Real>(name);
    if (!activation) return false;
    const auto function = derivative ? activation->derivative : activation->value;
    const Real least = derivative ? T(0.25) : Limits::min();

    result->n += n;
    for (int64_t i = 0; i < n; ++i) {
        // In place of infinity a number at which all limits are reached, and of which 0 times is 0.
        const Real wide = isinf(x[i]) ? Real(copysign(Limits::max(), x[i])) * Limits::max() : x[i];
        const Real truth = function(wide, parameter), size = fabs(truth);
        if (isnan(x[i]) ? !isnan(y[i]) : is_wrong(y[i], truth, derivative)) {
            if (!result->n_wrong++) result->wrong = {NAN, x[i], y[i]};
        } else if (isfinite(y[i])) {
            const int exponent = ilogb(std::max(size, least));
            const double ulp = ldexp(y[i] - truth, Limits::digits - 1 - exponent);
            const bool is_subnormal = size < Limits::min() && !derivative;
            Error &largest = is_subnormal ? result->subnormal : result->normal;
            if (fabs(ulp) > fabs(largest.ulp)) largest = {ulp, x[i], y[i]};
        }
    }
    return true;
}

extern "C" {
bool judge_float32(const char *name, bool derivative, float parameter, const float *x,
                   const float *y, int64_t n, Result *result) {
    return judge<float, double>(name, derivative, parameter, x, y, n, result);
}

bool judge_float64(const char *name, bool derivative, double parameter, const double *x,
                   const double *y, int64_t n, Result *result) {
    return judge<double, Quad>(name, derivative, parameter, x, y, n, result);
}
}
