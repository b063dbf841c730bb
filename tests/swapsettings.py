"""The machine's own settings of swap, which no memd under test may change: by configuration, and looked at when the tests are over."""

from __future__ import annotations

from pathlib import Path

KEEP = "[Swap]\nSwappiness=keep\nPageCluster=keep\nWatermarkScaleFactor=keep\nWatermarkBoostFactor=keep\n"
NAMES = ("swappiness", "page-cluster", "watermark_scale_factor", "watermark_boost_factor")


def now() -> dict[str, str]:
    """As the kernel has them; a name that it does not have is left out."""
    files = {name: Path("/proc/sys/vm") / name for name in NAMES}
    return {name: file.read_text() for name, file in files.items() if file.exists()}
