// A PyTorch checkpoint. What does not begin like a zip archive is a pickle, for which the archive
// is made here, so that mutations reach it past names, sizes and check sums.
#include <dalle2/io/torch_checkpoint.hpp>

#include "../io/zip_writer.hpp"
#include "fuzzing.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    static const fuzzing::Folder folder;
    std::string bytes(fuzzing::as_text(data, size));
    if (!bytes.starts_with("PK"))
        bytes = make_checkpoint(bytes, {std::string(48, '\x3f'), std::string(24, '\x3f'),
                                        std::string(12, '\x3f'), std::string(8, '\x3f')});
    const auto path = folder.write("input.pt", bytes);
    return fuzzing::read_or_refuse([&] {
        const dalle2::TorchCheckpoint file(path);
        for (const std::string& name : file.names()) {
            const dalle2::Array values = file.to_array(name);
            if (dalle2::shape_of(values) != file.shape(name)) std::abort();
            file.forget(name);
        }
    });
}
