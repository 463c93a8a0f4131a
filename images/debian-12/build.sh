#!/bin/bash
# Builds fogbank-debian-12: build.sh WORKDIR OUTPUT.raw
HERE=$(dirname "$(realpath "$0")")
# shellcheck source=images/lib.sh
. "$HERE/../lib.sh"
recipe_start "$@"

SIZE_MIB=8192
UUID=0f09ba2c-0012-4000-8000-646562690012
DISK_ID=f09ba012
CMDLINE="console=tty0 console=ttyS0,115200 nvme_core.io_timeout=4294967295 net.ifnames=0 rootflags=discard,errors=remount-ro"

# The cloud kernel has NVMe and ext4 built in, so the image needs no initramfs;
# leaving it out saves seconds at every boot.
export INITRD=No
debootstrap 2 75 --variant=apt \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-include=/usr/share/doc/*/copyright' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --essential-hook='printf "grub-pc grub-pc/install_devices_empty boolean true\ngrub-pc grub-pc/install_devices multiselect\n" | chroot "$1" debconf-set-selections' \
  --include="$(tr '\n' ' ' <<'EOF'
linux-image-cloud-amd64 grub-pc systemd systemd-sysv systemd-resolved systemd-timesyncd
dbus libpam-systemd udev cloud-init cloud-guest-utils e2fsprogs fdisk openssh-server
openssh-sftp-server sudo ca-certificates curl wget iproute2 iputils-ping procps kmod
less vim-tiny nano netbase bash-completion
EOF
)" $SUITE "$ROOT"

progress 76 "Setting up the root file system"
cd "$ROOT"
cp -r "$HERE/files/." .
chmod -R u=rwX,go=rX etc/cloud etc/systemd etc/default/grub.d etc/modprobe.d
in_root() { chroot "$ROOT" "$@"; }

echo "# The root file system is mounted by the kernel command line." >etc/fstab
mkdir -p usr/lib/fogbank
install -m 755 "$HERE/../common/grow" usr/lib/fogbank/grow
cat >etc/apt/sources.list <<EOF
deb http://deb.debian.org/debian $SUITE main
deb http://deb.debian.org/debian $SUITE-updates main
deb http://deb.debian.org/debian-security $SUITE-security main
EOF
rm -f etc/apt/sources.list.d/*
echo "GRUB_CMDLINE_LINUX=\"$CMDLINE\"" >>etc/default/grub.d/fogbank.cfg
kernel=$(cd lib/modules && echo *)
rm -f boot/initrd.img*
mkdir -p boot/grub
# The first boots use this; a kernel upgrade's update-grub writes its own.
cat >boot/grub/grub.cfg <<EOF
set timeout=0
menuentry "Debian GNU/Linux" {
  linux /boot/vmlinuz-$kernel root=PARTUUID=$DISK_ID-01 rootfstype=ext4 rw $CMDLINE
}
EOF
mkdir -p boot/grub/i386-pc
cp /usr/lib/grub/i386-pc/*.{mod,lst} boot/grub/i386-pc/

echo localhost >etc/hostname
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >etc/hosts
: >etc/machine-id
rm -f var/lib/dbus/machine-id etc/ssh/ssh_host_* var/lib/systemd/random-seed
ln -sf ../run/systemd/resolve/stub-resolv.conf etc/resolv.conf
echo 'LANG=C.UTF-8' >etc/default/locale
in_root passwd -l root

progress 80 "Choosing the services"
in_root systemctl enable systemd-networkd.service systemd-resolved.service ssh.service serial-getty@ttyS0.service \
  fogbank-grow.service fogbank-timesync.timer
in_root systemctl disable systemd-networkd-wait-online.service systemd-timesyncd.service ssh.socket || true
# Slow under emulation, or of no use in an instance.
in_root systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer \
  e2scrub_all.timer e2scrub_reap.service fstrim.timer getty@tty1.service \
  systemd-pstore.service systemd-binfmt.service modprobe@drm.service \
  modprobe@configfs.service modprobe@dm_mod.service modprobe@loop.service modprobe@fuse.service \
  modprobe@efi_pstore.service sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
  sys-fs-fuse-connections.mount systemd-network-generator.service systemd-update-utmp.service \
  systemd-update-utmp-runlevel.service systemd-ask-password-console.path systemd-ask-password-wall.path \
  keyboard-setup.service console-setup.service grub-common.service \
  systemd-journal-flush.service cloud-init-local.service cloud-config.service cloud-init-hotplugd.socket
# cloud-init always runs here, and the others have nothing to find.
mkdir -p etc/systemd/system-generators
for name in cloud-init-generator systemd-{bless-boot,cryptsetup,debug,gpt-auto,hibernate-resume,integritysetup,system-update,veritysetup}-generator; do
  ln -sf /dev/null etc/systemd/system-generators/$name
done
mkdir -p etc/systemd/system/multi-user.target.wants
ln -sf /lib/systemd/system/cloud-init.target etc/systemd/system/multi-user.target.wants/

progress 83 "Cleaning up"
rm -rf var/cache/apt/*.bin var/lib/apt/lists/* var/log/{apt,dpkg.log,bootstrap.log,alternatives.log} \
  var/cache/debconf/*-old var/lib/dpkg/*-old var/cache/ldconfig/aux-cache etc/.pwd.lock \
  tmp/* run/* etc/{passwd,group,shadow,gshadow,subuid,subgid}-
# depmod's text forms are only for people; the kernel's map is for debuggers.
rm -f boot/System.map-*
find usr/lib/python3 -name test -type d -prune -exec rm -rf {} +

progress 86 "Making the disk"
settle "$ROOT"
make_disk "$ROOT" $SIZE_MIB $UUID debian-12 $DISK_ID 2048
progress 96 "Installing GRUB"
install_grub "$HERE/grub.cfg" biosdisk part_msdos ext2 normal linux echo
finish_disk
cd "$WORK"
rm -rf --one-file-system "$ROOT"
progress 100 "Done: $(du -m "$OUTPUT" | cut -f1) MiB used of $SIZE_MIB"
