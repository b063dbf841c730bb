FILESEXTRAPATHS:prepend := "${THISDIR}/../../../../recipes-kernel/linux/files:"
SRC_URI:append = "${@bb.utils.contains('DISTRO_FEATURES', 'memd', ' file://memd.cfg', '', d)}"
