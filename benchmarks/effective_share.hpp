// What a share of the peak means where kernels multiply less than the textbook.
#pragma once

namespace benchmark_figures {

// One line, for under a table.
inline constexpr const char* effective_share_note =
    "Shares are effective: a 3x3 convolution counts as its direct sum, of which Winograd's form "
    "multiplies a fourth to a half; more than 100% is possible.";

}  // namespace benchmark_figures
