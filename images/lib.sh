# shellcheck shell=bash
# Shared by the image recipes; source it, then call `recipe_start "$@"`.
#
# stdout carries only `progress PERCENT TEXT` lines and, on failure, a last
# `error TEXT (what to do next)`; everything else goes to WORKDIR/build.log.

set -euo pipefail

SUITE=bookworm
# One fixed date for every file, so that equal packages give equal images.
export SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-1735689600}
export E2FSPROGS_FAKE_TIME=$SOURCE_DATE_EPOCH
export LC_ALL=C TZ=UTC DEBIAN_FRONTEND=noninteractive
export PATH=/usr/sbin:/usr/bin:/sbin:/bin

progress() { printf 'progress %s %s\n' "$1" "$2" >&3; }

fail() {
  printf 'error %s\n' "$1" >&3
  trap - EXIT
  exit 1
}

# recipe_start WORKDIR OUTPUT.raw
recipe_start() {
  exec 3>&1
  if [ $# -ne 2 ]; then
    fail "wrong number of arguments (run: build.sh WORKDIR OUTPUT.raw)"
  fi
  WORK=$(realpath -e -- "$1" 2>/dev/null) || fail "no directory $1 (create it first)"
  OUTPUT=$(realpath -- "$2" 2>/dev/null) || fail "no directory for $2 (create it first)"
  exec >"$WORK/build.log" 2>&1
  trap 'status=$?; [ $status -eq 0 ] || printf "error the build stopped with status %s (see %s)\n" $status "$WORK/build.log" >&3' EXIT
  set -x
  local missing=()
  local package
  while read -r package; do
    case $package in '' | '#'*) continue ;; esac
    dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done <"$HERE/../packages.txt"
  if [ ${#missing[@]} -gt 0 ]; then
    fail "Debian packages are missing (run: apt-get install ${missing[*]})"
  fi
  [ "$(id -u)" = 0 ] || fail "the recipe needs root to own the files of the image (run it as root)"
  ROOT=$WORK/root
  rm -rf --one-file-system "$ROOT" "$OUTPUT"
}

# Prints apt sources for the suite. The host's own mirrors are used when it
# has any, so that a site's mirror or cache is honoured.
apt_sources() {
  local uris main security
  uris=$(cat /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources 2>/dev/null |
    sed 's/#.*//' | grep -oE '(https?|mirror\+https?|ftp|file)://?[^][ ]+' || true)
  main=${FOGBANK_DEBIAN_MIRROR:-$(grep -m1 -E '/debian/?$' <<<"$uris" || true)}
  security=${FOGBANK_DEBIAN_SECURITY_MIRROR:-$(grep -m1 -E '/debian-security/?$' <<<"$uris" || true)}
  main=${main:-http://deb.debian.org/debian}
  security=${security:-http://deb.debian.org/debian-security}
  printf 'deb %s %s main\n' "$main" $SUITE "$main" $SUITE-updates
  printf 'deb %s %s main\n' "$security" $SUITE-security
}

# debootstrap FROM TO MMDEBSTRAP-ARGUMENT...
# Runs mmdebstrap into $ROOT's place (last argument), turning what apt and dpkg
# say into progress between FROM and TO percent.
debootstrap() {
  local from=$1 to=$2 proxy="" status=0
  shift 2
  local options=(--verbose --architectures=amd64 --components=main)
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  [ -z "$proxy" ] || options+=("--aptopt=Acquire::http::Proxy \"$proxy\"")
  apt_sources >"$WORK/sources.list"
  progress "$from" "Fetching the package lists"
  mmdebstrap "${options[@]}" "$@" "$WORK/sources.list" 2>&1 |
    mawk -W interactive -v from="$from" -v to="$to" -v out="cat >&3" '
      function say(part, text,   now) {
        now = systime()
        if (now == last) return
        last = now
        if (part > 1) part = 1
        if (part > most) most = part
        printf "progress %d %s\n", from + (to - from) * most, text | out
        fflush(out)
      }
      { print; fflush() }
      / newly installed/ { total = $3 > $1 ? $3 : $1 }
      /^Get:/ { got++; say(0.3 * (total ? got / total : 0.05), "Downloading " ($5 != "" ? $5 : "packages")); next }
      /extracting archives/ { say(0.3, "Extracting packages") }
      /^(Preparing to unpack|Unpacking) / { n++; say(0.3 + 0.35 * (total ? n / total / 2 : 0), "Unpacking packages"); next }
      /^Setting up / { s++; say(0.6 + 0.4 * (total ? s / total : 0), "Setting up " $3); next }
      { say(0, "Installing packages") }
    ' || status=$?
  [ $status -eq 0 ] || fail "installing the Debian packages failed (see $WORK/build.log; is the mirror in /etc/apt reachable?)"
}

# settle DIR: what would differ from one build to the next
settle() {
  find "$1" -xdev -newermt "@$SOURCE_DATE_EPOCH" -print0 |
    xargs -0r touch --no-dereference --date="@$SOURCE_DATE_EPOCH"
}

# make_disk DIR SIZE_MIB UUID LABEL DISK_ID FIRST [SFDISK-LINE]
# Starts $OUTPUT.part: a disk with an MBR and DIR as the ext4 file system of its
# last partition, which can so grow with the disk. FIRST is that partition's
# first sector; SFDISK-LINE describes a partition before it.
make_disk() {
  local dir=$1 size=$2 uuid=$3 label=$4 disk_id=$5 first=$6 before=${7:-}
  rm -f "$OUTPUT.part"
  truncate -s "${size}M" "$OUTPUT.part"
  sfdisk --quiet "$OUTPUT.part" <<EOF
label: dos
label-id: 0x$disk_id
$before
start=$first, type=83, bootable
EOF
  mke2fs -q -t ext4 -b 4096 -F -d "$dir" -U "$uuid" -L "$label" \
    -E "offset=$((first * 512)),hash_seed=$uuid,lazy_itable_init=1,lazy_journal_init=1,nodiscard,root_owner=0:0" \
    -m 1 "$OUTPUT.part" "$((size * 1024 - first / 2))k"
}

# finish_disk: gives the disk its name
finish_disk() {
  fallocate --dig-holes "$OUTPUT.part"
  mv "$OUTPUT.part" "$OUTPUT"
}

# patch FILE OFFSET: writes stdin into the file
patch() { dd of="$1" bs=1 seek="$2" conv=notrunc status=none; }

# install_grub CONFIG MODULE...
# GRUB in the gap between the MBR and the first partition, done by hand because
# grub-install wants a mounted file system.
install_grub() {
  local config=$1 core=$WORK/core.img sectors
  shift
  grub-mkimage -O i386-pc -o "$core" -p '(hd0,msdos1)/boot/grub' -c "$config" "$@"
  sectors=$((($(stat -c %s "$core") + 511) / 512))
  [ $((sectors + 1)) -le 2048 ] || fail "GRUB does not fit before the first partition (use fewer modules)"
  # The first sector of core.img loads the rest: where it starts, how long it
  # is, and the segment it goes to.
  { le 2 8; le $((sectors - 1)) 2; le $((0x820)) 2; } | patch "$core" $((0x1f4))
  patch "$OUTPUT.part" 512 <"$core"
  # boot.img without the disk ID and partition table, then where core.img is.
  head -c 440 /usr/lib/grub/i386-pc/boot.img | patch "$OUTPUT.part" 0
  le 1 8 | patch "$OUTPUT.part" $((0x5c))
}

# le NUMBER BYTES: a little-endian number
le() {
  local n=$1 i
  for ((i = 0; i < $2; i++)); do
    # shellcheck disable=SC2059
    printf "\\x$(printf %02x $((n & 255)))"
    n=$((n >> 8))
  done
}
