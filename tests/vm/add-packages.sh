#!/bin/sh
# add-packages.sh TARBALL TREE RESULT PACKAGE...: unpack a root file system, install packages in it with the host's apt, pack it again.
# Runs in a mount namespace of its own, so that nothing stays mounted. What the packages would start by themselves is masked: whoever
# wants one of them starts it.
set -eu
tarball=$1 tree=$2 result=$3
shift 3

mkdir "$tree"
tar --numeric-owner -C "$tree" -xf "$tarball"
mount -t proc proc "$tree/proc"
mount --rbind /dev "$tree/dev"
for what in update "install -y --no-install-recommends $*"; do
    # shellcheck disable=SC2086 # words on purpose
    DEBIAN_FRONTEND=noninteractive apt-get -qq -o "Dir=$tree" -o Dir::Etc::Trusted=/etc/apt/trusted.gpg -o "DPkg::Chroot-Directory=$tree" \
        -o DPkg::Options::=--force-unsafe-io -o APT::Sandbox::User=root -o Acquire::Languages=none $what
done
umount "$tree/proc"
umount -l "$tree/dev"

for unit in earlyoom nohang nohang-desktop low-memory-monitor systemd-oomd; do
    ln -sf /dev/null "$tree/etc/systemd/system/$unit.service"
done
ln -sf /dev/null "$tree/etc/systemd/system/systemd-oomd.socket"
mkdir -p "$tree/etc/systemd/system-generators"
ln -sf /dev/null "$tree/etc/systemd/system-generators/zram-generator"
rm -rf "$tree"/var/cache/apt/archives/*.deb "$tree"/var/lib/apt/lists/*
tar --numeric-owner -C "$tree" -cf "$result" .
rm -rf "$tree"
