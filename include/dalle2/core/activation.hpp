// The activation functions of this family of models.
#pragma once

#include <string>

#include <dalle2/core/error.hpp>

namespace dalle2 {

enum class Activation {
    none,
    silu,        // x · sigmoid(x)
    gelu,        // x · Φ(x), with the exact error function
    quick_gelu,  // x · sigmoid(1.702 x), CLIP's
};

// The activation that a config.json calls `name`. `where` (file and key) goes into the error.
inline Activation activation_from_name(const std::string& name, const std::string& where) {
    if (name == "silu" || name == "swish") return Activation::silu;
    if (name == "gelu") return Activation::gelu;
    if (name == "quick_gelu") return Activation::quick_gelu;
    throw ConfigError(where + ": activation \"" + name +
                      "\" is not supported; supported are \"silu\", \"gelu\" and \"quick_gelu\"");
}

}  // namespace dalle2
