// A Python program that stays and answers requests, so that what it measures can take turns with
// what is measured here.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <system_error>

#include <nlohmann/json.hpp>

#include <fcntl.h>
#include <spawn.h>
#include <unistd.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <dalle2/core/error.hpp>

namespace benchmark_python {

// A new folder of its own, removed with everything in it.
class TemporaryFolder {
public:
    TemporaryFolder() {
        std::string name =
            (std::filesystem::temp_directory_path() / "dalle2-benchmark-XXXXXX").string();
        if (!mkdtemp(name.data())) throw dalle2::IoError(name + ": cannot be made");
        path_ = name;
    }
    ~TemporaryFolder() {
        std::error_code ignored;
        std::filesystem::remove_all(path_, ignored);
    }
    TemporaryFolder(const TemporaryFolder&) = delete;
    TemporaryFolder& operator=(const TemporaryFolder&) = delete;

    const std::filesystem::path& path() const { return path_; }

private:
    std::filesystem::path path_;
};

// Requests and answers are JSON, a line each. The script defines answer(request) and ends with
// serve(answer).
class PythonProcess {
public:
    // Throws IoError when `python` cannot be started.
    PythonProcess(const std::string& python, std::string_view script) {
        const std::string program = (folder_.path() / "benchmark.py").string();
        std::ofstream(program) << prelude << script;
        int sockets[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, sockets) != 0)
            throw dalle2::IoError("cannot make a pair of sockets for " + python);
        // Or what is started next would keep them open.
        for (const int socket : sockets) fcntl(socket, F_SETFD, FD_CLOEXEC);
        connection_ = sockets[0];
        posix_spawn_file_actions_t actions;
        posix_spawn_file_actions_init(&actions);
        posix_spawn_file_actions_adddup2(&actions, sockets[1], STDIN_FILENO);
        posix_spawn_file_actions_adddup2(&actions, sockets[1], STDOUT_FILENO);
        posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, errors().c_str(),
                                         O_WRONLY | O_CREAT | O_APPEND, 0600);
        std::string words[] = {python, program};
        char* const arguments[] = {words[0].data(), words[1].data(), nullptr};
        const int error =
            posix_spawnp(&process_, python.c_str(), &actions, nullptr, arguments, environ);
        posix_spawn_file_actions_destroy(&actions);
        close(sockets[1]);
        if (error != 0) {
            close(connection_);
            throw dalle2::IoError(python + ": " + std::system_category().message(error));
        }
    }
    // Python ends with its input.
    ~PythonProcess() {
        close(connection_);
        waitpid(process_, nullptr, 0);
    }
    PythonProcess(const PythonProcess&) = delete;
    PythonProcess& operator=(const PythonProcess&) = delete;

    // Throws Error with the reason when the script failed, or ended.
    nlohmann::json ask(const nlohmann::json& request) {
        send_all(request.dump() + "\n");
        const nlohmann::json answer = nlohmann::json::parse(read_line(), nullptr, false);
        if (!answer.is_object()) throw dalle2::Error(last_words());
        if (answer.contains("error")) throw dalle2::Error(answer["error"].get<std::string>());
        return answer;
    }

private:
    // What libraries print goes to the errors; an answer is alone on its line. Of an exception the
    // first line says what happened ("who:" and the second); more would be advice.
    static constexpr const char* prelude = R"PY(
import json, os, sys
answers = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
def reason(error):
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return " ".join(lines[:2] if lines[0].endswith(":") else lines[:1])[:160]
def serve(answer):
    for line in sys.stdin:
        try:
            text = json.dumps(answer(json.loads(line)))
        except Exception as error:
            text = json.dumps({"error": reason(error)})
        print(text, file=answers, flush=True)
)PY";

    std::string errors() const { return (folder_.path() / "errors").string(); }

    // A Python that has ended is noticed when its answer is read.
    void send_all(std::string_view text) {
        while (!text.empty()) {
            const ssize_t sent = send(connection_, text.data(), text.size(), MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR) continue;
            if (sent <= 0) return;
            text.remove_prefix(static_cast<std::size_t>(sent));
        }
    }
    std::string read_line() {
        std::string line;
        for (char c = 0; c != '\n';) {
            const ssize_t got = recv(connection_, &c, 1, 0);
            if (got < 0 && errno == EINTR) continue;
            if (got <= 0) return "";
            line += c;
        }
        return line;
    }
    std::string last_words() const {
        std::string last = "it ended without a word";
        std::ifstream file(errors());
        for (std::string line; std::getline(file, line);)
            if (line.find_first_not_of(" \t\r") != std::string::npos) last = line.substr(0, 160);
        return last;
    }

    TemporaryFolder folder_;
    int connection_ = -1;
    pid_t process_ = 0;
};

}  // namespace benchmark_python
