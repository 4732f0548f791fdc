// Element-wise operations on pieces of arrays. Included inside a namespace and a target region.

// Calls body(i, left) for each vector of [0, n).
template <class Body>
DALLE2_INLINE void for_vectors(int64 n, const Body& body) {
    for (int64 i = 0; i < n; i += lanes) body(i, Left{n - i});
}

template <class T>
void add(int64 n, const T* a, const T* b, T* y) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA { store(y + i, load(a + i, left) + load(b + i, left), left); });
}

template <class T>
void scale(int64 n, float factor, const T* x, T* y) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA { store(y + i, load(x + i, left) * set1(factor), left); });
}

template <class T, Activation kind>
DALLE2_INLINE void activate_as(int64 n, const T* x, T* y) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA { store(y + i, activated<kind, T>(load(x + i, left)), left); });
}
template <class T>
void activate(Activation kind, int64 n, const T* x, T* y) {
    switch (kind) {
        case Activation::none: return activate_as<T, Activation::none>(n, x, y);
        case Activation::silu: return activate_as<T, Activation::silu>(n, x, y);
        case Activation::gelu: return activate_as<T, Activation::gelu>(n, x, y);
        case Activation::quick_gelu: return activate_as<T, Activation::quick_gelu>(n, x, y);
    }
}

// n numbers of each row, `stride` apart, where they are
template <class T, Activation kind>
DALLE2_INLINE void activate_rows_as(int64 rows, int64 n, int64 stride, T* y) {
    for (int64 row = 0; row < rows; ++row, y += stride) activate_as<T, kind>(n, y, y);
}
template <class T>
void activate_rows(Activation kind, int64 rows, int64 n, int64 stride, T* y) {
    switch (kind) {
        case Activation::none: return;
        case Activation::silu: return activate_rows_as<T, Activation::silu>(rows, n, stride, y);
        case Activation::gelu: return activate_rows_as<T, Activation::gelu>(rows, n, stride, y);
        case Activation::quick_gelu: return activate_rows_as<T, Activation::quick_gelu>(rows, n, stride, y);
    }
}

template <class T, Activation kind>
DALLE2_INLINE void activate_backward_as(int64 n, const T* x, const T* dy, T* dx) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA {
        store(dx + i, load(dy + i, left) * slope<kind>(load(x + i, left)), left);
    });
}
template <class T>
void activate_backward(Activation kind, int64 n, const T* x, const T* dy, T* dx) {
    switch (kind) {
        case Activation::none: return activate_backward_as<T, Activation::none>(n, x, dy, dx);
        case Activation::silu: return activate_backward_as<T, Activation::silu>(n, x, dy, dx);
        case Activation::gelu: return activate_backward_as<T, Activation::gelu>(n, x, dy, dx);
        case Activation::quick_gelu: return activate_backward_as<T, Activation::quick_gelu>(n, x, dy, dx);
    }
}

// y [rows, n] = a [rows, n] + b [n]
template <class T>
void add_rows(int64 rows, int64 n, const T* a, const T* b, T* y) {
    for (int64 row = 0; row < rows; ++row) add(n, a + row * n, b, y + row * n);
}

// y [n] = the sum of rows [rows, n], `stride` apart.
template <class T>
void sum_rows(int64 rows, int64 stride, int64 n, const T* x, T* y) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA {
        vf even = zero(), odd = zero();
        int64 row = 0;
        for (; row + 2 <= rows; row += 2) {
            even = even + load(x + row * stride + i, left);
            odd = odd + load(x + (row + 1) * stride + i, left);
        }
        if (row < rows) even = even + load(x + row * stride + i, left);
        store(y + i, even + odd, left);
    });
}

// y [n] = factor · (a + b + c + d)
template <class T>
void sum_four(int64 n, float factor, const T* a, const T* b, const T* c, const T* d, T* y) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA {
        store(y + i,
              set1(factor) * ((load(a + i, left) + load(b + i, left)) + (load(c + i, left) + load(d + i, left))),
              left);
    });
}

// y [columns, n] = factor · (2×2 pixels of the rows `upper` and `lower` [2·columns, n])
template <class T>
void sum_quads(int64 columns, int64 n, float factor, const T* upper, const T* lower, T* y) {
    for (int64 column = 0; column < columns; ++column)
        sum_four(n, factor, upper + 2 * column * n, upper + (2 * column + 1) * n, lower + 2 * column * n,
                 lower + (2 * column + 1) * n, y + column * n);
}

// y [2·columns, n] = factor · x [columns, n], each pixel twice
template <class T>
void spread_pairs(int64 columns, int64 n, float factor, const T* x, T* y) {
    for (int64 column = 0; column < columns; ++column)
        for (int64 copy = 0; copy < 2; ++copy) scale(n, factor, x + column * n, y + (2 * column + copy) * n);
}

template <class T>
void from_float(int64 n, const float* x, T* y) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA { store(y + i, load(x + i, left), left); });
}
template <class T>
void to_float(int64 n, const T* x, float* y) {
    for_vectors(n, [=](int64 i, Left left) DALLE2_LAMBDA { store(y + i, load(x + i, left), left); });
}
