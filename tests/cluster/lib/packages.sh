# shellcheck shell=bash
# Programs that the machine must have. On Debian and Ubuntu, as root, what is missing is installed; elsewhere one
# sentence names it. Sourced after progress.sh and place.sh.

# need COMMAND=PACKAGE...: makes sure that each command is there (a path with a slash means that file).
need() {
    local pair what packages=() names=()
    for pair in "$@"; do
        what=${pair%%=*}
        if [[ $what == */* ]]; then
            [[ -e $what ]] && continue
        elif command -v "$what" >/dev/null; then
            continue
        fi
        names+=("${what##*/}")
        packages+=("${pair#*=}")
    done
    ((${#names[@]})) || return 0
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        fail "missing on this machine: ${names[*]}; install the packages ${packages[*]} (names of Debian) and try again."
    fi
    install_packages "${packages[@]}"
}

install_packages() {
    local log=$AGENTFS_CACHE/apt.log
    mkdir -p "$AGENTFS_CACHE"
    begin
    (
        flock 8 # two checkouts at once: apt's own lock covers only part of it
        # A package must not start its service (a second containerd, say), so Debian's own switch against it is set.
        if [[ ! -e /usr/sbin/policy-rc.d ]]; then
            trap 'rm -f /usr/sbin/policy-rc.d' EXIT
            printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
            chmod +x /usr/sbin/policy-rc.d
        fi
        export DEBIAN_FRONTEND=noninteractive
        # --no-remove: Debian's containerd must never push out a Docker engine.
        apt-get update >"$log" 2>&1 && apt-get -o DPkg::Lock::Timeout=300 install -y --no-install-recommends \
            --no-remove "$@" >>"$log" 2>&1
    ) 8>"$AGENTFS_CACHE/apt.lock" || fail "apt-get could not install $*; its output is in $log."
    done_with "installed packages" "$# of them"
}
