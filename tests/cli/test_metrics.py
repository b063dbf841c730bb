"""memctl metrics: what is in it, its files, its server; and the alert rules and the dashboard against a real Prometheus."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_classic

from memd.cli import metrics, metrics_http
from memd.cli.main import main
from memd.client.types import Status
from memd.errors import Failed
from tests.bus.buses import dbus_daemon
from tests.bus.daemon import Daemon, running
from tests.cli.machines import BARE, BOARD, HOSTILE

TREE = Path(__file__).parents[2]
RULES = TREE / "packaging/prometheus"
DASHBOARD = TREE / "packaging/grafana/memd.json"
FULL: Status = {
    **BOARD,
    "cma": [{**BOARD["cma"][0], "largest_run": 4096, "fragmentation": 0.5, "state": "fragmented", "peak": 9, "failures": 2}],
    "unit_pressure": [{"unit": "camera.service", "level": "low", "since": 1.0, "watched": True}],
    "lending": {"lent_bytes": 1, "lent_buffers": 1, "max_bytes": 2, "max_buffers": 2, "refused": 7},
    "owners": [{"owner": "camera.service", "lent_bytes": 4096, "lent_buffers": 1, "refused": 0}],
}  # fmt: skip
needs_prometheus = pytest.mark.skipif(
    not (shutil.which("promtool") and shutil.which("prometheus")), reason="no prometheus and promtool on this machine"
)


def values(text: str) -> dict[str, float]:
    """`name{label="x"}` -> value."""
    found = {}
    for family in parse_openmetrics(text):  # type: ignore[no-untyped-call]
        for sample in family.samples:
            labels = ",".join(f'{key}="{value}"' for key, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_what_a_machine_tells() -> None:
    told = values(metrics.openmetrics(FULL).decode())

    assert told["memd_up"] == 1
    assert told['memd_info{version="0.1.0"}'] == 1
    assert told["memd_pressure_level"] == 2
    assert told['memd_stall_ratio{kind="some",seconds="10"}'] == pytest.approx(0.1234)
    assert told['memd_memory_bytes{kind="total"}'] == 4 << 30
    assert told['memd_zram_cost_bytes{device="/dev/zram0"}'] == 284 << 20
    assert told['memd_cma_largest_run_bytes{region="reserved"}'] == 4096
    assert told['memd_cma_failures_total{region="reserved"}'] == 2
    assert told['memd_cma_state{region="reserved",state="fragmented"}'] == 1
    assert told['memd_heap_lent_bytes{heap="system"}'] == 96 << 20
    assert told['memd_owner_lent_bytes{owner="camera.service"}'] == 4096
    assert told['memd_unit_pressure_level{unit="camera.service"}'] == 1
    assert told["memd_refusals_total"] == 7
    assert told["memd_swap_fill_ratio"] == pytest.approx(1 / 3)


def test_what_is_not_told_is_absent() -> None:
    told = values(metrics.openmetrics(BARE).decode())

    assert not [name for name in told if name.startswith(("memd_zram", "memd_cma", "memd_stall"))]


def test_hostile_names_are_only_labels() -> None:
    text = metrics.openmetrics(HOSTILE).decode()

    assert values(text)["memd_up"] == 1
    assert list(parse_classic(metrics.classic(HOSTILE).decode()))


def test_no_memd_is_a_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "memd.prom"
    status = main(["--bus", "unix:path=/nonexistent", "metrics", "--textfile", str(path)])

    assert status == 3
    assert "memd_up 0.0" in path.read_text()
    assert os.listdir(tmp_path) == ["memd.prom"]
    assert oct(path.stat().st_mode & 0o777) == "0o644"
    assert main(["--bus", "unix:path=/nonexistent", "metrics"]) == 3
    assert values(capsys.readouterr().out) == {"memd_up": 0}


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(Failed, match="can't be written: No such file or directory"):
        metrics.write(str(tmp_path / "nowhere/memd.prom"), b"")


@pytest.mark.parametrize("address", ["9853", "localhost:9853", "127.0.0.1:0", "127.0.0.1:99999", ":1", "[::1]"])
def test_wrong_addresses_are_usage(address: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--listen", address]) == 2
    assert "is no address to listen on" in capsys.readouterr().err


def test_the_socket_is_systemds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["metrics", "--socket"]) == 1
    assert "use --listen" in capsys.readouterr().err


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "prometheus_client", None)

    with pytest.raises(Failed, match="install python3-prometheus-client"):
        metrics.openmetrics(BARE)


@contextlib.contextmanager
def serving(status: Status | None) -> Iterator[int]:
    sock = socket.create_server(("127.0.0.1", 0))
    port = sock.getsockname()[1]
    with metrics_http.Server(sock, lambda: status) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield port
        finally:
            server.shutdown()
            thread.join()


def get(port: int, path: str = "/metrics", accept: str = "") -> tuple[str, str]:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Accept": accept} if accept else {})
    with urllib.request.urlopen(request, timeout=10) as answer:
        return answer.headers["Content-Type"], answer.read().decode()


def test_the_server_speaks_what_the_scraper_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_http.Handler, "timeout", 0.2)
    with serving(FULL) as port:
        kind, text = get(port, accept="application/openmetrics-text; version=1.0.0")
        assert kind.startswith("application/openmetrics-text")
        assert values(text)["memd_up"] == 1
        kind, text = get(port)
        assert kind.startswith("text/plain")
        with pytest.raises(urllib.error.HTTPError, match="404"):
            get(port, "/")
        with socket.create_connection(("127.0.0.1", port)) as slow:
            slow.send(b"GET /metr")
            slow.settimeout(5)
            assert slow.recv(1) == b"", "who does not finish is cut off"
        assert get(port)[1]


def test_systemds_socket_is_served_and_left_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    """As systemd hands it over: fd 3, named by $LISTEN_FDS and $LISTEN_PID."""
    script = (
        "import os, socket, sys\n"
        "class Forbidden(socket.socket):\n"
        "    def __init__(self, family=-1, type=-1, proto=-1, fileno=None):\n"
        "        assert fileno is not None, 'RestrictAddressFamilies=AF_UNIX'\n"
        "        super().__init__(family, type, proto, fileno)\n"
        "socket.socket = Forbidden\n"
        "os.dup2(int(sys.argv[1]), 3); os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS='1');"
        "from memd.cli import metrics_http; metrics_http.IDLE = 0.5;"
        "metrics_http.serve(None, lambda: None)"
    )
    with socket.create_server(("127.0.0.1", 0)) as sock:
        command = [sys.executable, "-c", script, str(sock.fileno())]
        with subprocess.Popen(command, pass_fds=[sock.fileno()], cwd=TREE) as process:
            assert "memd_up 0.0" in get(sock.getsockname()[1])[1]
            assert process.wait(20) == 0


def expressions() -> list[str]:
    """Of the rules and of the dashboard."""
    found = re.findall(r"^ +expr: (.*)$", (RULES / "memd.rules.yml").read_text(), re.MULTILINE)
    panels = json.loads(DASHBOARD.read_text())["panels"]
    return found + [target["expr"] for panel in panels for target in panel["targets"]]


def test_rules_and_dashboard_ask_for_metrics_that_are_there() -> None:
    there = {name.partition("{")[0] for name in values(metrics.openmetrics(FULL).decode())}
    asked = {name for expression in expressions() for name in re.findall(r"\bmemd_\w+", expression)}

    assert len(asked) > 10
    assert asked - there == set()


@needs_prometheus
def test_promtool_takes_the_rules_and_the_metrics() -> None:
    for words in (["check", "rules", "memd.rules.yml"], ["test", "rules", "memd.rules.test.yml"]):
        done = subprocess.run(["promtool", *words], cwd=RULES, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    text = metrics.classic(FULL).decode()
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture
def memd(tmp_path: Path) -> Iterator[Daemon]:
    with dbus_daemon(tmp_path) as bus, running(bus.address, tmp_path) as daemon:
        yield daemon


@needs_prometheus
def test_a_real_prometheus_scrapes_a_real_memd(memd: Daemon, tmp_path: Path) -> None:
    """All of it: memd, memctl as its exporter, Prometheus with memd's rules; then each expression that memd ships is asked."""
    exporter, server = free_port(), free_port()
    (tmp_path / "prometheus.yml").write_text(
        f"global: {{scrape_interval: 1s, evaluation_interval: 1s}}\nrule_files: [{RULES}/memd.rules.yml]\n"
        f"scrape_configs:\n- job_name: memd\n  static_configs: [{{targets: ['127.0.0.1:{exporter}']}}]\n"
    )
    command = [sys.executable, "-m", "memd.cli", "--bus", memd.address, "metrics", "--listen", f"127.0.0.1:{exporter}"]
    storage = [f"--storage.tsdb.path={tmp_path}/data", f"--web.listen-address=127.0.0.1:{server}"]
    with (
        subprocess.Popen(command, cwd=TREE) as client,
        subprocess.Popen(
            ["prometheus", f"--config.file={tmp_path}/prometheus.yml", *storage], stderr=subprocess.DEVNULL
        ) as prometheus,
    ):
        try:
            assert wait_for(server, "memd_up")[0]["value"][1] == "1"
            assert wait_for(server, "memd_heap_lent_bytes")[0]["metric"]["heap"]
            for expression in expressions():
                assert ask(server, expression.replace("$instance", ".*")) is not None
            (target,) = fetch(server, "targets")["activeTargets"]
            assert (target["health"], target["lastError"]) == ("up", "")
            assert len(fetch(server, "rules")["groups"][0]["rules"]) == 9
        finally:
            for process in (client, prometheus):
                process.terminate()


def fetch(port: int, what: str) -> Any:
    answer = json.loads(get(port, f"/api/v1/{what}")[1])
    assert answer["status"] == "success", answer
    return answer["data"]


def ask(port: int, expression: str) -> list[Any]:
    found: list[Any] = fetch(port, "query?query=" + urllib.parse.quote(expression))["result"]
    return found


def wait_for(port: int, expression: str) -> list[Any]:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            found = ask(port, expression)
            if found:
                return found
        time.sleep(0.2)
    raise AssertionError(f"{expression} did not come")
