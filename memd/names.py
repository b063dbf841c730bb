"""Names that others depend on: bus, interfaces, journal MESSAGE_IDs. Imports nothing."""

BUS_NAME = "org.memd1"
ROOT_PATH = "/org/memd1"
MANAGER = "org.memd1.Manager"
HEAP = "org.memd1.Heap"
ZRAM = "org.memd1.Zram"
CMA = "org.memd1.Cma"
REGION = "org.memd1.Region"
JOB = "org.memd1.Job"

# Heap words that are not heaps' own names.
CONTIGUOUS = "contiguous"
ANY = "any"
SIMULATED = "simulated"
UDMABUF = "udmabuf"
SYSTEM = "system"

# The group whose members may use heap `system` by default (systemd/memd.sysusers).
GROUP = "dmaheap"

# Journal catalog identifiers (systemd/memd.catalog). Never reuse one.
MESSAGE_ZRAM_READY = "29e1770067604dd785cdef4f098d06be"
MESSAGE_ZRAM_OFF = "57952e5959094c14b6fa8f11064585c0"
MESSAGE_ZRAM_FAILED = "65eddf9711274624b0460da6ad282c07"
MESSAGE_PRESSURE = "5013d00b166a4320bcb62a71db9c83a7"
MESSAGE_REFUSED = "e4154887c18f4f3ba4efa3922dc3c35a"
MESSAGE_CMA_FAILED = "ef3166cbac1d490590e376e16f020535"
MESSAGE_DEGRADED = "4ea86dcc4efe4415beb284564b7ac2fe"
MESSAGE_MISSING = "6c24564efb0443189cc8f69c1e84df4e"
MESSAGE_BOOKS = "fd437e82da824b8087b522279dc787f9"
MESSAGE_ZRAM_CARE = "794e4e097f644803801dcbaf553a5d56"
MESSAGE_WRITTEN_OFF = "9035ce1047fc44129a6ae96c61c0b3a4"
MESSAGE_UNIT_STARTED = "efd3448eb9744ef3a70b8ef675fb3927"
MESSAGE_UNIT_FAILED = "3ee66fb8dc4042adb555b9ebf3d13629"
MESSAGE_UNIT_PRESSURE = "0ac893d7faa14c77ad51a1da714dbb65"
MESSAGE_ZRAM_CHANGED = "573d08df8d70420581aa1fe32f43381e"
MESSAGE_ZRAM_LIMIT = "5195151f4e93475c8abb99c820697e2f"
