#!/bin/bash
# Builds fogbank-tiny: build.sh WORKDIR OUTPUT.raw
HERE=$(dirname "$(realpath "$0")")
# shellcheck source=images/lib.sh
. "$HERE/../lib.sh"
recipe_start "$@"

SIZE_MIB=512
UUID=0f09ba2c-0001-4000-8000-7469e7000001
DISK_ID=f09ba001
# edd=off: the BIOS disk probe finds nothing of use here.
CMDLINE="console=ttyS0,115200 nvme_core.io_timeout=4294967295 net.ifnames=0 edd=off tsc=reliable no_timer_check panic=10"

PACKAGES=$WORK/packages
rm -rf --one-file-system "$PACKAGES"
debootstrap 2 60 --variant=extract --include="$(tr '\n' ' ' <<'EOF'
linux-image-cloud-amd64 busybox-static bash dropbear-bin openssh-sftp-server
sudo libpam-modules e2fsprogs fdisk util-linux coreutils procps curl
ca-certificates less netbase
EOF
)" $SUITE "$PACKAGES"

progress 62 "Laying out the root file system"
mkdir -p "$ROOT"
cd "$ROOT"
mkdir -p usr/bin usr/lib usr/lib64 usr/lib/modules usr/local/bin usr/local/sbin \
  boot dev proc sys run tmp mnt media opt srv root home/ec2-user \
  etc/dropbear etc/ssl/certs etc/security var/log var/tmp var/lib/cloud/data var/spool/cron/crontabs
for dir in bin sbin lib lib64; do ln -s usr/$dir $dir; done
# One directory for all programs: ssh runs commands with a PATH without sbin.
ln -s bin usr/sbin
ln -s ../run var/run
ln -s ../proc/self/mounts etc/mtab
ln -s /run/resolv.conf etc/resolv.conf
chmod 1777 tmp var/tmp
chmod 700 root
chmod 755 home/ec2-user
chown 1000:1000 home/ec2-user
# The kernel opens the console before devtmpfs is there.
mknod -m 600 dev/console c 5 1
mknod -m 666 dev/null c 1 3

# Busybox first, so that real tools replace its applets.
cp "$PACKAGES"/bin/busybox usr/bin/busybox
for applet in $("$PACKAGES"/bin/busybox --list-full); do
  name=${applet##*/}
  case $name in dpkg | dpkg-deb | rpm | rpm2cpio | linuxrc | busybox | login*d) continue ;; esac
  ln -s busybox "usr/bin/$name"
done

