// An application of somebody else: it includes everything and uses a little of it.
#include <iostream>

#include <dalle2/dalle2.hpp>

int main() {
    const dalle2::Array picture = dalle2::make_array({1, 2, 2, 3}, 0.5f);
    std::cout << dalle2::to_string(dalle2::shape_of(picture)) << " holds "
              << dalle2::element_count(dalle2::shape_of(picture)) << " numbers\n";
}
