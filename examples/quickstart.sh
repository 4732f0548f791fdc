#!/usr/bin/env bash
# A picture from a prompt on a fresh Debian 12: installs what is missing, builds the command-line
# tool, draws.
#
#   examples/quickstart.sh "a purple elephant left of a red apple on a blue background"
#
# What follows the prompt goes to `dalle2 generate`: -o FILE, --seed N, --count N, and so on.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
. "$here/cmake/debian-packages.sh"
. "$here/cmake/build-jobs.sh"

case "${1-}" in
"" | -h | --help)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0"
    [ $# -gt 0 ] && exit 0
    exit 2
    ;;
esac

need_packages g++ cmake ninja-build libxtensor-dev libeigen3-dev libstb-dev nlohmann-json3-dev \
    libutf8proc-dev libcli11-dev libfreetype-dev

folder=$here/build
log=$folder/quickstart.log
mkdir -p "$folder"
if [ ! -f "$folder/CMakeCache.txt" ] && command -v ninja >/dev/null; then
    export CMAKE_GENERATOR=Ninja
fi
# The tests and benchmarks are left out of a new build folder, because they need more packages.
parts=()
[ -f "$folder/CMakeCache.txt" ] || parts=(-DDALLE2_BUILD_TESTS=OFF -DDALLE2_BUILD_BENCHMARKS=OFF)
echo "Building the tool (two or three minutes the first time) ..."
if ! { cmake -S "$here" -B "$folder" "${parts[@]}" &&
    cmake --build "$folder" --target dalle2_tool -j "$(build_jobs)"; } \
    >"$log" 2>&1; then
    tail -n 20 "$log" >&2
    echo "The build failed; all of its output is in $log" >&2
    exit 1
fi

exec "$folder/examples/dalle2/dalle2" generate "$@"
