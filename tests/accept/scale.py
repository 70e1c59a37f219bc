#!/usr/bin/env python3
"""How the daemon holds up: a million groups, rows a second from files and from pages, time to a webhook.

usage: scale.py LARUM [--groups N] [--rows N] [--alerts N]      prints a table in Markdown

LARUM is the program, built as it is released. What is asked of it stands beside each figure; nothing here
judges. The daemon runs on one core, what it is measured with on another where there is one.
"""

import argparse
import contextlib
import datetime
import http.server
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import time

PROJECT = "0123456789abcdef0123456789abcdef"
RULES = pathlib.Path(__file__).resolve().parents[2] / "rules"
THREE = [
    RULES / "identity/failure-burst.yaml",
    RULES / "identity/unusual-public-ip.yaml",
    RULES / "operations/very-slow-sign-in.yaml",
]
TICKS = os.sysconf("SC_CLK_TCK")


def rfc3339(seconds):
    moment = datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03}Z"


def row(number, user, at, failed):
    """A row of `app_logins`, with the fields that the service documents."""
    return json.dumps(
        {
            "id": f"row-{number}",
            "connect_type": "2",
            "user_name": user,
            "desktop_group_name": "pool-07",
            "start_time": rfc3339(at),
            "end_time": rfc3339(at),
            "machine_sid": "S-1-5-21-3623811015-3361044348-30042",
            "machine_name": "APS-0042",
            "failed_reason": "Incorrect username or password" if failed else "success",
            "failed_code": "" if failed else "WKS.00000000",
            "client_mac": "00-16-3e-5e-6c-00",
            "client_name": "LT-0042",
            "client_ip": "192.168.128.214",
            "client_version": "24.1.3",
            "client_type": "Windows 10",
            "agent_version": "23.2.2.0423",
            "machine_ip": "10.16.188.184",
            "connect_flag": "0",
            "public_ip": f"203.0.113.{number % 250}",
        },
        separators=(",", ":"),
    )


