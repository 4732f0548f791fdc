// Exponentials and activation functions. Included inside a namespace and a target region.

// e^x to about one unit in the last place; 0 below -87.33, where results would be denormal; 2.4e38 above
// 88.37. The polynomials here are least-squares fits of the relative error at Chebyshev points.
DALLE2_INLINE vf exp(vf x) {
    const vf lowest = set1(-87.33f);
    const vf clamped = min(set1(88.37f), max(lowest, x));
    const vf n = round_to_integer(clamped * set1(1.44269504f));
    // ln 2 in two parts, so that the remainder keeps its digits.
    const vf r = fma(n, set1(2.12194440e-4f), fma(n, set1(-0.693359375f), clamped));
    vf p = set1(1.381314592e-03f);
    p = fma(p, r, set1(8.369418792e-03f));
    p = fma(p, r, set1(4.166845605e-02f));
    p = fma(p, r, set1(1.666651517e-01f));
    p = fma(p, r, set1(4.999999404e-01f));
    return zero_where_less(x, lowest, scale_by_power(fma(p, r * r, r + set1(1.0f)), n));
}

// 2^x for x ≤ 126, and beyond where scale_by_power goes beyond, as exactly as T can tell: to one unit in the last place of a
// float, or to a twentieth of one of a bfloat16. 0 where the result would be denormal.
template <class T>
DALLE2_INLINE vf power_of_two(vf x) {
    const vf lowest = set1(scales_beyond ? -200.0f : -126.0f);
    const vf clamped = max(lowest, x);
    const vf n = round_to_integer(clamped);
    const vf r = clamped - n;
    vf p;
    if constexpr (sizeof(T) == 2) {
        p = fma(set1(5.508868396e-02f), r, set1(2.426040471e-01f));
        p = fma(p, r, set1(6.932762265e-01f));
        p = fma(p, r, set1(9.999289513e-01f));
    } else {
        p = fma(set1(1.537070493e-04f), r, set1(1.339984825e-03f));
        p = fma(p, r, set1(9.618373588e-03f));
        p = fma(p, r, set1(5.550329015e-02f));
        p = fma(p, r, set1(2.402264774e-01f));
        p = fma(p, r, set1(6.931471825e-01f));
        p = fma(p, r, set1(1.0f));
    }
    const vf scaled = scale_by_power(p, n);
    if constexpr (scales_beyond) return scaled;
    return zero_where_less(x, lowest, scaled);
}

// As exactly as T can tell.
template <class T>
DALLE2_INLINE vf sigmoid(vf x) {
    if constexpr (sizeof(T) == 2) {
        const vf power = x * set1(-1.44269504f);
        return near_reciprocal(set1(1.0f) + power_of_two<T>(scales_beyond ? power : min(set1(126.0f), power)));
    } else {
        return set1(1.0f) / (set1(1.0f) + exp(zero() - x));
    }
}

// Φ(x) and e^(-x²/2). The tail is Φ(-z) = e^(-z²/2)·t·P(t), t = 1/(1 + 0.3 z/√2), so it keeps its digits.
struct Normal {
    vf cumulative, exponential;
};
DALLE2_INLINE Normal normal(vf x) {
    const vf z = min(abs(x), set1(13.0f));
    const vf exponential = exp(z * z * set1(-0.5f));
    const vf t = set1(1.0f) / fma(z, set1(0.3f * 0.70710678f), set1(1.0f));
    vf p = set1(-1.295228601e-01f);
    p = fma(p, t, set1(4.855630398e-01f));
    p = fma(p, t, set1(-5.122777820e-01f));
    p = fma(p, t, set1(5.477197170e-01f));
    p = fma(p, t, set1(-9.465055913e-02f));
    p = fma(p, t, set1(2.149260044e-01f));
    p = fma(p, t, set1(1.483391821e-01f));
    p = fma(p, t, set1(1.707152277e-01f));
    p = fma(p, t, set1(1.691880077e-01f));
    const vf tail = set1(0.5f) * p * t * exponential;
    return {other_where_negative(x, set1(1.0f) - tail, tail), exponential};
}

// Sigmoids as exactly as T can tell.
template <Activation kind, class T>
DALLE2_INLINE vf activated(vf x) {
    if constexpr (kind == Activation::silu) return x * sigmoid<T>(x);
    if constexpr (kind == Activation::quick_gelu) return x * sigmoid<T>(x * set1(1.702f));
    if constexpr (kind == Activation::gelu) return x * normal(x).cumulative;
    return x;
}

// d activated(x) / dx
template <Activation kind>
DALLE2_INLINE vf slope(vf x) {
    if constexpr (kind == Activation::silu || kind == Activation::quick_gelu) {
        const vf steep = set1(kind == Activation::silu ? 1.0f : 1.702f), s = sigmoid<float>(x * steep);
        return s * fma(steep * x, set1(1.0f) - s, set1(1.0f));
    }
    if constexpr (kind == Activation::gelu) {
        const Normal n = normal(x);
        return fma(x, n.exponential * set1(0.39894228f), n.cumulative);
    }
    return set1(1.0f);
}
