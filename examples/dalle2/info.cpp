// dalle2 info: what this machine runs, what a model is and costs, what a picture was made from.
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>

#include <dalle2/core/error.hpp>
#include <dalle2/io/picture.hpp>
#include <dalle2/kernels/isa.hpp>
#include <dalle2/kernels/parallel.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace tool {

namespace {

void print_machine() {
    namespace kernels = dalle2::kernels;
    std::cout << "machine\n  kernels    " << kernels::name_of(kernels::current_isa())
              << " (this processor has:";
    for (const kernels::Isa isa : kernels::all_isas)
        if (kernels::available(isa)) std::cout << ' ' << kernels::name_of(isa);
    std::cout << ")\n  threads    " << kernels::thread_count() << "\n";
}

// Prints the text that `dalle2 generate` left in a picture.
void print_picture(const std::string& path) {
    const dalle2::Picture picture = dalle2::read_picture(path);
    std::cout << path << ": " << picture.width << "×" << picture.height << " pixels\n";
    const dalle2::PngText text = dalle2::read_png_text(path);
    if (text.empty()) std::cout << "  no text: not made by dalle2 generate\n";
    for (const auto& [key, value] : text) {
        std::string name = key;
        name.resize(std::max<std::size_t>(name.size(), 20), ' ');
        // A foreign file may hold anything: nothing of it reaches the terminal as a command.
        std::cout << "  " << name << " " << one_line(value) << "\n";
    }
}

}  // namespace

void add_info(CLI::App& app) {
    CLI::App* info = app.add_subcommand(
        "info", "This machine's kernels; a model's architecture and cost; a picture's prompt");
    const auto path = std::make_shared<std::string>();
    info->add_option("PATH", *path, "A model's folder, or a PNG file that dalle2 made");
    info->footer("Examples:\n"
                 "  dalle2 info            the machine\n"
                 "  dalle2 info out.png    prompt, seed and settings of a picture");
    info->callback([path] {
        if (path->empty())
            print_machine();
        else
            print_picture(*path);
    });
}

}  // namespace tool
