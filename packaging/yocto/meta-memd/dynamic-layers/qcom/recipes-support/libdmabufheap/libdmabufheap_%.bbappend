# The rule opens heaps `system` and `reserved` to a group: what is taken there is counted nowhere. memd lends from them instead.
do_install:append() {
    if ${@bb.utils.contains('DISTRO_FEATURES', 'memd', 'true', 'false', d)}; then
        rm -f ${D}${sysconfdir}/udev/rules.d/dmaheap.rules ${D}${nonarch_base_libdir}/udev/rules.d/dmaheap.rules
    fi
}
