#!/usr/bin/env bash
# Unpack Debian's postfix, redis, haproxy, strace, nats-server, two SOCKS servers, a client of theirs,
# promtool, and Chromium without a window into .parts/debian/; nothing is installed.
#
# The tests and benches that need a real component look for it there and skip, with the reason,
# when it is missing. Idempotent; without a network it says what is missing and exits 0, so that
# everything else can run. With --strict a missing part is an error.
#
# Users of the binaries set LD_LIBRARY_PATH to what `unpack_parts.sh --library-path` prints.
set -euo pipefail

root="$(cd "$(dirname "$0")/.." && pwd)"
target="$root/.parts/debian"
archive="$root/.parts/archive"
triplet="$(dpkg-architecture -qDEB_HOST_MULTIARCH 2>/dev/null || echo "$(uname -m)-linux-gnu")"
library_path="$target/usr/lib/postfix:$target/usr/lib/$triplet:$target/lib/$triplet"
library_path+=":$target/usr/lib/$triplet/pulseaudio"
network_timeout_s=120

# A part: its name, the binaries that must run, the Debian packages it starts from.
parts=(postfix redis haproxy strace nats socks promtool chromium)
declare -A binaries=(
  [postfix]="usr/sbin/smtp-source usr/sbin/smtp-sink usr/sbin/postconf usr/lib/postfix/sbin/master"
  [redis]="usr/bin/redis-server usr/bin/redis-cli"
  [haproxy]="usr/sbin/haproxy"
  [strace]="usr/bin/strace"
  [nats]="usr/sbin/nats-server"
  [socks]="usr/bin/microsocks usr/sbin/danted bin/nc.openbsd"
  [promtool]="usr/bin/promtool"
  [chromium]="usr/lib/chromium/chromium-headless-shell"
)
declare -A packages=(
  [postfix]="postfix"
  [redis]="redis-server redis-tools"
  [haproxy]="haproxy"
  [strace]="strace"
  [nats]="nats-server"
  [socks]="microsocks dante-server netcat-openbsd"
  [promtool]="prometheus"
  [chromium]="chromium-headless-shell fonts-dejavu-core"
)
# Parts with too many libraries to name each: apt says what this machine lacks of all they depend on.
declare -A with_dependencies=([chromium]=1)
# Of a package that is mostly something else, the files that are wanted.
declare -A only=([prometheus]="./usr/bin/promtool")
# Which package holds a library the loader does not find. Only what is missing is fetched.
package_of_library() {
  case "$1" in
    libjemalloc.so.*) echo libjemalloc2 ;;
    liblua5.1.so.* | liblua5.1-*) echo liblua5.1-0 ;;
    liblua5.1-cjson* | cjson.so*) echo lua-cjson ;;
    liblua5.1-bitop* | bit.so*) echo lua-bitop ;;
    liblua5.3.so.*) echo liblua5.3-0 ;;
    liblua5.4.so.*) echo liblua5.4-0 ;;
    liblzf.so.*) echo liblzf1 ;;
    libhiredis.so.*) echo libhiredis"${1#libhiredis.so.}" ;;
    libatomic.so.*) echo libatomic1 ;;
    libicuuc.so.* | libicudata.so.* | libicui18n.so.*) echo libicu"${1##*.}" ;;
    libnsl.so.*) echo libnsl2 ;;
    libtirpc.so.*) echo libtirpc3 ;;
    libopentracing-c-wrapper.so.*) echo libopentracing-c-wrapper0 ;;
    libopentracing.so.*) echo libopentracing1 ;;
    libpcre2-posix.so.*) echo libpcre2-posix3 ;;
    libpcre2-8.so.*) echo libpcre2-8-0 ;;
    libunwind*.so.*) echo libunwind8 ;;
    libsystemd.so.*) echo libsystemd0 ;;
    libdb-5.3.so) echo libdb5.3 ;;
    libsasl2.so.*) echo libsasl2-2 ;;
    libcap.so.*) echo libcap2 ;;
    libcap-ng.so.*) echo libcap-ng0 ;;
    libbsd.so.*) echo libbsd0 ;;
    libmd.so.*) echo libmd0 ;;
    libwrap.so.*) echo libwrap0 ;;
    libpam.so.*) echo libpam0g ;;
    libgssapi_krb5.so.*) echo libgssapi-krb5-2 ;;
    libkrb5.so.*) echo libkrb5-3 ;;
    libkrb5support.so.*) echo libkrb5support0 ;;
    libk5crypto.so.*) echo libk5crypto3 ;;
    libcom_err.so.*) echo libcom-err2 ;;
    libkeyutils.so.*) echo libkeyutils1 ;;
    libaudit.so.*) echo libaudit1 ;;
    *) return 1 ;;
  esac
}

