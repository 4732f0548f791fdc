// Group and layer normalisation. Included inside a namespace and a target region.

// sums[c] = Σ over pixels of (x - center[c])^power, power 1 (without center) or 2, for `Vectors` vectors of channels from x on.
template <class T, int power, int Vectors>
DALLE2_INLINE void moments_of_vectors(int64 pixels, int64 channels, const T* x, const float* center, float* sums, Left left) {
    vf middle[Vectors], even[Vectors], odd[Vectors];
    DALLE2_UNROLL for (int v = 0; v < Vectors; ++v) {
        middle[v] = power == 2 ? load(center + v * lanes, left) : zero();
        even[v] = odd[v] = zero();
    }
    const auto add = [&](const T* at, vf(&to)[Vectors]) DALLE2_LAMBDA {
        DALLE2_UNROLL for (int v = 0; v < Vectors; ++v) {
            const vf d = load(at + v * lanes, left) - middle[v];
            to[v] = power == 2 ? fma(d, d, to[v]) : to[v] + d;
        }
    };
    int64 pixel = 0;
    for (; pixel + 2 <= pixels; pixel += 2, x += 2 * channels) {
        add(x, even);
        add(x + channels, odd);
    }
    if (pixel < pixels) add(x, even);
    DALLE2_UNROLL for (int v = 0; v < Vectors; ++v) store(sums + v * lanes, even[v] + odd[v], left);
}

// The same for all channels: a few vectors of each pixel at a time, so that memory is read by lines. x [pixels, channels]
template <class T, int power>
DALLE2_INLINE void channel_moments(int64 pixels, int64 channels, const T* x, const float* center, float* sums) {
    constexpr int together = 4;
    const auto center_at = [&](int64 c) DALLE2_LAMBDA { return center == nullptr ? nullptr : center + c; };
    int64 c = 0;
    for (; c + together * lanes <= channels; c += together * lanes)
        moments_of_vectors<T, power, together>(pixels, channels, x + c, center_at(c), sums + c, {lanes});
    for (; c < channels; c += lanes)
        moments_of_vectors<T, power, 1>(pixels, channels, x + c, center_at(c), sums + c, {channels - c});
}
template <class T>
void channel_sums(int64 pixels, int64 channels, const T* x, float* sums) {
    channel_moments<T, 1>(pixels, channels, x, nullptr, sums);
}
template <class T>
void channel_squares(int64 pixels, int64 channels, const T* x, const float* center, float* sums) {
    channel_moments<T, 2>(pixels, channels, x, center, sums);
}

// y = activation(x · factor + offset) per channel
template <class T, Activation kind>
DALLE2_INLINE void affine_as(int64 pixels, int64 channels, const T* x, const float* factor, const float* offset, T* y) {
    for (int64 pixel = 0; pixel < pixels; ++pixel) {
        const T* from = x + pixel * channels;
        T* to = y + pixel * channels;
        for_vectors(channels, [=](int64 c, Left left) DALLE2_LAMBDA {
            const vf value = fma(load(from + c, left), load(factor + c, left), load(offset + c, left));
            store(to + c, activated<kind, T>(value), left);
        });
    }
}
template <class T>
void affine(Activation kind, int64 pixels, int64 channels, const T* x, const float* factor, const float* offset, T* y) {
    switch (kind) {
        case Activation::none: return affine_as<T, Activation::none>(pixels, channels, x, factor, offset, y);
        case Activation::silu: return affine_as<T, Activation::silu>(pixels, channels, x, factor, offset, y);
        case Activation::gelu: return affine_as<T, Activation::gelu>(pixels, channels, x, factor, offset, y);
        case Activation::quick_gelu:
            return affine_as<T, Activation::quick_gelu>(pixels, channels, x, factor, offset, y);
    }
}

