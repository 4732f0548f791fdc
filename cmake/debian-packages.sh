# Sourced by tests/run.sh and examples/quickstart.sh.
#
# need_packages PACKAGE...: installs those which are missing, through apt-get, and through sudo
# when the user is not root. Where there is no apt-get the libraries have to be there already;
# CMake names each that is not.
need_packages() {
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || return 0
    local package missing=() become=()
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] ||
            missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    if [ "$(id -u)" -ne 0 ]; then
        if ! command -v sudo >/dev/null; then
            echo "These packages are missing, and there is no sudo to install them with:" >&2
            echo "    ${missing[*]}" >&2
            echo "As root:  apt-get install --no-install-recommends ${missing[*]}" >&2
            return 1
        fi
        become=(sudo)
    fi
    echo "Installing: ${missing[*]}"
    local log
    log=$(mktemp)
    if ! { "${become[@]}" apt-get update -q &&
        "${become[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -q -y --no-install-recommends "${missing[@]}"; } >"$log" 2>&1; then
        tail -n 15 "$log" >&2
        rm -f "$log"
        echo "The packages could not be installed. By hand, as root:" >&2
        echo "    apt-get install --no-install-recommends ${missing[*]}" >&2
        return 1
    fi
    rm -f "$log"
}
