# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors

"""What is measured, as processes: a program with its helpers or behind a
front, and what they cost."""

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time

BUILD = os.path.join(os.path.dirname(os.path.dirname(
    os.path.abspath(__file__))), 'build')
CERTS = os.path.join(BUILD, 'bench/certs')
CIPHER = 'TLS_AES_128_GCM_SHA256'


class Failed(Exception):
    """A run that gave no figure."""


def median(values):
    values = sorted(values)
    middle = len(values) // 2
    if len(values) % 2:
        return values[middle]
    return (values[middle - 1] + values[middle]) / 2


def become_reaper():
    """Makes orphans ours: goproxy's processes are, as they are no children
    of the application."""
    pr_set_child_subreaper = 36
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(pr_set_child_subreaper, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), 'prctl')


def processes():
    """The parent of each process."""
    parents = {}
    for name in os.listdir('/proc'):
        if name.isdigit():
            try:
                with open(f'/proc/{name}/stat') as f:
                    stat = f.read()
            except OSError:
                continue
            fields = stat[stat.rindex(')') + 2:].split()
            if fields[0] != 'Z':
                parents[int(name)] = int(fields[1])
    return parents


def descendants(pid=None):
    """All that descend from us, or from the process and it as well."""
    parents = processes()
    found = {os.getpid() if pid is None else pid}
    while True:
        more = {p for p, parent in parents.items()
                if parent in found and p not in found}
        if not more:
            break
        found |= more
    return found - {os.getpid()}


def cpu_clock(pid):
    """Seconds of processor time of all threads, those that have ended too."""
    return time.clock_gettime((~pid << 3) | 2)


def cpu(pids):
    return sum(cpu_clock(pid) for pid in pids)


def memory(pids):
    """(proportional, resident) bytes of the processes."""
    pss = rss = 0
    for pid in pids:
        with open(f'/proc/{pid}/smaps_rollup') as f:
            for line in f:
                if line.startswith('Pss:'):
                    pss += int(line.split()[1]) * 1024
                elif line.startswith('Rss:'):
                    rss += int(line.split()[1]) * 1024
    return pss, rss


def settled(side, quiet=0.5, limit=6.0):
    """The memory of the processes when it has not changed for a while."""
    end = time.monotonic() + limit
    changed = time.monotonic()
    last = memory(side.pids)
    while time.monotonic() < end:
        time.sleep(0.5)
        new = memory(side.pids)
        if abs(new[0] - last[0]) >= new[0] // 500:
            changed = time.monotonic()
        last = new
        if time.monotonic() >= changed + quiet:
            break
    return last


def files(pid):
    """How many descriptors a process has."""
    return len(os.listdir(f'/proc/{pid}/fd'))


SLAB = '/sys/kernel/slab'
# What an end of a TCP connection is to the kernel.
SOCKET = ['TCP', 'sock_inode_cache', 'filp', 'dentry', 'lsm_inode_cache',
          'lsm_file_cache']
COUNTED = ['TCP', 'UNIX', 'sock_inode_cache', 'filp', 'lsm_inode_cache',
           'lsm_file_cache', 'eventpoll_epi', 'eventpoll_pwq']


def slab(name, what):
    try:
        with open(f'{SLAB}/{name}/{what}') as f:
            return int(f.read().split()[0])
    except FileNotFoundError:
        return 0


def kernel_memory(connections):
    """Bytes of kernel objects for sockets, in the whole system but for the
    peer's end of so many connections. All else on the machine should be
    quiet."""
    size = {name: slab(name, 'slab_size') for name in set(COUNTED + SOCKET)}
    total = sum(slab(n, 'objects') * size[n] for n in COUNTED)
    # Files have directory entries too, but only sockets are counted.
    total += slab('sock_inode_cache', 'objects') * size['dentry']
    return total - connections * sum(size[name] for name in SOCKET)


def free_port():
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        return s.getsockname()[1]


