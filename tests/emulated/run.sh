#!/usr/bin/env bash
# Runs the tests of the kernels for every instruction set, on a processor that has only AVX2: what it lacks is emulated
# in plain C++ (see intrinsics.hpp). The speed means nothing; the results are those of the real instructions, except
# that those of bfloat16 take denormal numbers for zero.
#
#   tests/emulated/run.sh [doctest options]       some minutes; needs libsimde-dev (Debian)
#
# The headers are copied, and in the copy the intrinsics, the compiler's targets and what the processor is asked for are
# replaced; in all else they are the project's.
set -euo pipefail
case "${1-}" in -h | --help) sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"; exit 0 ;; esac
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
stop() { echo "emulated/run.sh: $1" >&2; exit 2; }
grep -q -w avx2 /proc/cpuinfo || stop "this processor lacks AVX2, which is not emulated"
# shellcheck source=../../cmake/debian-packages.sh
. "$root/cmake/debian-packages.sh"
need_packages g++ libsimde-dev libeigen3-dev doctest-dev

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r "$root/include" "$work/include"
cp "$here/intrinsics.hpp" "$work/include/dalle2/kernels/emulated_intrinsics.hpp"

# replace FILE PATTERN REPLACEMENT: it is an error if there is nothing to replace any more.
replace() {
  grep -q -z -E "$2" "$1" || stop "$1 has no $2 any more; this script must follow it"
  sed -i -z -E "s@$2@$3@g" "$1"
}
kernels=$work/include/dalle2/kernels
replace "$kernels/simd.hpp" '#include <immintrin.h>' '#include <dalle2/kernels/emulated_intrinsics.hpp>'
replace "$kernels/simd.hpp" 'target\([ \\\n]*"avx[^"]*"\)' 'target("avx2,fma")'
replace "$kernels/isa.hpp" 'inline bool available\(Isa isa\) \{' '\0 if (isa != Isa::portable) return true;'

# (The portable kernels must not fuse what they do not fuse elsewhere.)
flags=(-std=c++20 -O1 -mavx2 -mfma -ffp-contract=off -fopenmp -DDALLE2_SEPARATE_KERNELS
       "-I$work/include" "-I$root/tests" "-I${EIGEN:-/usr/include/eigen3}")
echo '#include <dalle2/kernels/separate.hpp>' > "$work/separate.cpp"
echo "... compiling the kernels"
g++ "${flags[@]}" -w -c "$work/separate.cpp" -o "$work/separate.o"
g++ "${flags[@]}" -c "$root/tests/main.cpp" -o "$work/main.o"
failed=0
# (isa.cpp asks the processor itself, and peak.cpp has instructions of its own.)
for test in $(cd "$root/tests/kernels" && grep -l for_each_isa ./*.cpp | grep -v -e isa.cpp -e peak.cpp); do
  name=$(basename "$test" .cpp)
  echo "... $name"
  g++ "${flags[@]}" -c "$root/tests/kernels/$name.cpp" -o "$work/$name.o"
  g++ -fopenmp "$work/$name.o" "$work/main.o" "$work/separate.o" -o "$work/$name"
  "$work/$name" "$@" || failed=1
done
exit "$failed"
