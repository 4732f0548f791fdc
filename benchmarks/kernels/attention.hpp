// The attentions of Karlo's networks and of CLIP ViT-L/14, for the table of layers.
#pragma once

#include <string>
#include <vector>

#include <dalle2/kernels/kernels.hpp>

namespace kernel_benchmark {

struct AttentionLayer {
    const char* network;
    dalle2::kernels::AttentionShape shape;
    bool causal;

    std::string name() const {
        return std::string("attention ") + network + " " + std::to_string(shape.batch) + "x" +
               std::to_string(shape.queries) + "x" + std::to_string(shape.keys) + " " +
               std::to_string(shape.heads) + "x" + std::to_string(shape.head_width);
    }
    // Both products.
    double operations() const {
        return 4.0 * static_cast<double>(shape.batch * shape.queries * shape.keys * shape.width());
    }
};

inline const std::vector<AttentionLayer> attention_layers = {
    {"decoder", {2, 1024, 1105, 10, 64}, false},  {"decoder", {2, 256, 337, 15, 64}, false},
    {"decoder", {2, 64, 145, 20, 64}, false},     {"prior", {2, 81, 81, 32, 64}, true},
    {"CLIP image", {1, 257, 257, 16, 64}, false}, {"CLIP image", {16, 257, 257, 16, 64}, false},
    {"CLIP text", {1, 77, 77, 12, 64}, true},     {"CLIP text", {16, 77, 77, 12, 64}, true},
};

}  // namespace kernel_benchmark
