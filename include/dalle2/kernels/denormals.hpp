// Numbers too small to be normal cost a processor a hundred times as long as others, and mean
// nothing here: in kernels they count as zero.
#pragma once

namespace dalle2::kernels {

// While it lives, this thread takes and gives zero for denormal numbers, where the processor can be
// told so; then the application's setting is back.
class FlushDenormals {
public:
#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
    FlushDenormals() : before_(__builtin_ia32_stmxcsr()) {
        constexpr unsigned flush_results = 0x8000, zero_operands = 0x0040;
        __builtin_ia32_ldmxcsr(before_ | flush_results | zero_operands);
    }
    ~FlushDenormals() { __builtin_ia32_ldmxcsr(before_); }
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;

private:
    unsigned before_;
#else
    FlushDenormals() {}
    ~FlushDenormals() {}
    FlushDenormals(const FlushDenormals&) = delete;
    FlushDenormals& operator=(const FlushDenormals&) = delete;
#endif
};

}  // namespace dalle2::kernels
