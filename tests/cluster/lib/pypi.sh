# shellcheck shell=bash
# Programs from PyPI, each in a virtual environment of its own in the cache. Sourced after place.sh and progress.sh.

# pypi_program NAME VERSION: installs it, the first time, and prints the path of its program, which has the package's name.
pypi_program() {
    local name=$1 version=$2 home=$AGENTFS_CACHE/$1/$2
    mkdir -p "$AGENTFS_CACHE/$name"
    (
        flock 8 # two checkouts at once
        # A virtual environment cannot be moved, so a file in it says that it is whole.
        [[ ! -e $home/whole ]] || exit 0
        rm -rf "$home"
        python3 -m venv "$home" >&2 ||
            fail "python3 cannot make a virtual environment; install it (Debian: apt-get install python3 python3-venv)."
        "$home/bin/pip" install --quiet --disable-pip-version-check "$name==$version" >&2 ||
            fail "pip could not install $name $version; see its message above."
        touch "$home/whole"
    ) 8>"$AGENTFS_CACHE/$name/.lock" || exit 1
    echo "$home/bin/$name"
}
