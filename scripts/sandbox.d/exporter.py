"""Writes what cAdvisor would say about the sandbox's containers, and the states its alert rules need, as a node exporter text file.

Usage: exporter.py DOCKER_SOCKET TEXTFILE STATS_DIR
Figures come from the containers' cgroups and network namespaces where these can be read, else from the engine's
statistics; a change that the engine reports wakes it at once, so a pass reads no more than it must.
"""

import http.client
import json
import os
import re
import socket
import sys
import threading
import time
from urllib.parse import quote

PERIOD = 2.0
DISK_PERIOD = 30.0
FILTER = quote(json.dumps({"label": ["opsbot.sandbox=1", "opsbot.sandbox.role=customer"]}))
EVENTS = quote(
    json.dumps(
        {
            "type": ["container"],
            "label": ["opsbot.sandbox=1"],
            "event": ["start", "die", "create", "destroy", "health_status", "pause", "unpause", "rename", "update", "oom"],
        }
    )
)
STAT_LINE = re.compile(r"^(sandbox_\w+) (\d+)$", re.M)


class Engine(http.client.HTTPConnection):
    def __init__(self, path, timeout=10):
        super().__init__("docker", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)

    def get(self, url):
        self.request("GET", url)
        reply = self.getresponse()
        body = reply.read()
        if reply.status == 404:
            return None
        if reply.status != 200:
            raise OSError(f"engine answered {reply.status} to {url}")
        return json.loads(body)


class Watch(threading.Thread):
    """Follows the engine's events: sets `changed` and collects which containers to look at again."""

    def __init__(self, path):
        super().__init__(daemon=True)
        self.path, self.changed = path, threading.Event()
        self.lock, self.dirty, self.all = threading.Lock(), set(), True

    def run(self):
        while True:
            try:
                engine = Engine(self.path, timeout=None)
                engine.request("GET", f"/events?filters={EVENTS}")
                with self.lock:
                    self.all = True
                for line in engine.getresponse():
                    with self.lock:
                        self.dirty.add(json.loads(line)["id"])
                    self.changed.set()
            except (OSError, ValueError, http.client.HTTPException):
                pass
            time.sleep(1)

    def take(self):
        with self.lock:
            dirty, everything = self.dirty, self.all
            self.dirty, self.all = set(), False
        self.changed.clear()
        return dirty, everything


def cgroup_paths(pid):
    """The folders of a process's cgroups: {"memory": …, "cpuacct": …} for version 1, {"": …} for version 2."""
    found = {}
    with open(f"/proc/{pid}/cgroup") as lines:
        for line in lines:
            _, names, path = line.rstrip("\n").split(":", 2)
            for name in names.split(","):
                root = "/sys/fs/cgroup" + (f"/{name}" if name else "")
                if os.path.isdir(root + path):
                    found[name] = root + path
    return found


def number(path):
    with open(path) as file:
        return int(file.read())


def table(path):
    with open(path) as file:
        return {key: int(value) for key, value in (line.split()[:2] for line in file)}


def usage_from_cgroup(pid):
    """CPU seconds and working set in bytes, read where cAdvisor reads them."""
    paths = cgroup_paths(pid)
    if "memory" in paths and "cpuacct" in paths:
        cpu = number(paths["cpuacct"] + "/cpuacct.usage") / 1e9
        used = number(paths["memory"] + "/memory.usage_in_bytes")
        idle = table(paths["memory"] + "/memory.stat").get("total_inactive_file", 0)
    else:
        cpu = table(paths[""] + "/cpu.stat")["usage_usec"] / 1e6
        used = number(paths[""] + "/memory.current")
        idle = table(paths[""] + "/memory.stat").get("inactive_file", 0)
    return cpu, max(used - idle, 0)


def network_of(pid):
    received = sent = 0
    with open(f"/proc/{pid}/net/dev") as lines:
        for line in list(lines)[2:]:
            name, figures = line.split(":", 1)
            if name.strip() != "lo":
                fields = figures.split()
                received, sent = received + int(fields[0]), sent + int(fields[8])
    return received, sent


