# shellcheck shell=bash
# The cache folder, and how something is brought there once. To be sourced by scripts.

if [[ $(id -u) -eq 0 ]]; then
  cache=${AGENTFS_CACHE:-/var/cache/agentfs}
else
  cache=${AGENTFS_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/agentfs}
fi

# fail SENTENCE...: says what is wrong and what to do, and ends the script.
fail() {
  echo "scripts/${0##*/}: $*" >&2
  exit 1
}

# make_once HOME FUNCTION: the folder HOME is there. `FUNCTION NEW HOME` makes it in the folder NEW, which is moved to HOME
# when it is whole.
make_once() {
  local home=$1 new=$1.new
  [[ -d $home ]] && return
  # PostgreSQL refuses to run as root, so that another user has to be able to read what root unpacks.
  umask 022
  mkdir -p "${home%/*}" || fail "cannot make ${home%/*}; set AGENTFS_CACHE to a folder that you may write."
  exec 9>"${home%/*}/.lock"
  flock 9
  [[ -d $home ]] && return
  rm -rf "$new"*
  # shellcheck disable=SC2064  # the name is known now, and not at the end
  trap "rm -rf '$new'*" EXIT
  "$2" "$new" "$home"
  [[ $(id -u) -ne 0 ]] || chmod -R a+rX "$new"
  mv "$new" "$home"
}

# named_by_version LINK FOLDER: makes FOLDER known as LINK. agentfs-server looks for folders that are named by a version.
named_by_version() {
  [[ $(readlink "$1" 2>/dev/null) != "$2" ]] || return 0
  mkdir -p "${1%/*}"
  ln -sfn "$2" "$1.link.$$"
  mv -fT "$1.link.$$" "$1"
}