class Daemon:
    """`larum run` in a folder, on the first core."""

    def __init__(self, larum, folder):
        self.larum, self.folder, self.process = larum, folder, None

    def start(self):
        log = open(self.folder / "run.log", "ab")
        on_one = (lambda: os.sched_setaffinity(0, {0})) if os.cpu_count() > 1 else None
        # A secret of the service's: nobody checks it here.
        known = dict(os.environ, AK="scale-access-key", SK="scale-secret-key", TOKEN="t" * 40)
        began = time.monotonic()
        self.process = subprocess.Popen(
            [self.larum, "run", "--config", "larum.yaml"],
            cwd=self.folder, env=known, stdout=log, stderr=log, preexec_fn=on_one,
        )
        return began

    def status(self):
        told = subprocess.run(
            [self.larum, "status", "--output", "json", "--config", "larum.yaml"],
            cwd=self.folder, env=dict(os.environ, AK="a", SK="s", TOKEN="t" * 40), capture_output=True,
        )
        try:
            status = json.loads(told.stdout)
        except ValueError:
            return None
        return status if status.get("running") else None

    def until(self, holds, every=0.02):
        while True:
            if self.process.poll() is not None:
                sys.exit("the daemon ended:\n" + (self.folder / "run.log").read_text()[-2000:])
            status = self.status()
            if status and holds(status):
                return status
            time.sleep(every)

    def seconds(self):
        """Processor time so far."""
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def memory(self, key):
        """Of its memory, in MiB: `VmRSS` now, `VmHWM` at most."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(key + ":"):
                return int(line.split()[1]) / 1024
        return 0.0

    def kill(self):
        """As a machine that loses power: nothing is written at the end."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def written(self):
        """Bytes that it has given to the disk so far."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        return 0

    def stop(self):
        """Ends it as it should end, with a checkpoint; bytes that it gave to the disk for that."""
        before = self.written()
        self.process.terminate()
        _, status, spent = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        return spent.ru_oublock * 512 - before


def rows_of(status):
    return sum(lane["rows"] for lane in status["lanes"].values())


def configured(folder, rules, sources, receivers="  - {name: out, kind: file, path: out.ndjson}"):
    named = ", ".join(str(rule) for rule in rules)
    (folder / "larum.yaml").write_text(
        f"store: larum.db\nrules: [{named}]\nsources:\n{sources}\nreceivers:\n{receivers}\n"
        "routes:\n  - {match: {}, to: [out]}\nops: [out]\n"
    )


def more(daemon, folder, name, numbers, known, at):
    """Rows of users that the daemon knows, until it has taken them in."""
    rows = rows_of(daemon.until(lambda status: True))
    with open(folder / "new.part", "w") as out:
        for number in numbers:
            out.write(row(number, f"user{number % known}", at, True) + "\n")
    os.rename(folder / "new.part", folder / f"in/{name}.ndjson")
    daemon.until(lambda status: rows_of(status) >= rows + len(numbers), 0.2)


def checkpointed(daemon, folder, name, known, numbers, at):
    """MiB that are written for rows and the checkpoint with which the daemon ends."""
    before = daemon.written()
    more(daemon, folder, name, numbers, known, at)
    return (daemon.written() - before + daemon.stop()) / 2**20


def groups(larum, folder, count):
    """A group a row, all within one window."""
    (folder / "many.yaml").write_text(
        "rule: many\ntitle: Failures of one user\nlevel: low\nmatch: {outcome: failure}\n"
        "count: {at_least: 5, within: 24h, by: [user]}\n"
        'alert: {title: "{{ user }}: {{ count }} failures"}\n'
        "tests:\n  - name: four stay quiet\n    events:\n"
        "      - {every: 1m, times: 4, user_name: ana, outcome: failure}\n    alerts: none\n"
    )
    configured(folder, [folder / "many.yaml"], '  - {name: in, kind: file, path: "in/*.ndjson", follow: true}')
    (folder / "in").mkdir()
    begin = time.time() - 7_200
    daemon = Daemon(larum, folder)
    # What it holds without them.
    daemon.start()
    daemon.until(lambda status: True)
    time.sleep(1)
    empty = daemon.memory("VmRSS")
    with open(folder / "new.part", "w") as out:
        for number in range(count):
            out.write(row(number, f"user{number}", begin + number * 3_600 / count, True) + "\n")
    os.rename(folder / "new.part", folder / "in/a.ndjson")
    daemon.until(lambda status: rows_of(status) == count, 0.2)
    status = daemon.until(lambda status: True)
    held = status["rules"]["many"]
    most, now = daemon.memory("VmHWM"), daemon.memory("VmRSS")
    size = (folder / "larum.db").stat().st_size / 2**20
    daemon.kill()
    began = daemon.start()
    again = lambda status: status["rules"].get("many", held)["groups"] >= held["groups"]
    daemon.until(again)
    restart, after = time.monotonic() - began, daemon.memory("VmRSS")
    # The first checkpoint of a process is of the whole state. What a hundred rows more cost once they are in
    # another one is counted as the daemon ends, which takes one.
    hundred = lambda number: range(count + number, count + number + 100)
    whole = checkpointed(daemon, folder, "b", count, hundred(0), begin + 3_700)
    daemon.start()
    daemon.until(again)
    # Enough rows for one checkpoint, then a hundred for another.
    more(daemon, folder, "c", range(count + 100, count + 40_100), count, begin + 3_800)
    changed = checkpointed(daemon, folder, "d", count, hundred(40_100), begin + 3_900)
    yield f"groups of one `count` rule | {held['groups']:,} | 1,000,000"
    yield f"its own account of them, MiB | {held['bytes'] / 2**20:.0f} | under 200"
    yield f"memory of the daemon, MiB: before, after, at most | {empty:.0f}, {now:.0f}, {most:.0f} | "
    yield f"memory of the daemon after a restart, MiB | {after:.0f} | "
    yield f"store, MiB | {size:.0f} | "
    yield f"written for 100 rows more and a checkpoint, MiB: of all, of what changed | {whole:.2f}, {changed:.2f} | what changed"
    yield f"from SIGKILL to all groups there again, s | {restart:.2f} | under 3"


def files(larum, folder, count):
    """A file of rows that the daemon has not seen, under three rules."""
    configured(folder, THREE, '  - {name: in, kind: file, path: "in/*.ndjson", follow: true}')
    (folder / "in").mkdir()
    daemon = Daemon(larum, folder)
    daemon.start()
    daemon.until(lambda status: True)
    begin = time.time() - 7_200
    with open(folder / "new.part", "w") as out:
        for number in range(count):
            user, at = f"user{number % 2_000}", begin + number * 3_600 / count
            out.write(row(number, user, at, number % 33 == 0) + "\n")
    spent, began = daemon.seconds(), time.monotonic()
    os.rename(folder / "new.part", folder / "in/a.ndjson")
    daemon.until(lambda status: rows_of(status) == count, 0.05)
    took, spent = time.monotonic() - began, daemon.seconds() - spent
    daemon.stop()
    yield f"rows a second from a file, committed | {count / took:,.0f} | 20,000"
    yield f"rows a processor second | {count / spent:,.0f} | "


class Service(http.server.ThreadingHTTPServer):
    """The list of `app_logins`, newest last; who asks is not asked who they are."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Answers)
        self.rows, self.starts, self.lock = [], [], threading.Lock()
        # When a row was first on a page.
        self.shown = {}


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        query = dict(part.split("=") for part in self.path.split("?")[1].split("&"))
        at = lambda text: datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
        begin, end = at(body["login_start_time"]), at(body["login_end_time"])
        with self.server.lock:
            within = [number for number, start in enumerate(self.server.starts) if begin <= start <= end]
            offset, limit = int(query.get("offset", 0)), int(query.get("limit", 10))
            page = within[offset : offset + limit]
            answer = f'{{"count":{len(within)},"items":[{",".join(self.server.rows[number] for number in page)}]}}'
            now = time.monotonic()
            for number in page:
                self.server.shown.setdefault(number, now)
        self.answer(answer.encode())

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


