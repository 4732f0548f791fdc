// Runs the command-line tool as a person would, and sees what it prints.
#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <string>

#include "../io/temporary_folder.hpp"

struct Run {
    int status;
    std::string out, err;
};

// `arguments` are words of a shell, which runs in `folder`; `environment` may set variables, as
// "NAME=value".
inline Run run(const TemporaryFolder& folder, const std::string& arguments,
               const std::string& environment = "") {
    const TemporaryFolder output;
    const std::string command =
        "cd '" + folder.path().string() + "' && " + environment + " '" DALLE2_TOOL "' " +
        arguments + " >'" + (output / "out").string() + "' 2>'" + (output / "err").string() + "'";
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, output.read("out"), output.read("err")};
}

// One line that begins as every error of the tool.
inline bool is_one_error_line(const std::string& text) {
    return text.starts_with("dalle2: error: ") && text.find('\n') + 1 == text.size();
}
