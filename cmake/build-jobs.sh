# Sourced by tests/run.sh and examples/quickstart.sh.
#
# build_jobs: prints how many compilers to run at once: one for each core, but no more than fit into
# the memory that is free. The largest, that of the training command, takes three gigabytes.
build_jobs() {
    local jobs fit
    jobs=$(nproc 2>/dev/null || echo 2)
    if [ -r /proc/meminfo ]; then
        fit=$(awk '/^MemAvailable/ {print int($2 / (3 * 1048576))}' /proc/meminfo)
        [ "$fit" -ge "$jobs" ] || jobs=$((fit > 1 ? fit : 1))
    fi
    echo "$jobs"
}
