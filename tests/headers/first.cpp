// One of two translation units that include everything: a definition that is not inline is a
// linker error here.
#include <dalle2/dalle2.hpp>

std::string second();

int main() { return dalle2::to_string(dalle2::Shape{1, 2, 3}) == second() ? 0 : 1; }