class Program:
    """A program of bench/."""

    def __init__(self, command):
        self.errors = tempfile.TemporaryFile('w+')
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.errors, text=True, bufsize=1)
        self.pid = self.process.pid

    def expect(self, word):
        """Waits for the line that begins with word, and returns its rest.
        The program's own limit ends the wait."""
        line = self.process.stdout.readline()
        first, _, rest = line.strip().partition(' ')
        if first != word:
            raise Failed(f'{line!r} instead of {word}: {self.complaint()}')
        return rest

    def complaint(self):
        self.errors.seek(0)
        return self.errors.read().strip().split('\n')[0]

    def say(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()

    def end(self):
        """Closes its input, after which it has to end."""
        if self.process.stdin is not None:
            try:
                self.process.stdin.close()
            except BrokenPipeError:
                pass

    def close(self):
        self.end()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.errors.close()


def program(name):
    return [os.path.join(BUILD, 'bench', 'bench-' + name)]


PROXY_RUN = [os.path.join(BUILD, 'libtls-proxy/tls-proxy-run')]


def stunnel(port, backend, scenario, directory):
    conf = os.path.join(directory, 'stunnel.conf')
    with open(conf, 'w') as f:
        f.write(f'''foreground = yes
pid =
debug = 3
syslog = no
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
[bench]
accept = 127.0.0.1:{port}
connect = 127.0.0.1:{backend}
cert = {CERTS}/{scenario.key}-chain.pem
key = {CERTS}/{scenario.key}.key
sslVersionMin = TLSv1.3
ciphersuites = {CIPHER}
''')
    return ['stunnel4', conf]


def hitch(port, backend, scenario, directory):
    conf = os.path.join(directory, 'hitch.conf')
    pem = os.path.join(directory, 'hitch.pem')
    with open(pem, 'w') as out:
        os.fchmod(out.fileno(), 0o600)
        for name in f'{scenario.key}.key', f'{scenario.key}-chain.pem':
            with open(os.path.join(CERTS, name)) as f:
                out.write(f.read())
    with open(conf, 'w') as f:
        if os.geteuid() == 0:  # as which its workers do not run
            f.write('user = "nobody"\n')
        f.write(f'''frontend = "[127.0.0.1]:{port}"
backend = "[127.0.0.1]:{backend}"
pem-file = "{pem}"
tls-protos = TLSv1.3
ciphersuites = "{CIPHER}"
workers = {os.cpu_count()}
daemon = off
quiet = on
''')
    return ['hitch', '--config=' + conf]


FRONTS = {'stunnel': stunnel, 'hitch': hitch}


class Side:
    """One run of what is measured, as 'ours', 'libtls', 'stunnel' or
    'hitch'. A context: at its end nothing is left."""

    def __init__(self, name):
        self.name = name
        self.programs = []
        self.pids = set()
        self.front = None
        self.directory = tempfile.TemporaryDirectory()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for p in self.programs:
            p.end()
        if self.front is not None:
            self.front.terminate()
            self.front.wait()
        for p in self.programs:
            p.close()
        self.directory.cleanup()
        reap()

    def start(self, command):
        p = Program(command)
        self.programs.append(p)
        return p

    def command(self):
        if self.name in FRONTS:
            return program('plain')
        return (PROXY_RUN if self.name == 'ours' else []) + program('libtls')

    def put_in_front(self, backend, scenario):
        """Starts stunnel or hitch, and returns their port."""
        port = free_port()
        log = os.path.join(self.directory.name, 'log')
        with open(log, 'w') as f:
            self.front = subprocess.Popen(
                FRONTS[self.name](port, backend, scenario,
                                  self.directory.name),
                stdin=subprocess.DEVNULL, stdout=f, stderr=f)
        end = time.monotonic() + 10
        while not listening(port):
            if self.front.poll() is not None or time.monotonic() > end:
                with open(log) as f:
                    raise Failed(f'{self.name} does not listen: {f.read()}')
            time.sleep(0.01)
        return port

    def own(self):
        """Whatever runs now, and is not the peer's, is what is measured."""
        self.pids = descendants()

    def goproxy(self, role=''):
        """The processes of goproxy: workers and keeper, or one of both."""
        found = set()
        for pid in self.pids:
            with open(f'/proc/{pid}/cmdline') as f:
                if f.read().startswith(f'goproxy\0{role}'):
                    found.add(pid)
        return found


def listening(port):
    """Without connecting, which the server would see."""
    with open('/proc/net/tcp') as f:
        return any(f'0100007F:{port:04X} 00000000:0000 0A' in line
                   for line in f)


def reap():
    """Waits until all our descendants have ended, and sees to it."""
    end = time.monotonic() + 10
    while True:
        try:
            while os.waitpid(-1, os.WNOHANG)[0] != 0:
                pass
        except ChildProcessError:
            return
        if time.monotonic() > end:
            for pid in descendants():
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.005)
