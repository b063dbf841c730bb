# Swap is memd's: two managers would each make a device. What else the package has stays.
SYSTEMD_AUTO_ENABLE = "${@bb.utils.contains('DISTRO_FEATURES', 'memd', 'disable', 'enable', d)}"
