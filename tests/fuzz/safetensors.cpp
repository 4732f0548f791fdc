// A safetensors file: the header, and every tensor as floats; as weights, with int8 and packed
// ones.
#include <dalle2/io/safetensors.hpp>
#include <dalle2/io/weight_files.hpp>

#include "fuzzing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzzing::Folder folder;
    const auto path = folder.write("input.safetensors", fuzzing::as_text(data, size));
    return fuzzing::read_or_refuse([&] {
        const dalle2::SafetensorsFile file(path);
        for (const std::string& name : file.names()) {
            const dalle2::Array values = file.to_array(name);
            if (dalle2::shape_of(values) != file.shape(name)) std::abort();
            file.forget(name);
        }
        const dalle2::WeightFiles weights(path);
        // (One whose sum is wrong must not hide the others.)
        for (const std::string& name : weights.names()) {
            fuzzing::read_or_refuse([&] { (void)weights.packed(name); });
            fuzzing::read_or_refuse([&] {
                const dalle2::Array values = weights.to_array(name);
                if (dalle2::shape_of(values) != weights.shape(name)) std::abort();
            });
        }
    });
}
