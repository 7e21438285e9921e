# Sourced by the other scripts: finds Rust, and sees to a Vulkan driver on Linux unless no_vulkan is set.
# shellcheck shell=bash

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

# Whether the Vulkan loader has a driver to load. Looks at files only; nothing is built or run.
have_vulkan() {
  local files=${VK_DRIVER_FILES:-${VK_ICD_FILENAMES:-}} dir
  # Debian keeps ldconfig off other users' PATH.
  if ! PATH=$PATH:/usr/sbin:/sbin ldconfig -p 2>/dev/null | grep libvulkan.so.1 >/dev/null; then
    return 1
  fi
  if [[ -n $files ]]; then # The loader then looks nowhere else.
    while IFS= read -r -d : dir; do
      if [[ -e $dir ]]; then return 0; fi
    done <<<"$files:"
    return 1
  fi
  for dir in /etc /usr/share /usr/local/share /usr/local/etc "${XDG_DATA_HOME:-${HOME:-/root}/.local/share}"; do
    if compgen -G "$dir/vulkan/icd.d/*.json" >/dev/null; then return 0; fi
  done
  return 1
}

# apt-get, quiet unless it fails twice.
quiet_apt() {
  local log try
  log=$(mktemp)
  for try in 1 2; do
    if DEBIAN_FRONTEND=noninteractive apt-get "$@" >"$log" 2>&1; then
      rm -f "$log"
      return 0
    fi
    if [[ $try == 1 ]]; then sleep 3; fi
  done
  cat "$log" >&2
  rm -f "$log"
  return 1
}

need_vulkan() {
  # macOS has Metal, Windows DX12.
  if [[ $(uname -s) != Linux ]] || have_vulkan; then return 0; fi
  if [[ ${EUID:-$(id -u)} == 0 ]] && command -v apt-get >/dev/null; then
    echo "no GPU driver found: installing the software Vulkan driver (mesa-vulkan-drivers)"
    quiet_apt update -qq
    quiet_apt install -y -qq --no-install-recommends mesa-vulkan-drivers libvulkan1
    if have_vulkan; then return 0; fi
    echo "error: still no Vulkan driver after installing mesa-vulkan-drivers" >&2
    exit 1
  fi
  local command="install Mesa's Vulkan drivers and the Vulkan loader with your package manager"
  if command -v apt-get >/dev/null; then
    command="sudo apt-get install mesa-vulkan-drivers libvulkan1"
  elif command -v dnf >/dev/null; then
    command="sudo dnf install mesa-vulkan-drivers vulkan-loader"
  elif command -v pacman >/dev/null; then
    command="sudo pacman -S vulkan-swrast vulkan-icd-loader"
  fi
  echo "error: no Vulkan driver found. For a software one that needs no GPU: $command" >&2
  exit 1
}

need_cargo() {
  # rustup adds itself to the PATH of later shells only.
  if ! command -v cargo >/dev/null && [[ -x ${CARGO_HOME:-${HOME:-/root}/.cargo}/bin/cargo ]]; then
    PATH=${CARGO_HOME:-${HOME:-/root}/.cargo}/bin:$PATH
  fi
  if command -v cargo >/dev/null; then return 0; fi
  echo "error: no cargo. Install Rust 1.90 or later, with a C compiler, from https://rustup.rs" >&2
  exit 1
}

wasm=wasm32-unknown-unknown
have_wasm_target() { [[ -d $(rustc --print sysroot)/lib/rustlib/$wasm ]]; }

# Installs the target where that is rustup's business.
need_wasm_target() {
  if ! have_wasm_target && command -v rustup >/dev/null; then
    rustup target add "$wasm"
  fi
}

need_cargo
if [[ -z ${no_vulkan:-} ]]; then need_vulkan; fi

# Without it drivers print a warning.
if [[ -z ${XDG_RUNTIME_DIR:-} ]]; then
  XDG_RUNTIME_DIR=$(mktemp -d)
  export XDG_RUNTIME_DIR
  trap 'rm -rf "$XDG_RUNTIME_DIR"' EXIT
fi
