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
    // Whether it is the last matrix or convolution that the network names: as a rule what makes the
    // output, so that its roundings reach that as they are.
    bool last = false;
};

}  // namespace dalle2
