# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors

"""What is measured: scenarios, the figures that each gives, and targets."""

from dataclasses import dataclass, field

KB = 1024


@dataclass(frozen=True)
class Figure:
    """A quantity of a row."""
    name: str
    unit: str
    more: bool = False  # more is better
    digits: int = 1


RATE = Figure('throughput', 'MB/s', True, 0)
CPU_GB = Figure('CPU', 's/GB', False, 3)
PER_SECOND = Figure('rate', '/s', True, 0)
CPU_EACH = Figure('CPU', 'µs', False, 0)
P50 = Figure('p50', 'µs')
P99 = Figure('p99', 'µs')
LATENCY = Figure('time', 'ms', False, 2)
PAUSE = Figure('longest pause', 'ms', False, 2)
PAUSE99 = Figure('p99 pause', 'ms', False, 2)
IDLE = Figure('processes', 'KB each')
BURST = Figure('processes, after 16 KiB', 'KB each')
KERNEL = Figure('kernel', 'KB each')
KERNEL_BURST = Figure('kernel, after 16 KiB', 'KB each')
BASE = Figure('processes, before any', 'MB RSS')
BASE_PROXY = Figure('worker and keeper', 'MB RSS')


@dataclass(frozen=True)
class Target:
    """What ours is to be, next to theirs."""
    kind: str  # 'ratio', 'difference' or 'value'
    bound: float
    more: bool = False  # at least the bound

    def met(self, ours, theirs, ratio):
        got = {'ratio': ratio, 'value': ours,
               'difference': None if theirs is None else ours - theirs}
        value = got[self.kind]
        if value is None:
            return False
        return value >= self.bound if self.more else value <= self.bound

    def __str__(self):
        sign = '≥' if self.more else '≤'
        return {'ratio': f'{sign} {self.bound:g}×',
                'difference': f'{sign} +{self.bound:g}',
                'value': f'{sign} {self.bound:g}'}[self.kind]


def at_least(x):
    return Target('ratio', x, True)


def at_most(x):
    return Target('ratio', x)


@dataclass
class Scenario:
    group: str
    title: str
    role: str  # of what is measured
    activity: str
    peer: str
    figures: tuple
    conns: int = 1
    size: int = 16384
    key: str = 'ecdsa'
    resume: bool = False
    tls12: bool = False
    hybrid: bool = False  # the peer offers X25519MLKEM768
    blocking: bool = True
    one_core: bool = False  # all processes of both ends
    quick: bool = False
    seconds: float = 0.6
    reps: int = 5
    sides: tuple = ('libtls',)  # what ours is compared with
    targets: dict = field(default_factory=dict)  # figure: Target
    note: str = ''


FRONTS = ('stunnel', 'hitch')


def size_name(size):
    return f'{size // 1024} KiB' if size >= 1024 else f'{size} byte'


def bulk():
    for role in 'server', 'client':
        for activity, peer in ('send', 'recv'), ('recv', 'send'):
            for conns in 1, 16:
                for size in 1024, 16384, 65536:
                    middle = size == 16384
                    targets = {}
                    if middle and conns == 1:
                        targets = {RATE: at_least(1.2), CPU_GB: at_most(0.8)}
                    elif middle and role == 'server':
                        targets = {RATE: at_least(1.5)}
                    fronts = FRONTS if middle and role == 'server' else ()
                    verb = 'sends' if activity == 'send' else 'receives'
                    yield Scenario(
                        'bulk',
                        f'{role} {verb}, {conns} '
                        f'connection{"s" if conns > 1 else ""}, '
                        f'{size_name(size)} calls',
                        role, activity, peer, (RATE, CPU_GB), conns=conns,
                        size=size, blocking=conns == 1, targets=targets,
                        sides=('libtls',) + fronts,
                        quick=middle and (role == 'server' or conns == 1))


def handshakes():
    def one(title, conns=1, bound=None, role='server', **more):
        figures = (PER_SECOND, CPU_EACH)
        return Scenario(
            'handshake', f'{title}, {conns} at a time', role,
            'echo' if role == 'server' else 'shake',
            'shake' if role == 'server' else 'echo', figures, conns=conns,
            blocking=conns == 1,
            targets={} if bound is None else {CPU_EACH: at_most(bound)},
            **more)

    both = ('libtls',) + FRONTS
    for conns in 1, 32:
        yield one('server, full, ECDSA P-256', conns, 0.85, sides=both,
                  quick=True)
        yield one('server, full, RSA-2048', conns, 1.3, key='rsa', sides=both,
                  quick=conns == 1)
        yield one('server, full, Ed25519', conns, key='ed25519')
        yield one('server, resumed', conns, 0.9, resume=True,
                  quick=conns == 1,
                  note='Debian\'s libtls resumes nothing as a server')
    yield one('server, full, ECDSA P-256, X25519MLKEM768', hybrid=True,
              note='the peer runs on libtls-proxy; '
                   'Debian\'s libtls takes X25519')
    yield one('client, full, ECDSA P-256', 1, 0.85, role='client', quick=True)
    yield one('client, full, RSA-2048', 1, role='client', key='rsa')
    yield one('client, resumed, TLS 1.3', 1, 0.9, role='client', resume=True,
              note='Debian\'s libtls resumes nothing with TLS 1.3')
    yield one('client, resumed, TLS 1.2', 1, 0.9, role='client', resume=True,
              tls12=True)


def round_trips():
    for role in 'server', 'client':
        for size in 1, 1024, 16384:
            first = size == 1
            yield Scenario(
                'roundtrip', f'{role}, {size_name(size)}', role,
                'echo' if role == 'server' else 'ping',
                'ping' if role == 'server' else 'echo', (P50, P99), size=size,
                targets={P50: Target('difference', 6)} if first else {},
                sides=('libtls',) +
                (FRONTS if first and role == 'server' else ()),
                quick=first)
    yield Scenario(
        'roundtrip', 'server, 1 byte, all processes on one core', 'server',
        'echo', 'ping', (P50, P99), size=1, one_core=True, quick=True)


def starts():
    yield Scenario(
        'start', 'one-shot client, tls_init to the first byte', 'client',
        'once', 'echo', (LATENCY,), quick=True,
        targets={LATENCY: Target('difference', 4)})
    yield Scenario(
        'start', 'server that forks for each connection, ECDSA P-256',
        'server', 'fork', 'shake', (PER_SECOND, CPU_EACH), quick=True)


def loops():
    yield Scenario(
        'loop', 'epoll server while 32 clients do RSA-2048 handshakes',
        'server', 'echo', 'shake', (PAUSE, PAUSE99), conns=32, key='rsa',
        blocking=False, quick=True, seconds=1.0,
        targets={PAUSE: at_most(0.1)})


def idles():
    for conns in 1000, 10000:
        many = conns == 10000
        targets = {IDLE: Target('value', 9), BURST: Target('value', 12)}
        yield Scenario(
            'idle', f'{conns:,} connections', 'server', 'echo', 'hold',
            (IDLE, KERNEL, BURST, KERNEL_BURST) +
            (() if many else (BASE, BASE_PROXY)), conns=conns, blocking=False,
            sides=('libtls',) + (() if many else FRONTS), reps=3,
            targets=targets if many else {BASE_PROXY: Target('value', 14)},
            quick=not many)


def scenarios():
    for make in bulk, handshakes, round_trips, loops, starts, idles:
        yield from make()


def better(figure):
    """The target next to stunnel and hitch."""
    return at_least(1.0) if figure.more else at_most(1.0)
