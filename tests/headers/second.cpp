#include <dalle2/dalle2.hpp>

std::string second();
std::string second() { return dalle2::to_string(dalle2::Shape{1, 2, 3}); }
