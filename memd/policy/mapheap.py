"""What a custom CMA heap needs beside its region: a device node that names it, and where the kernel makes no heap by itself, a module.

Kernels from 7.x make a heap of every reusable shared-dma-pool. Qualcomm's 6.6 tree exports cma_heap_add (include/linux/dma-heap.h) and
leaves the call to a driver: the module here is that driver. Mainline before 7 has neither.
"""

from __future__ import annotations

import re

from memd.policy.mapdts import indented

MODULE = """\
// SPDX-License-Identifier: GPL-2.0-only
/*
 * Offers the CMA region "@REGION@" as /dev/dma_heap/@REGION@ on Qualcomm's 6.6 kernel, which exports
 * cma_heap_add(). Kernels from 7.x make the heap themselves and do not need this.
 *
 * Made by memctl map plan. It was compiled against a stub of the kernel's headers, not against Qualcomm's tree.
 */
#include <linux/device.h>
#include <linux/dma-heap.h>
#include <linux/mod_devicetable.h>
#include <linux/module.h>
#include <linux/of_reserved_mem.h>
#include <linux/platform_device.h>

static int @IDENT@_probe(struct platform_device *pdev)
{
	struct device *dev = &pdev->dev;
	int rc;

	rc = of_reserved_mem_device_init_by_idx(dev, dev->of_node, 0);
	if (rc)
		return dev_err_probe(dev, rc, "no reserved memory behind memory-region\\n");

	if (!dev->cma_area) {
		rc = dev_err_probe(dev, -ENODEV, "memory-region is no CMA region\\n");
		goto release;
	}

	rc = cma_heap_add(dev->cma_area, NULL);
	if (rc) {
		dev_err_probe(dev, rc, "cma_heap_add failed\\n");
		goto release;
	}
	return 0;

release:
	of_reserved_mem_device_release(dev);
	return rc;
}

static const struct of_device_id @IDENT@_match[] = {
	{ .compatible = "@COMPATIBLE@" },
	{ }
};
MODULE_DEVICE_TABLE(of, @IDENT@_match);

/* A heap can't be taken away again, so neither can its device or this module. */
static struct platform_driver @IDENT@_driver = {
	.probe = @IDENT@_probe,
	.driver = {
		.name = "@IDENT@",
		.of_match_table = @IDENT@_match,
		.suppress_bind_attrs = true,
	},
};

static int __init @IDENT@_init(void)
{
	return platform_driver_register(&@IDENT@_driver);
}
module_init(@IDENT@_init);

MODULE_DESCRIPTION("DMA-BUF heap of the CMA region @REGION@");
MODULE_LICENSE("GPL");
"""


def compatible(name: str) -> str:
    return f"memd,{name.replace(',', '-')}-heap"


def identifier(name: str) -> str:
    """A C identifier and a module's name: `my-cma` -> `my_cma_heap`."""
    plain = re.sub(r"[^A-Za-z0-9]", "_", name)
    return f"{'_' if plain[0].isdigit() else ''}{plain}_heap"


def device(name: str, label: str) -> list[str]:
    """The device node, as lines. It also says to everybody who reads the tree that the region has a user."""
    head = re.sub(r"[^A-Za-z0-9,._+-]", "-", name)[:26]
    lines = [f'compatible = "{compatible(name)}";', f"memory-region = <&{label}>;"]
    return [f"{head}-heap {{", *indented(lines, 1), "};"]


def files(name: str) -> dict[str, str]:
    """The module's files by name, for a directory of its own."""
    ident = identifier(name)
    text = MODULE.replace("@IDENT@", ident).replace("@REGION@", name).replace("@COMPATIBLE@", compatible(name))
    makefile = f"# make -C KERNEL M=$PWD modules, with the kernel tree that the board runs.\nobj-m := {ident}.o\n"
    return {f"{ident}.c": text, "Kbuild": makefile}
