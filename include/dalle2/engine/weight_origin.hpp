// What a file says of a weight besides its values.
#pragma once

#include <string>

namespace dalle2 {

// For engines whose load takes it: E::load(parameter, values, origin), or E::load_rows.
struct WeightOrigin {
    // Whether whoever wrote the file chose int8 for it; undecided in files that know no int8.
    enum class Precision { undecided, int8, other };
    std::string name;  // the parameter's, such as "conv_in.weight"
    Precision precision = Precision::undecided;
};

}  // namespace dalle2