// dz = dy · activation'(x · factor + offset), Σ dz and Σ dz·(x - center) per channel over the pixels
template <class T, Activation kind>
DALLE2_INLINE void affine_backward_as(const NormPiece<T>& p) {
    for_vectors(p.channels, [&p](int64 c, Left left) DALLE2_LAMBDA {
        const int64 channels = p.channels;
        const T *x = p.x + c, *dy = p.dy + c;
        float* dz = p.dz + c;
        const vf factor = load(p.factor + c, left), offset = load(p.offset + c, left),
                 center = load(p.center + c, left);
        vf sum = zero(), product = zero();
        for (int64 pixel = 0; pixel < p.pixels; ++pixel) {
            const vf value = load(x + pixel * channels, left);
            vf d = load(dy + pixel * channels, left);
            if constexpr (kind != Activation::none) d = d * slope<kind>(fma(value, factor, offset));
            store(dz + pixel * channels, d, left);
            sum = sum + d;
            product = fma(d, value - center, product);
        }
        store(p.sums + c, sum, left);
        store(p.products + c, product, left);
    });
}
template <class T>
void affine_backward(Activation kind, const NormPiece<T>& p) {
    switch (kind) {
        case Activation::none: return affine_backward_as<T, Activation::none>(p);
        case Activation::silu: return affine_backward_as<T, Activation::silu>(p);
        case Activation::gelu: return affine_backward_as<T, Activation::gelu>(p);
        case Activation::quick_gelu: return affine_backward_as<T, Activation::quick_gelu>(p);
    }
}

// dx = dz · a + (x - center) · b + c per channel
template <class T>
void norm_input_gradient(int64 pixels, int64 channels, const float* dz, const T* x, const float* center, const float* a,
                         const float* b, const float* c, T* dx) {
    for (int64 pixel = 0; pixel < pixels; ++pixel) {
        const int64 first = pixel * channels;
        for_vectors(channels, [=](int64 i, Left left) DALLE2_LAMBDA {
            const vf d = fma(load(dz + first + i, left), load(a + i, left), load(c + i, left));
            const vf centered = load(x + first + i, left) - load(center + i, left);
            store(dx + first + i, fma(centered, load(b + i, left), d), left);
        });
    }
}

// Some rows of a layer norm.
template <class T>
void layer_norm(int64 rows, int64 width, float epsilon, const T* x, const float* factor, const float* shift, T* y,
                float* mean, float* inverse_deviation) {
    for (int64 row = 0; row < rows; ++row, x += width, y += width) {
        vf total = zero();
        for_vectors(width, [&](int64 i, Left left) DALLE2_LAMBDA { total = total + load(x + i, left); });
        const float center = sum(total) / static_cast<float>(width);
        const vf middle = set1(center);
        vf squares = zero();
        int64 i = 0;
        for (; i + lanes <= width; i += lanes) {
            const vf d = load(x + i) - middle;
            squares = fma(d, d, squares);
        }
        float last = 0;  // the lanes beyond a short last vector are not zero after centering
        for (; i < width; ++i) {
            const float d = static_cast<float>(x[i]) - center;
            last += d * d;
        }
        const float inverse = 1.0f / __builtin_sqrtf((sum(squares) + last) / static_cast<float>(width) + epsilon);
        if (mean) mean[row] = center;
        if (inverse_deviation) inverse_deviation[row] = inverse;
        const vf scaled = set1(inverse);
        for_vectors(width, [=](int64 k, Left left) DALLE2_LAMBDA {
            store(y + k, fma((load(x + k, left) - middle) * scaled, load(factor + k, left), load(shift + k, left)),
                  left);
        });
    }
}

// Some rows; dscale and dshift [width] are overwritten with these rows' sums.
template <class T>
void layer_norm_backward(int64 rows, int64 width, const T* x, const float* factor, const float* mean,
                         const float* inverse_deviation, const T* dy, T* dx, float* dscale, float* dshift) {
    clear(dscale, width);
    clear(dshift, width);
    for (int64 row = 0; row < rows; ++row, x += width, dy += width, dx += width) {
        const vf middle = set1(mean[row]), inverse = set1(inverse_deviation[row]);
        vf total = zero(), product = zero();
        for_vectors(width, [&](int64 i, Left left) DALLE2_LAMBDA {
            const vf gradient = load(dy + i, left), normalized = (load(x + i, left) - middle) * inverse;
            const vf d = gradient * load(factor + i, left);
            total = total + d;
            product = fma(d, normalized, product);
            store(dscale + i, fma(gradient, normalized, load(dscale + i, left)), left);
            store(dshift + i, gradient + load(dshift + i, left), left);
        });
        const vf average = set1(sum(total) / static_cast<float>(width)),
                 correlation = set1(sum(product) / static_cast<float>(width));
        for_vectors(width, [=](int64 i, Left left) DALLE2_LAMBDA {
            const vf normalized = (load(x + i, left) - middle) * inverse;
            const vf d = load(dy + i, left) * load(factor + i, left) - average;
            store(dx + i, (d - normalized * correlation) * inverse, left);
        });
    }
}
