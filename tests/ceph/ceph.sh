#!/usr/bin/env bash
# A throw-away Ceph on this machine: one monitor, one manager, three OSDs on sparse files, one pool.
#
#   ceph.sh start FOLDER   starts it, and prints the path of its ceph.conf once the pool takes writes
#   ceph.sh stop FOLDER    ends the processes that it started, and removes the folder
#   ceph.sh osd FOLDER N   starts OSD N again
#   ceph.sh install        installs the Debian packages that are missing; nothing else installs any
#
# It needs neither systemd nor cephadm, LVM, loop devices or authentication: all
# listens on 127.0.0.1 only. About 0.5 GiB of memory; the disk's use is that of what is written.
set -euo pipefail

PACKAGES="ceph-mon ceph-mgr ceph-osd ceph-common librados2"
POOL=fogbank
OSDS=3
OSD_BYTES=$((4 << 30))
DEADLINE_SECONDS=120

say() { printf '%s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Asks the cluster, for at most some seconds.
ask() { timeout 60 ceph --conf "$folder/ceph.conf" --connect-timeout 30 "$@" 2>>"$folder/log/ask.log"; }

# Waits until a command succeeds; the daemon in question must live.
until_true() {
    local what=$1
    shift
    while ! "$@"; do
        [ $SECONDS -lt $DEADLINE_SECONDS ] || die "no $what after $DEADLINE_SECONDS s; logs: $folder/log"
        all_live || die "a daemon ended while waiting for $what; logs: $folder/log"
        sleep 0.1
    done
}

all_live() {
    local file
    for file in "$folder"/pid/*; do
        [ ! -e "$file" ] || kill -0 "$(cat "$file")" 2>/dev/null || return 1
    done
}

# Starts a daemon in the foreground of a session of its own: its pid is the shell's child's.
daemon() {
    local name=$1
    shift
    setsid "$@" --foreground --conf "$folder/ceph.conf" >"$folder/log/$name.out" 2>&1 </dev/null &
    echo $! >"$folder/pid/$name"
}

write_conf() {
    local ports
    ports=$(python3 - <<'PY'
import socket
sockets = [socket.socket() for _ in range(2)]
for each in sockets:
    each.bind(("127.0.0.1", 0))
print(*(each.getsockname()[1] for each in sockets))
PY
    )
    mon_address="[v2:127.0.0.1:${ports% *},v1:127.0.0.1:${ports#* }]"
    cat >"$folder/ceph.conf" <<CONF
[global]
fsid = $fsid
mon host = $mon_address
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms cluster mode = crc
ms service mode = crc
ms client mode = crc
ms mon cluster mode = crc
ms mon service mode = crc
ms mon client mode = crc
run dir = $folder/run
admin socket = $folder/run/\$name.asok
pid file = $folder/run/\$name.pid
log file = $folder/log/\$name.log
mon cluster log file = $folder/log/cluster.log
crash dir = $folder/crash
keyring = $folder/keyring
osd crush chooseleaf type = 0
osd pool default size = 3
osd pool default min size = 2
osd pool default pg num = 16
osd pool default pg autoscale mode = off
max open files = 4096

[mon]
mon data = $folder/mon
mon data avail warn = 1
mon data avail crit = 1
mon osd down out interval = 600
auth allow insecure global id reclaim = false
mon allow pool delete = true
paxos propose interval = 0.1

[mgr]
mgr data = $folder/mgr
mgr initial modules =
mgr stats period = 1

[osd]
osd data = $folder/osd\$id
osd objectstore = bluestore
bluestore block size = $OSD_BYTES
bluestore block create = true
bluestore fsck on mkfs = false
bluestore cache size = 67108864
bluestore cache autotune = false
osd memory target = 939524096
osd crush update on start = true
osd class update on start = false
osd heartbeat interval = 1
osd heartbeat grace = 5
osd mon report interval = 1
CONF
}

start_monitor() {
    ceph-authtool --create-keyring "$folder/keyring" --gen-key -n mon. --cap mon 'allow *' \
        >>"$folder/log/ask.log" 2>&1
    monmaptool --create --fsid "$fsid" --addv a "$mon_address" "$folder/monmap" \
        >>"$folder/log/ask.log" 2>&1
    ceph-mon --conf "$folder/ceph.conf" --mkfs --id a --monmap "$folder/monmap" \
        --keyring "$folder/keyring" >>"$folder/log/ask.log" 2>&1
    daemon mon ceph-mon --id a
    until_true "monitor" ask mon stat >/dev/null
}

# OSDs are made and started side by side: most of that time is the disk's.
start_osds() {
    local osd uuid made=()
    for ((osd = 0; osd < OSDS; osd++)); do
        mkdir -p "$folder/osd$osd"
        uuid=$(cat /proc/sys/kernel/random/uuid)
        ask osd new "$uuid" "$osd" >/dev/null
        ceph-osd --conf "$folder/ceph.conf" --id "$osd" --mkfs --osd-uuid "$uuid" \
            >>"$folder/log/mkfs$osd.log" 2>&1 &
        made+=($!)
    done
    for osd in "${made[@]}"; do wait "$osd" || die "an OSD could not be made; logs: $folder/log"; done
    for ((osd = 0; osd < OSDS; osd++)); do daemon "osd$osd" ceph-osd --id "$osd"; done
    until_true "OSDs" all_up
}

all_up() { [ "$(ask osd stat --format json | sed -n 's/.*"num_up_osds":\([0-9]*\).*/\1/p')" = "$OSDS" ]; }

takes_writes() {
    echo probe | timeout 20 rados --conf "$folder/ceph.conf" --pool "$POOL" put probe - \
        2>>"$folder/log/ask.log" &&
        timeout 20 rados --conf "$folder/ceph.conf" --pool "$POOL" rm probe 2>>"$folder/log/ask.log"
}

start() {
    local program
    for program in ceph ceph-mon ceph-mgr ceph-osd rados monmaptool ceph-authtool; do
        command -v "$program" >/dev/null ||
            die "There is no $program: apt-get install --no-install-recommends $PACKAGES"
    done
    [ ! -e "$folder/ceph.conf" ] || die "$folder has a Ceph already"
    mkdir -p "$folder"/{mon,mgr,run,log,pid,crash}
    fsid=$(cat /proc/sys/kernel/random/uuid)
    trap 'stop_processes' ERR EXIT
    write_conf
    start_monitor
    daemon mgr ceph-mgr --id x
    start_osds
    ask osd pool create "$POOL" >/dev/null
    ask osd pool application enable "$POOL" fogbank >/dev/null
    until_true "pool" takes_writes
    trap - ERR EXIT
    say "Ceph took $SECONDS s to start."
    echo "$folder/ceph.conf"
}

# Ends what the pid files name, if it is still one of this folder's daemons.
stop_processes() {
    local file pid
    for file in "$folder"/pid/*; do
        [ -e "$file" ] || continue
        pid=$(cat "$file")
        if tr '\0' ' ' <"/proc/$pid/cmdline" 2>/dev/null | grep -qF "$folder/ceph.conf"; then
            kill -KILL "$pid" 2>/dev/null || true
            while kill -0 "$pid" 2>/dev/null && ! grep -q '^State:.Z' "/proc/$pid/status" 2>/dev/null; do
                sleep 0.05
            done
        fi
        rm -f "$file"
    done
}

install() {
    local package missing=()
    for package in $PACKAGES; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "Installing Debian packages, once, about a minute: ${missing[*]}"
    apt-get update >&2
    DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends "${missing[@]}" >&2
}

usage="usage: ceph.sh install | start FOLDER | stop FOLDER | osd FOLDER N"
[ "${1:-}" = install ] || [ $# -ge 2 ] || die "$usage"
folder=$(readlink -m "${2:-/}")
case $1 in
install) install ;;
start) start ;;
stop)
    stop_processes
    [ ! -e "$folder/ceph.conf" ] || rm -rf "$folder"
    ;;
osd) daemon "osd$3" ceph-osd --id "$3" ;;
*) die "$usage" ;;
esac