class Hook(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Taker)
        self.came, self.lock = [], threading.Lock()


class Taker(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with self.server.lock:
            self.server.came.append((time.monotonic(), body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def serving(server):
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()


def polled(service, every):
    base = f"http://127.0.0.1:{service.server_port}"
    return (
        f"  - {{name: prod, kind: huawei, region: ap-southeast-3, project_id: {PROJECT}, "
        "credentials: {ak: env:AK, sk: env:SK}, endpoints: [app_logins], "
        f"every: {every}, settle: 10s, lookback: 1m, since: 3h, requests: {{per_second: 200, burst: 200}}, "
        f"base_url: {{workspace: {base}, workspaceapp: {base}, iam: {base}}}}}"
    )


def pages(larum, folder, count):
    """A backlog of pages of a hundred rows, under three rules."""
    with serving(Service()) as service:
        begin = time.time() - 7_200
        for number in range(count):
            at = begin + number * 3_600 / count
            service.rows.append(row(number, f"user{number % 2_000}", at, number % 33 == 0))
            service.starts.append(at)
        configured(folder, THREE, polled(service, "5s"))
        daemon = Daemon(larum, folder)
        began = daemon.start()
        daemon.until(lambda status: rows_of(status) >= count, 0.1)
        took, spent = time.monotonic() - began, daemon.seconds()
        daemon.stop()
    yield f"rows a second from pages of 100, committed | {count / took:,.0f} | "
    yield f"rows a processor second | {count / spent:,.0f} | 20,000"


def webhooks(larum, folder, count):
    """A row that a rule fires for, one a page; its webhook."""
    (folder / "each.yaml").write_text(
        "rule: each\ntitle: A failure\nlevel: critical\nmatch: {outcome: failure}\n"
        "cooldown: off\n"
        'alert: {title: "{{ user }} failed"}\n'
        "tests:\n  - name: one\n    events:\n      - {user_name: ana, outcome: failure}\n"
        "    alerts:\n      - {user: ana}\n"
    )
    with serving(Service()) as service, serving(Hook()) as hook:
        receiver = f'  - {{name: out, kind: webhook, url: "http://127.0.0.1:{hook.server_port}/"}}'
        configured(folder, [folder / "each.yaml"], polled(service, "1s"), receiver)
        daemon = Daemon(larum, folder)
        daemon.start()
        lanes = lambda status: list(status["lanes"].values())
        daemon.until(lambda status: lanes(status) and not any(lane["behind"] for lane in lanes(status)))
        for number in range(count):
            with service.lock:
                service.rows.append(row(number, f"user{number}", time.time() - 1, True))
                service.starts.append(time.time() - 1)
            while True:
                with service.lock:
                    if number in service.shown:
                        break
                time.sleep(0.005)
        deadline = time.monotonic() + 60
        while len(hook.came) < count and time.monotonic() < deadline:
            time.sleep(0.1)
        daemon.stop()
    waits = []
    for came, body in hook.came:
        alert = json.loads(body)
        for number in range(count):
            if f'"row-{number}"' in json.dumps(alert.get("evidence", {})):
                waits.append((came - service.shown[number]) * 1_000)
    waits.sort()
    if not waits:
        sys.exit("no webhook came:\n" + (folder / "run.log").read_text()[-2000:])
    rank = lambda share: waits[min(len(waits) - 1, int(len(waits) * share))]
    yield f"webhooks of {count} alerts | {len(waits)} | {count}"
    yield f"page to webhook, ms: median, 99th of a hundred, most | {rank(0.5):.1f}, {rank(0.99):.1f}, {waits[-1]:.1f} | under 50 (99th)"


def main():
    asked = argparse.ArgumentParser()
    asked.add_argument("larum")
    asked.add_argument("--groups", type=int, default=1_000_000)
    asked.add_argument("--rows", type=int, default=200_000)
    asked.add_argument("--alerts", type=int, default=200)
    asked.add_argument("--only", choices=["groups", "files", "pages", "webhooks"])
    asked = asked.parse_args()
    if os.cpu_count() > 1:
        os.sched_setaffinity(0, {1})
    larum = str(pathlib.Path(asked.larum).resolve())
    print("| measured | came out | asked |\n| --- | --- | --- |")
    for part, count in [(groups, asked.groups), (files, asked.rows), (pages, asked.rows), (webhooks, asked.alerts)]:
        if asked.only in (None, part.__name__):
            with tempfile.TemporaryDirectory() as folder:
                for line in part(larum, pathlib.Path(folder), count):
                    print(f"| {line} |", flush=True)


if __name__ == "__main__":
    main()