def usage_from_engine(engine, ident):
    stats = engine.get(f"/containers/{ident}/stats?stream=false&one-shot=true")
    memory = stats["memory_stats"]
    detail = memory.get("stats", {})
    idle = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    nets = stats.get("networks", {}).values()
    return (
        stats["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9,
        max(memory.get("usage", 0) - idle, 0),
        sum(net["rx_bytes"] for net in nets),
        sum(net["tx_bytes"] for net in nets),
    )


def usage(engine, box):
    """(CPU seconds, working set, received, sent) of a running container."""
    pid = box["State"]["Pid"]
    try:
        return usage_from_cgroup(pid) + network_of(pid)
    except (OSError, KeyError, ValueError):
        return usage_from_engine(engine, box["Id"])


def epoch(stamp):
    return time.mktime(time.strptime(stamp[:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone


def text(labels):
    quoted = (f'{key}="{str(value).translate(ESCAPES)}"' for key, value in labels.items())
    return "{" + ",".join(quoted) + "}"


ESCAPES = {ord("\\"): r"\\", ord('"'): r"\"", ord("\n"): r"\n"}


class Page:
    """Samples by series name, so that each name's samples stand together as the format asks."""

    def __init__(self):
        self.series = {}

    def add(self, kind, name, labels, value):
        self.series.setdefault((name, kind), []).append(f"{name}{text(labels)} {value}")

    def write(self, path):
        lines = []
        for (name, kind), samples in self.series.items():
            lines.append(f"# HELP {name} Of the sandbox.\n# TYPE {name} {kind}")
            lines += samples
        with open(path + ".tmp", "w") as file:
            file.write("\n".join(lines) + "\n")
        os.rename(path + ".tmp", path)


def describe(page, engine, box, disk, stats_dir):
    labels, state = box["Config"]["Labels"], box["State"]
    customer = labels["opsbot.sandbox.customer"]
    service = labels["opsbot.sandbox.service"]
    name = box["Name"].lstrip("/")
    mine = {"customer": customer, "service": service, "name": name}
    health = state.get("Health", {}).get("Status", "none")
    page.add("gauge", "sandbox_container_running", mine, int(state["Running"] and not state["Restarting"]))
    page.add("gauge", "sandbox_container_restarting", mine, int(state["Restarting"]))
    page.add("gauge", "sandbox_container_unhealthy", mine, int(health == "unhealthy"))
    page.add("gauge", "sandbox_container_restart_count", mine, box["RestartCount"])
    page.add("gauge", "sandbox_container_exit_code", mine, state["ExitCode"])
    try:
        with open(os.path.join(stats_dir, f"{customer}-{service}", "web.prom")) as file:
            for series, value in STAT_LINE.findall(file.read()):
                kind = "counter" if series.endswith("_total") else "gauge"
                page.add(kind, series, mine, value)
    except OSError:
        pass
    if not state["Running"] or state["Restarting"]:
        return
    try:
        cpu, memory, received, sent = usage(engine, box)
    except (OSError, KeyError, TypeError):
        return  # it ended while we looked; its next event brings it back
    seen = {"id": "/docker/" + box["Id"], "image": box["Config"]["Image"], "name": name}
    for key, value in sorted(labels.items()):
        if not key.startswith("opsbot.sandbox"):
            seen["container_label_" + re.sub(r"\W", "_", key)] = value
    page.add("counter", "container_cpu_usage_seconds_total", {**seen, "cpu": "total"}, f"{cpu:.6f}")
    page.add("gauge", "container_memory_working_set_bytes", seen, memory)
    page.add("gauge", "container_spec_memory_limit_bytes", seen, box["HostConfig"]["Memory"])
    page.add("gauge", "container_fs_usage_bytes", {**seen, "device": "overlay"}, disk.get(box["Id"], 0) + log_size(box))
    page.add("gauge", "container_fs_limit_bytes", {**seen, "device": "overlay"}, disk_total(stats_dir))
    page.add("counter", "container_network_receive_bytes_total", {**seen, "interface": "eth0"}, received)
    page.add("counter", "container_network_transmit_bytes_total", {**seen, "interface": "eth0"}, sent)
    page.add("gauge", "container_last_seen", seen, f"{time.time():.0f}")
    page.add("gauge", "container_start_time_seconds", seen, f"{epoch(state['StartedAt']):.0f}")


def log_size(box):
    try:
        return os.stat(box["LogPath"]).st_size
    except OSError:
        return 0


def disk_total(path):
    whole = os.statvfs(path)
    return whole.f_frsize * whole.f_blocks


def main():
    socket_path, target, stats_dir = sys.argv[1:4]
    watch = Watch(socket_path)
    watch.start()
    boxes, disk, disk_at = {}, {}, 0.0
    while True:
        started = time.monotonic()
        engine = Engine(socket_path)
        try:
            dirty, everything = watch.take()
            if started - disk_at > DISK_PERIOD:
                listed = engine.get(f"/containers/json?all=1&size=1&filters={FILTER}")
                disk, disk_at = {box["Id"]: box.get("SizeRw", 0) for box in listed}, started
                everything = True
            if everything:
                listed = engine.get(f"/containers/json?all=1&filters={FILTER}")
                boxes, dirty = {}, {box["Id"] for box in listed}
            for ident in dirty:
                box = engine.get(f"/containers/{ident}/json")
                if box and box["Config"]["Labels"].get("opsbot.sandbox.role") == "customer":
                    boxes[ident] = box
                else:
                    boxes.pop(ident, None)
            page = Page()
            for box in sorted(boxes.values(), key=lambda box: box["Name"]):
                describe(page, engine, box, disk, stats_dir)
            page.write(target)
        except (OSError, ValueError, http.client.HTTPException) as error:
            print(f"exporter: {error}", file=sys.stderr, flush=True)
            with watch.lock:
                watch.all = True
        finally:
            engine.close()
        watch.changed.wait(max(PERIOD - (time.monotonic() - started), 0.2))
        time.sleep(0.2)  # several events of one restart become one pass


if __name__ == "__main__":
    main()
