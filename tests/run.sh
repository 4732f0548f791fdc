#!/usr/bin/env bash
# Installs what the tests need (Debian packages), builds everything and runs every test.
#
#   tests/run.sh [--preset NAME] [ctest options]
#
# NAME is a preset of CMakePresets.json: release (default), debug, sanitizers, thread-sanitizer.
# Further options go to ctest: `tests/run.sh -R clip` runs the tests whose names contain clip.
set -euo pipefail
cd "$(dirname "$0")/.."
. cmake/debian-packages.sh
. cmake/build-jobs.sh

preset=release
case "${1-}" in
-h | --help)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    exit 0
    ;;
--preset)
    preset=${2:?--preset needs a name}
    shift 2
    ;;
esac

need_packages g++ cmake ninja-build libxtensor-dev libeigen3-dev libstb-dev nlohmann-json3-dev \
    libutf8proc-dev doctest-dev libcli11-dev libbenchmark-dev libfreetype-dev \
    fonts-noto-color-emoji unicode-cldr-core

# A build folder that was made with another generator keeps it.
folder=build
[ "$preset" = release ] || folder=build-$preset
if [ ! -f "$folder/CMakeCache.txt" ] && command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=Ninja
fi

jobs=$(build_jobs)
began=$SECONDS
# (examples/quickstart.sh may have made the folder, without them.)
cmake --preset "$preset" -DDALLE2_BUILD_TESTS=ON -DDALLE2_BUILD_BENCHMARKS=ON
cmake --build "$folder" -j "$jobs"
built=$SECONDS

status=0
ctest --test-dir "$folder" --no-tests=error --output-on-failure -j "$jobs" "$@" || status=$?
echo
echo "Built in $((built - began)) s, tested in $((SECONDS - built)) s, in $folder/."
if [ "$status" -eq 0 ]; then
    echo "Every test passed."
else
    echo "Some tests FAILED: they are listed above, each with its output further up."
fi
exit "$status"
