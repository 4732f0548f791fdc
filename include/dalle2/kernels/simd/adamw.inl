// The optimiser's step. Included inside a namespace and a target region.

template <class A>
double sum_of_squares(int64 n, const A* x) {
    constexpr int chains = 4;  // so many sums at once, as one waits for itself
    vf sums[chains];
    for (vf& sum : sums) sum = zero();
    int64 i = 0;
    for (; i + chains * lanes <= n; i += chains * lanes)
        DALLE2_UNROLL for (int chain = 0; chain < chains; ++chain) {
            const vf a = load(x + i + chain * lanes);
            sums[chain] = fma(a, a, sums[chain]);
        }
    for (; i < n; i += lanes) {
        const vf a = load(x + i, Left{n - i});
        sums[0] = fma(a, a, sums[0]);
    }
    return static_cast<double>(sum((sums[0] + sums[1]) + (sums[2] + sums[3])));
}

template <class A>
void adamw(const AdamwStep<A>& s, int64 n, const A* gradient, const AdamwState<A>& to) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA {
        const vf g = load(gradient + i, left) * set1(s.gradient_scale);
        const vf m = fma(set1(s.beta1), load(to.first_moment + i, left), set1(1 - s.beta1) * g);
        const vf v = fma(set1(s.beta2), load(to.second_moment + i, left), set1(1 - s.beta2) * g * g);
        const vf change = m * set1(s.learning_rate * s.correction1) / (sqrt(v * set1(s.correction2)) + set1(s.epsilon));
        const vf value = set1(s.decay_factor) * load(to.value + i, left) - change;
        const vf average = fma(set1(s.average_decay), load(to.average + i, left), set1(1 - s.average_decay) * value);
        store(to.first_moment + i, m, left);
        store(to.second_moment + i, v, left);
        store(to.value + i, value, left);
        store(to.average + i, average, left);
    });
}
