// Another program's figures, measured in the same run by a Python that has it.
#pragma once

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

#include <nlohmann/json.hpp>

namespace kernel_benchmark {

// Runs `script` with `python`; its argument is a file that holds `request`. What it prints, one
// JSON object; not an object when Python, or what the script imports, is not there.
inline nlohmann::json run_python(const std::string& python, const char* script,
                                 const nlohmann::json& request) {
    const std::string folder = std::filesystem::temp_directory_path().string();
    const std::string program = folder + "/dalle2-benchmark.py",
                      input = folder + "/dalle2-benchmark.json";
    std::ofstream(program) << script;
    std::ofstream(input) << request;
    std::string text;
    if (std::FILE* pipe =
            popen((python + " " + program + " " + input + " 2>/dev/null").c_str(), "r")) {
        char piece[4096];
        while (const std::size_t count = std::fread(piece, 1, sizeof(piece), pipe))
            text.append(piece, count);
        pclose(pipe);
    }
    std::remove(program.c_str());
    std::remove(input.c_str());
    return nlohmann::json::parse(text, nullptr, false);
}

}  // namespace kernel_benchmark
