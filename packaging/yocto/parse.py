"""Read meta-memd with bitbake's own parser and print what it makes of it, as JSON.

The package that PyPI has is bitbake without its hash server, and without OpenEmbedded's classes: what the recipes inherit is there by
name and empty, and of bitbake.conf only what a recipe's own text needs. So this is the layer's own text: its syntax, its Python, its shell
functions, what is appended to whom. What the classes make of it is seen by a build alone.
"""

import json
import os
import sys
import tempfile
import types
from pathlib import Path

for missing in ("hashserv", "hashserv.client"):  # of the hash server: siggen imports it for those who have one
    sys.modules[missing] = types.ModuleType(missing)

import bb.codeparser
import bb.data
import bb.parse
import bb.siggen

LAYER = Path(__file__).parent / "meta-memd"
CLASSES = "externalsrc features_check packagegroup python_setuptools_build_meta systemd useradd"
# As OpenEmbedded's bitbake.conf has them.
CONF = {
    "PN": "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[0]}",
    "PV": "${@bb.parse.vars_from_file(d.getVar('FILE', False), d)[1]}",
    "THISDIR": "${@os.path.dirname(d.getVar('FILE'))}",
    "D": "/image",
    "S": "/source",
    "prefix": "/usr",
    "sysconfdir": "/etc",
    "datadir": "${prefix}/share",
    "nonarch_libdir": "${prefix}/lib",
    "nonarch_base_libdir": "/lib",
    "systemd_system_unitdir": "${nonarch_libdir}/systemd/system",
    "OVERRIDES": "pn-${PN}",
}
# A recipe of another layer, as far as the append touches it.
OTHERS = {
    "linux-yocto": 'SRC_URI = "git://kernel"',
    "linux-qcom": 'SRC_URI = "git://kernel"',
    "linux-qcom-next": 'SRC_URI = "git://kernel"',
    "zram": "",
    "libdmabufheap": "do_install() {\n    :\n}",
}


def main() -> None:
    with tempfile.TemporaryDirectory() as place:
        plain = _conf(Path(place))
        found = {path.stem.split("_")[0]: _recipe(plain, path) for path in sorted(LAYER.glob("recipes-*/*/*.bb"))}
        for path in sorted(LAYER.rglob("*.bbappend")):
            name = path.stem.split("_")[0]
            base = Path(place) / f"{name}_1.bb"
            base.write_text(OTHERS[name] + "\n")
            for features in ("", "memd"):
                plain.setVar("DISTRO_FEATURES", features)
                found[f"{name} {features}".strip()] = _recipe(plain, base, path)
    print(json.dumps(found, indent=1))


def _conf(place: Path) -> "bb.data_smart.DataSmart":
    """The configuration with the layer's own in it."""
    (place / "classes-recipe").mkdir()
    for name in CLASSES.split():
        (place / f"classes-recipe/{name}.bbclass").touch()
    data = bb.data.init()
    for name, value in {**CONF, "BBPATH": str(place), "TOPDIR": str(place), "LAYERDIR": str(LAYER)}.items():
        data.setVar(name, value)
    bb.parse.siggen = bb.siggen.init(data)
    return bb.parse.handle(str(LAYER / "conf/layer.conf"), data, True)  # noqa: FBT003 - as bitbake has it


def _recipe(conf: "bb.data_smart.DataSmart", path: Path, append: Path | str = "") -> dict[str, object]:
    """Every variable, expanded; `runs`: the commands of do_install, as bitbake's shell parser sees them."""
    data = conf.createCopy()
    data.setVar("__BBAPPEND", str(append))
    data.setVar("FILE", str(path))
    data.setVar("__bbclasstype", "recipe")
    data = bb.parse.handle(str(path), data)[""]
    names = [name for name in set(data) if not name.startswith("_") and name not in os.environ]
    found: dict[str, object] = {name: data.getVar(name) for name in names if not data.getVarFlag(name, "python")}
    shell = bb.codeparser.ShellParser("do_install", bb.codeparser.logger)
    found["runs"] = sorted(shell.parse_shell(data.getVar("do_install") or ""))
    return found


main()