# take FILE...: programs of the packages, with the libraries they need
take() {
  local file real target
  for file; do
    real=$file
    [ -e "$PACKAGES$real" ] || real=/usr$file
    target=usr/${file#/}
    target=${target/#usr\/usr\//usr/}
    mkdir -p "${target%/*}"
    cp -a --remove-destination "$(realpath "$PACKAGES$real")" "$target"
    chroot "$PACKAGES" /lib64/ld-linux-x86-64.so.2 --list "$real" 2>/dev/null |
      sed -nE 's,.*[[:space:]](/[^ ]+\.so[^ ]*) .*,\1,p' | while read -r library; do
      target=usr/${library#/}
      target=${target/#usr\/usr\//usr/}
      [ -e "$target" ] && continue
      mkdir -p "${target%/*}"
      cp -L --preserve=mode,timestamps "$PACKAGES$library" "$target"
    done
  done
}
take /bin/bash /usr/sbin/dropbear /usr/bin/dropbearkey /usr/bin/dbclient \
  /usr/lib/openssh/sftp-server /usr/bin/curl /usr/bin/nohup /usr/bin/timeout /bin/mountpoint /bin/ps /usr/bin/pgrep /usr/bin/less \
  /sbin/mke2fs /sbin/resize2fs /sbin/e2fsck /sbin/tune2fs /sbin/dumpe2fs \
  /sbin/sfdisk /sbin/fdisk /sbin/blkid /bin/lsblk /bin/findmnt /usr/bin/partx /usr/bin/resizepart \
  /usr/bin/sudo /usr/libexec/sudo/sudoers.so \
  /lib/x86_64-linux-gnu/security/pam_permit.so /lib/x86_64-linux-gnu/security/pam_deny.so
cp "$PACKAGES"/usr/libexec/sudo/libsudo_util.so.0 usr/libexec/sudo/
cp "$PACKAGES"/lib/x86_64-linux-gnu/libnss_{dns,files}.so.2 usr/lib/x86_64-linux-gnu/
ln -s openssh/sftp-server usr/lib/sftp-server
ln -sf dbclient usr/bin/ssh
ln -sf pgrep usr/bin/pkill
for fs in ext2 ext3 ext4; do
  ln -sf mke2fs usr/bin/mkfs.$fs
  ln -sf e2fsck usr/bin/fsck.$fs
done
for name in poweroff halt reboot shutdown; do ln -sf stop-machine usr/bin/$name; done
cat "$PACKAGES"/usr/share/ca-certificates/mozilla/*.crt >etc/ssl/certs/ca-certificates.crt

progress 66 "Copying the kernel and its modules"
kernel=$(cd "$PACKAGES/lib/modules" && echo *)
modules=usr/lib/modules/$kernel
mkdir -p "$modules"
(
  cd "$PACKAGES/lib/modules/$kernel"
  cp -a --parents modules.builtin* modules.order kernel/{arch,block,crypto,lib,mm,fs} \
    kernel/drivers/{acpi,block,char,input,md,net,nvme,nvdimm,ptp,virtio,vhost} \
    kernel/net/{802,8021q,bridge,core,ipv4,ipv6,key,netfilter,packet,sched,vmw_vsock,xfrm} \
    "$ROOT/$modules" || [ -d "$ROOT/$modules/kernel/drivers/virtio" ]
)
# Network file systems and hardware that no instance has.
rm -rf "$modules"/kernel/fs/{ceph,nfs,nfsd,smb,cifs,afs,gfs2,ocfs2,lockd,nfs_common} \
  "$modules"/kernel/drivers/net/{ethernet,wireless,usb,phy}
# shellcheck disable=SC2164
usr/bin/busybox depmod -b "$ROOT" "$kernel"

cp -r "$HERE/files/." "$ROOT"
cp "$HERE/../common/grow" usr/lib/fogbank/
chmod -R u=rwX,go=rX etc usr/local usr/lib/fogbank
chmod 755 usr/lib/fogbank/* usr/local/bin/* etc/udhcpc/default.script etc/acpi/PWRF/00000080 usr/bin/stop-machine
chmod 644 usr/lib/fogbank/functions usr/lib/fogbank/imds
chmod 440 etc/sudoers etc/sudoers.d/*
chmod 4755 usr/bin/sudo

cat >etc/passwd <<'EOF'
root:x:0:0:root:/root:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
ec2-user:x:1000:1000:EC2 user:/home/ec2-user:/bin/bash
EOF
cat >etc/shadow <<'EOF'
root:*:20000:0:99999:7:::
nobody:*:20000:0:99999:7:::
ec2-user:*:20000:0:99999:7:::
EOF
chmod 600 etc/shadow
cat >etc/group <<'EOF'
root:x:0:
tty:x:5:
disk:x:6:
nogroup:x:65534:
ec2-user:x:1000:
EOF
printf '/bin/sh\n/bin/bash\n' >etc/shells
echo localhost >etc/hostname
printf '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n' >etc/hosts
echo 'hosts: files dns' >etc/nsswitch.conf
: >etc/machine-id
cp "$PACKAGES"/etc/mke2fs.conf etc/
cp "$PACKAGES"/etc/{protocols,services} etc/ 2>/dev/null || true
printf 'Fogbank tiny on %s (%s)\n\n' '\n' '\l' >etc/issue
echo "linux $kernel" >etc/fogbank-image

progress 85 "Making the disk"
settle "$ROOT"
# The kernel lies in a partition of its own, where the loader needs no file
# system to find it.
image=$PACKAGES/boot/vmlinuz-$kernel
sectors=$((($(stat -c %s "$image") + 511) / 512))
root_first=$((2048 + (sectors + 2047) / 2048 * 2048))
make_disk "$ROOT" $SIZE_MIB $UUID fogbank-tiny $DISK_ID $root_first \
  "start=2048, size=$((root_first - 2048)), type=da"
as --32 "$HERE/loader.S" -o "$WORK/loader.o"
ld -m elf_i386 -Ttext 0x7c00 --oformat binary "$WORK/loader.o" -o "$WORK/loader"
{ le 2048 4; le $sectors 4; } | patch "$WORK/loader" 420
printf '%s\0' "root=PARTUUID=$DISK_ID-02 rootfstype=ext4 rw $CMDLINE" | patch "$WORK/loader" $((5 * 512))
head -c 440 "$WORK/loader" | patch "$OUTPUT.part" 0
tail -c +513 "$WORK/loader" | patch "$OUTPUT.part" 512
dd if="$image" of="$OUTPUT.part" bs=1M seek=1 conv=notrunc status=none
finish_disk
rm -rf --one-file-system "$PACKAGES" "$ROOT"
progress 100 "Done: $(du -m "$OUTPUT" | cut -f1) MiB used of $SIZE_MIB"
