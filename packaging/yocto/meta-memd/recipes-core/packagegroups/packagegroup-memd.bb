SUMMARY = "memd and what it uses where it is there"
DESCRIPTION = "memd, its client library for applications, and the tools that memctl and its writeback call."
HOMEPAGE = "https://example.org/memd"
BUGTRACKER = "https://example.org/memd/issues"
SECTION = "base"
LICENSE = "MIT"

inherit packagegroup

RDEPENDS:${PN} = "memd"
RRECOMMENDS:${PN} = "\
    cryptsetup \
    dtc \
    python3-prometheus-client \
"
