#!/bin/sh
# assemble.sh TARBALL TREE IMAGE PACKAGE OVERLAY...: unpack a root file system, lay the overlays on it, install memd's package in it
# with apt, and make an ext4 image of the whole. Runs in a mount namespace of its own, so that nothing stays mounted.
set -eu
tarball=$1 tree=$2 image=$3 package=$4
shift 4

mkdir "$tree"
tar --numeric-owner -C "$tree" -xf "$tarball"
for overlay; do
    cp -RP --preserve=mode "$overlay/." "$tree/"
done
chown -R root:root "$tree/opt/memd-tests"

# An empty machine-id would make each boot a first boot, which applies presets.
echo 0123456789abcdef0123456789abcdef >"$tree/etc/machine-id"
echo memd-test >"$tree/etc/hostname"
rm -f "$tree/etc/systemd/system/multi-user.target.wants/ssh.service" "$tree/etc/systemd/system/sshd.service" \
    "$tree/etc/systemd/system/sockets.target.wants/ssh.socket" "$tree/etc/systemd/system/dbus.service"
for timer in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service; do
    ln -sf /dev/null "$tree/etc/systemd/system/$timer"
done
chroot "$tree" passwd -q -d root

if [ -n "$package" ]; then
    cp "$package" "$tree/opt/memd.deb"
    mount -t proc proc "$tree/proc"
    mount --rbind /dev "$tree/dev"
    DEBIAN_FRONTEND=noninteractive chroot "$tree" apt-get -y --no-install-recommends \
        -o Dpkg::Options::=--force-unsafe-io install /opt/memd.deb
    # pytest rewrites and compiles the tests: once here, not at each boot, where it takes ten seconds
    [ ! -d "$tree/opt/memd-tests/inside" ] || env -u PYTHONDONTWRITEBYTECODE chroot "$tree" \
        sh -c "cd /opt/memd-tests/inside && MEMD_RESULTS=/dev/null python3 -m pytest -qq --collect-only -p no:cacheprovider ." || true
    umount "$tree/proc"
    umount -l "$tree/dev"
fi

# What a first boot would rebuild (ld.so's cache, the journal's catalog, users) apt has just made.
touch "$tree/etc/.updated" "$tree/var/.updated"
mke2fs -q -t ext4 -d "$tree" "$image" "$(($(du -sm "$tree" | cut -f1) + 600))M"
rm -rf "$tree"