# Packages that a binary loads by name and not by link.
declare -A also=([liblua5.1.so.0]="lua-cjson lua-bitop")

log() { echo "parts: $*"; }

missing_libraries() { # binary...
  LD_LIBRARY_PATH="$library_path" ldd "$@" 2>/dev/null | awk '/not found/ {print $1}' | sort -u
}

updated=0
download() { # package; its archive ends in $archive
  local package="$1"
  if compgen -G "$archive/${package}_*.deb" >/dev/null; then return 0; fi
  local attempt
  for attempt in 1 2; do
    # The sandbox user of apt cannot write here, hence root itself downloads; apt verifies the
    # archive against the signed index all the same.
    # Into a folder of its own first: an archive that was cut off must not look like a whole one.
    rm -rf "$archive/partial" && mkdir "$archive/partial"
    if (cd "$archive/partial" && timeout "$network_timeout_s" apt-get \
        -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=1 -qq download "$package") \
        >/dev/null 2>"$archive/error" && mv "$archive/partial/"*.deb "$archive/"; then
      return 0
    fi
    if [ "$updated" = 1 ] || [ "$(id -u)" != 0 ]; then break; fi
    updated=1
    timeout "$network_timeout_s" apt-get -qq update >/dev/null 2>&1 || true
  done
  log "cannot fetch $package: $(tail -n 1 "$archive/error")"
  return 1
}

unpack() { # package
  download "$1" || return 1
  local file
  file="$(compgen -G "$archive/${1}_*.deb" | head -n 1)"
  if [ -n "${only[$1]:-}" ]; then
    dpkg-deb --fsys-tarfile "$file" | tar -x -C "$target" ${only[$1]}
  else
    dpkg-deb -x "$file" "$target"
  fi
}

lacking_for() { # package...; all that apt would install for them
  apt-get -qq -s install --no-install-recommends "$@" 2>/dev/null | awk '/^Inst / {print $2}'
}

is_complete() { # part
  local file
  for file in ${binaries[$1]}; do
    [ -x "$target/$file" ] || return 1
    [ -z "$(missing_libraries "$target/$file")" ] || return 1
  done
}

fetch_part() { # part
  local package library round wanted="${packages[$1]}"
  if [ -n "${with_dependencies[$1]:-}" ]; then
    # Once something of it is there, so is the index that the answer is made of.
    for package in $wanted; do unpack "$package" || return 1; done
    wanted="$(lacking_for $wanted)"
  fi
  for package in $wanted; do unpack "$package" || return 1; done
  # A fetched library may itself need another, so look again, a few times.
  for round in 1 2 3 4; do
    local libraries
    libraries="$(cd "$target" && missing_libraries ${binaries[$1]})"
    [ -n "$libraries" ] || return 0
    for library in $libraries; do
      if ! package="$(package_of_library "$library")"; then
        log "no package known for $library (needed by $1)"
        return 1
      fi
      for package in $package ${also[$library]:-}; do unpack "$package" || return 1; done
    done
  done
  log "libraries of $1 are still missing: $libraries"
  return 1
}

strict=0
for argument in "$@"; do
  case "$argument" in
    --strict) strict=1 ;;
    --library-path) echo "$library_path"; exit 0 ;;
    *) echo "usage: unpack_parts.sh [--strict] [--library-path]" >&2; exit 2 ;;
  esac
done

for tool in dpkg-deb apt-get ldd timeout; do
  if ! command -v "$tool" >/dev/null; then
    log "$tool is not on this machine; the tests that need real components will skip"
    exit "$strict"
  fi
done

mkdir -p "$target" "$archive"
lacking=()
for part in "${parts[@]}"; do
  if ! is_complete "$part"; then
    log "fetching $part"
    fetch_part "$part" || true
    is_complete "$part" || lacking+=("$part")
  fi
done

for part in "${parts[@]}"; do
  for file in ${binaries[$part]}; do
    [ -x "$target/$file" ] && log "$part: .parts/debian/$file"
  done
done
if [ "${#lacking[@]}" -gt 0 ]; then
  log "missing: ${lacking[*]}; the tests that need them will skip"
  exit "$strict"
fi
