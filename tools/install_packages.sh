#!/usr/bin/env bash
# Installs what is missing of the Debian packages that a purpose needs, and asks nothing.
#
#   tools/install_packages.sh PURPOSE...     program, test, lint, bench
#
# Packages that would start a server when installed (prometheus for promtool, nginx) are unpacked under
# build/tools instead.
set -euo pipefail
cd "$(dirname "$0")/.."

packages_of() {
  case "$1" in
    program) echo g++ make cmake ninja-build ccache mold git python3 libboost1.81-dev libfmt-dev libspdlog-dev \
      libyaml-cpp-dev libcli11-dev libsimdjson-dev nlohmann-json3-dev prometheus-cpp-dev libssl-dev libgtest-dev libgmock-dev ;;
    test) echo curl wrk slowhttptest python3-yaml python3-jsonschema node-llhttp ;;
    lint) echo clang-19 clang-tidy-19 clang-format-19 libclang-rt-19-dev ;;
    bench) echo wrk curl valgrind util-linux python3-matplotlib nghttp2-client liblua5.3-0 libopentracing-c-wrapper0 ;;
    *) echo "install_packages.sh: no purpose is called '$1'. Write program, test, lint or bench." >&2; exit 2 ;;
  esac
}
# PACKAGE:FILE that are unpacked, not installed.
unpacked_of() {
  case "$1" in
    test) echo prometheus:usr/bin/promtool nginx:usr/sbin/nginx ;;
    bench) echo nginx:usr/sbin/nginx haproxy:usr/sbin/haproxy ;;
  esac
}

wanted=() unpacked=()
for purpose in "$@"; do
  # shellcheck disable=SC2207
  wanted+=($(packages_of "$purpose"))
  # shellcheck disable=SC2207
  unpacked+=($(unpacked_of "$purpose"))
done

missing=()
for package in "${wanted[@]}"; do
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null || true)" = installed ] || missing+=("$package")
done
to_unpack=()
for entry in "${unpacked[@]}"; do
  file=${entry#*:}
  command -v "$(basename "$file")" > /dev/null || [ -x "/$file" ] || [ -x "build/tools/$file" ] || to_unpack+=("${entry%%:*}")
done
[ ${#missing[@]} -eq 0 ] && [ ${#to_unpack[@]} -eq 0 ] && exit 0

if ! command -v apt-get > /dev/null; then
  echo "install_packages.sh: this is no Debian system, so install these yourself: ${missing[*]} ${to_unpack[*]}" >&2
  exit 1
fi
as_root=()
if [ "$(id -u)" -ne 0 ]; then
  if ! command -v sudo > /dev/null; then
    echo "install_packages.sh: run as root, or install these yourself: ${missing[*]}" >&2
    exit 1
  fi
  as_root=(sudo)
fi
echo "Installing: ${missing[*]} ${to_unpack[*]}"
apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120)
"${apt[@]}" update > /dev/null
if [ ${#missing[@]} -gt 0 ]; then
  "${apt[@]}" install --no-install-recommends "${missing[@]}" > build-install.log 2>&1 || {
    tail -n 20 build-install.log >&2
    echo "install_packages.sh: apt could not install ${missing[*]}; its words are above." >&2
    exit 1
  }
  rm -f build-install.log
fi
for package in "${to_unpack[@]}"; do
  mkdir -p build/tools
  (cd build/tools && apt-get -q -o APT::Sandbox::User=root download "$package" > /dev/null && dpkg-deb -x "$package"_*.deb . && rm -f "$package"_*.deb)
done
