// The loss of a network's outputs at a sample, and its slopes, from the sums z of its last layer.
#pragma once
#include "losses.cuh"
#include "networks.cuh"

// A loss of all outputs together; other losses are of one output each.
template <typename Loss> struct Together;

// Takes WIDTH outputs at once: returns the loss of their predictions, and overwrites their sums
// with the slopes.
template <typename Loss, typename Activation, typename Derivative, int WIDTH_> struct OutputLoss {
    static constexpr int WIDTH = WIDTH_;
    static_assert(WIDTH == 1, "one output after the other");
    template <typename T> DEVICE T of(T *z, const T *target, float64 parameter) {
        const T prediction = activated<Activation>(*z, parameter);
        *z = Chained<Derivative>::of(Loss::derivative(prediction, *target), *z, parameter);
        return Loss::of(prediction, *target);
    }
};
template <typename Loss, typename Activation, typename Derivative, int WIDTH_>
struct OutputLoss<Together<Loss>, Activation, Derivative, WIDTH_> {
    static constexpr int WIDTH = WIDTH_;
    template <typename T> DEVICE T of(T *z, const T *target, float64 parameter) {
        T predictions[WIDTH], found[1 + WIDTH];
#pragma unroll
        for (int k = 0; k < WIDTH; ++k) predictions[k] = activated<Activation>(z[k], parameter);
        Loss::of(predictions, *target, found);
#pragma unroll
        for (int k = 0; k < WIDTH; ++k)
            z[k] = Chained<Derivative>::of(found[1 + k], z[k], parameter);
        return found[0];
    }
};

// The operands of a loss. `Targets` and `Factor` say how they are read.
struct LossOperands {
    Tensor targets;
    Tensor factor;  // over samples; null: 1
};

// Computes the loss of a sample of a network from the sums of its OUT outputs, which become slopes;
// returns the term of the loss.
template <typename OutputLoss, typename Targets, typename Factor, int OUT, typename T>
DEVICE T loss_of_sample(const LossOperands &p, T (&z)[OUT], int64 n, int64 b, int64 s,
                        float64 parameter) {
    T term = T(), factor = T(1);
    if (p.factor.data) factor = number_at<T, Factor>(p.factor, p.factor.at(0, b, 0, 0));
#pragma unroll
    for (int k = 0; k < OUT; k += OutputLoss::WIDTH) {
        const T target = number_at<T, Targets>(p.targets, p.targets.at(n, b, s, k));
        const T loss = OutputLoss::of(z + k, &target, parameter);
        term = k ? add(term, loss) : loss;
    }
    if (!p.factor.data) return term;
#pragma unroll
    for (int k = 0; k < OUT; ++k) z[k] = mul(z[k], factor);
    return mul(term, factor);
}
