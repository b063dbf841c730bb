SUMMARY = "Memory daemon: zram swap, DMA-BUF heaps over D-Bus, memory pressure"
DESCRIPTION = "Sizes zram swap by RAM, lends DMA-BUF heap memory to unprivileged programs by rules, watches memory pressure and CMA."
HOMEPAGE = "https://example.org/memd"
BUGTRACKER = "https://example.org/memd/issues"
SECTION = "base"
CVE_PRODUCT = "memd"
LICENSE = "MIT"
LIC_FILES_CHKSUM = "file://LICENSE;md5=81293ab0c6ed4cbdbb57ad152aa07dc1"

inherit externalsrc python_setuptools_build_meta systemd useradd features_check

# This layer lies in the checkout.
EXTERNALSRC = "${@os.path.realpath(os.path.join(d.getVar('THISDIR'), *['..'] * 5))}"

REQUIRED_DISTRO_FEATURES = "systemd"

SYSTEMD_SERVICE:${PN} = "memd.service memd-swap.service"

# As systemd/memd.sysusers: members may borrow from heap `system`, and who serves metrics.
USERADD_PACKAGES = "${PN}"
GROUPADD_PARAM:${PN} = "--system dmaheap"
USERADD_PARAM:${PN} = "--system --no-create-home --home-dir / --shell /sbin/nologin --user-group memd-metrics"

do_install:append() {
    install -d ${D}${systemd_system_unitdir} ${D}${nonarch_libdir}/sysusers.d ${D}${nonarch_libdir}/systemd/catalog
    install -m 0644 ${S}/systemd/*.service ${D}${systemd_system_unitdir}
    for unit in ${S}/systemd/*.socket ${S}/systemd/*.timer; do
        [ ! -e "$unit" ] || install -m 0644 "$unit" ${D}${systemd_system_unitdir}
    done
    install -m 0644 ${S}/systemd/memd.sysusers ${D}${nonarch_libdir}/sysusers.d/memd.conf
    install -m 0644 ${S}/systemd/memd.catalog ${D}${nonarch_libdir}/systemd/catalog
    install -d ${D}${sysconfdir}/memd
    install -m 0644 ${S}/systemd/memd.conf ${D}${sysconfdir}/memd/memd.conf
    install -d ${D}${datadir}/dbus-1/system.d ${D}${datadir}/dbus-1/system-services ${D}${datadir}/dbus-1/interfaces
    install -m 0644 ${S}/dbus/*.conf ${D}${datadir}/dbus-1/system.d
    install -d ${D}${datadir}/polkit-1/actions
    install -m 0644 ${S}/dbus/*.policy ${D}${datadir}/polkit-1/actions
    install -m 0644 ${S}/dbus/*.service ${D}${datadir}/dbus-1/system-services
    install -m 0644 ${S}/dbus/*.xml ${D}${datadir}/dbus-1/interfaces
    install -D -m 0644 ${S}/packaging/completion/memctl.bash ${D}${datadir}/bash-completion/completions/memctl
}

FILES:${PN} += "\
    ${systemd_system_unitdir} \
    ${nonarch_libdir}/sysusers.d \
    ${nonarch_libdir}/systemd/catalog \
    ${datadir}/dbus-1 \
    ${datadir}/polkit-1 \
    ${datadir}/bash-completion \
"
CONFFILES:${PN} = "${sysconfdir}/memd/memd.conf"

RDEPENDS:${PN} = "\
    dbus \
    kmod \
    python3-asyncio \
    python3-core \
    python3-ctypes \
    python3-dbus-next \
    python3-fcntl \
    python3-io \
    python3-json \
    python3-logging \
    python3-mmap \
    python3-netclient \
    python3-psutil \
    python3-pyudev \
    python3-systemd \
    python3-threading \
    python3-xml \
"
# The map of .dtb files; the kernel may have zram built in.
RRECOMMENDS:${PN} = "kernel-module-zram python3-dtc"
RCONFLICTS:${PN} = "zram-generator"
