"""A cloud of an ordinary user: no root, no capabilities, sockets as its uplink."""

import os
import pwd
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

from fogbank_cloud import Cloud, program

USER = "fogbank-test"
PING_GROUPS = Path("/proc/sys/net/ipv4/ping_group_range")


class Person:
    """Who runs the cloud: a user made for it if root runs the tests, else whoever runs them."""

    def __init__(self):
        self.made = False
        self.ping_groups = None
        if os.geteuid() != 0:
            self.name = pwd.getpwuid(os.geteuid()).pw_name
            return
        self.name = USER
        try:
            pwd.getpwnam(USER)
        except KeyError:
            subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=True)
            self.made = True
        # What distributions with systemd set by themselves.
        self.ping_groups = PING_GROUPS.read_text()
        PING_GROUPS.write_text("0 2147483647\n")

    @property
    def entry(self):
        return pwd.getpwnam(self.name)

    def gone(self):
        if self.ping_groups:
            PING_GROUPS.write_text(self.ping_groups)
        if self.made:
            subprocess.run(["userdel", "--remove", USER], check=True, capture_output=True)

    def within(self):
        """What runs a command as this person, in an environment as after a login."""
        if os.geteuid() != 0:
            return []
        entry = self.entry
        clean = ["env", "-i", f"HOME={entry.pw_dir}", f"USER={self.name}", "PATH=/usr/bin:/bin"]
        return ["setpriv", f"--reuid={entry.pw_uid}", f"--regid={entry.pw_gid}", "--clear-groups",
                "--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", *clean]


class RootlessCloud(Cloud):
    """A cloud in a folder of a person's, by a copy of the program that this person can read."""

    def __init__(self, person, *options, hypervisor):
        super().__init__(*options, hypervisor=hypervisor)
        self.person = person
        self.folder = Path(tempfile.mkdtemp(prefix="fogbank-rootless-"))
        self.folder.chmod(0o755)
        self.binary = self.folder / "fogbank"
        shutil.copy2(program(), self.binary)
        if os.geteuid() == 0:
            os.chown(self.data, person.entry.pw_uid, person.entry.pw_gid)

    def command(self, words):
        data = ["--data", str(self.data)]
        return [*self.person.within(), str(self.binary), *words[:1], *data, *words[1:]]

    def fogbank(self, *words, check=True, seconds=600, within=()):
        assert not within
        command = self.command([str(word) for word in words])
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=seconds,
            check=False, cwd="/",
        )
        if check:
            assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
        return done

    @property
    def run_folder(self):
        return str(self.data / "run")

    def destroy(self):
        try:
            super().destroy()
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)

    def inside(self):
        """The host's address as instances know it."""
        text = self.fogbank("status", check=False).stdout
        network = re.search(r"instances know as (\S+)\.\d+/22", text).group(1)
        return f"{network}.1"

    def place(self, address, port, protocol="tcp"):
        """Where a port of a public address is on the host; nothing if it isn't offered."""
        text = self.fogbank("status", check=False).stdout
        for line in text.splitlines():
            if not line.startswith(f"Ports     {address}: "):
                continue
            for words in line.split(": ", 1)[1].split(", "):
                found = re.fullmatch(rf"{protocol} (\d+)(?:-(\d+))?(?: at \S+:(\d+))?", words)
                if found and int(found[1]) <= port <= int(found[2] or found[1]):
                    return address, int(found[3] or port)
        return None
