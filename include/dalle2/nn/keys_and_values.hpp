// What does not change from step to step of a diffusion, and is therefore made once.
#pragma once

#include <dalle2/engine/concept.hpp>

namespace dalle2 {

// What an attention sees of some tokens: made once, looked at by the queries of every step.
template <Engine E>
struct KeysAndValues {
    typename E::Tensor keys, values;  // [batch, tokens, width]

    // Those of `later` tokens after these.
    KeysAndValues followed_by(const KeysAndValues& later) const {
        return {E::concatenate({keys, later.keys}, 1), E::concatenate({values, later.values}, 1)};
    }
};

// A batch whose first row stands for several: [1 + n, ...] → [times + n, ...]. Guidance compares
// every picture of a batch with the same empty prompt, which is encoded once.
template <Engine E>
typename E::Tensor repeat_first(const typename E::Tensor& x, std::int64_t times) {
    if (times == 1) return x;
    const std::int64_t rows = E::shape(x)[0];
    const typename E::Tensor first = E::repeat(E::slice(x, 0, 0, 1), times);
    return rows == 1 ? first : E::concatenate({first, E::slice(x, 0, 1, rows)}, 0);
}

template <Engine E>
KeysAndValues<E> repeat_first(const KeysAndValues<E>& seen, std::int64_t times) {
    return {repeat_first<E>(seen.keys, times), repeat_first<E>(seen.values, times)};
}

}  // namespace dalle2
