// dalle2: pictures from prompts, and the models for it, on the command line.
#include <exception>
#include <iostream>
#include <new>
#include <string>

#include <CLI/CLI.hpp>

#include <dalle2/core/error.hpp>

#include "commands.hpp"
#include "terminal.hpp"

namespace {

enum ExitStatus { success = 0, failure = 1, wrong_usage = 2, interrupted = 130 };

int fail(const std::string& message, ExitStatus status) {
    std::cerr << "dalle2: error: " << tool::one_line(message) << std::endl;
    return status;
}

}  // namespace

int main(int argc, char** argv) {
    const tool::Interrupt interrupt;

    CLI::App app{"Pictures from prompts, the way DALL-E 2 makes them, on an ordinary CPU."};
    app.name("dalle2");
    app.set_version_flag("--version", DALLE2_VERSION);
    app.require_subcommand(1);
    app.footer(
        "dalle2 COMMAND --help explains a command.\n"
        "DALLE2_ISA=avx2 in the environment makes it use that instruction set, not the best of "
        "those "
        "that dalle2 info lists.\n"
        "Exit status: 0 done, 1 failed, 2 wrong usage, 130 interrupted.");

    try {
        // In here because the default engine depends on DALLE2_ISA, which may be wrong.
        tool::add_generate(app, interrupt.token());
        tool::add_vary(app, interrupt.token());
        tool::add_train(app, interrupt.token());
        tool::add_classify(app, interrupt.token());
        tool::add_embed(app, interrupt.token());
        tool::add_search(app, interrupt.token());
        tool::add_info(app);
        tool::add_convert(app, interrupt.token());
        tool::add_data(app, interrupt.token());
        tool::add_tokenize(app);
        app.parse(argc, argv);
        std::cout.flush();
        if (!std::cout) return fail("cannot write to standard output", failure);
        return success;
    } catch (const CLI::Success& help_or_version) {
        return app.exit(help_or_version);
    } catch (const CLI::ParseError& error) {
        return fail(std::string(error.what()) + " (--help explains the options)", wrong_usage);
    } catch (const dalle2::Cancelled&) {
        return fail("interrupted; nothing was left half written", interrupted);
    } catch (const std::bad_alloc&) {
        return fail("not enough memory", failure);
    } catch (const std::exception& error) {
        return fail(error.what(), failure);
    }
}
