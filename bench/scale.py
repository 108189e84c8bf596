# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors

"""How costs grow with the number of connections, configurations and names."""

import contextlib
import json
import os
import subprocess
import tempfile
from dataclasses import dataclass

from scenario import KB, Figure
from side import (CERTS, Failed, Side, cpu, descendants, files, median,
                  program, settled)

NAMES = 10  # of each of many configurations
# Of fewer the memory drowns in what a heap happens to keep.
MANY = 1000
TOTAL = Figure('all processes', 'MB')
EACH = Figure('each connection', 'KB')
NAME = Figure('each name', 'KB')
HANDSHAKE = Figure('CPU of a handshake', 'µs', False, 0)
PING = Figure('p50 of a round trip', 'µs')
CONFIGURE = Figure('time to configure', 'ms')
CONFIGURE_CPU = Figure('CPU to configure', 'µs a name', False, 0)
WORKING = Figure('that work', 'connections', True, 0)
CONNECT = Figure('CPU to connect', 'µs each', False, 0)
WORKERS = Figure('workers', 'processes', False, 0)
FILES = Figure('in one worker', 'descriptors at most', False, 0)
OWN_FILES = Figure('in the application', 'descriptors', False, 0)


@dataclass(frozen=True)
class Series:
    """A quantity that grows. Its run yields figures for each number."""
    name: str
    title: str
    what: str
    numbers: tuple
    quick: tuple  # the numbers of the shortest form
    figures: tuple
    run: callable
    group = 'scale'


class Run:
    """A server, and clients that come and go."""

    def __init__(self, side, seconds, prefix=(), more=()):
        self.side = side
        self.seconds = seconds
        self.clients = set()
        self.more = list(more)
        self.server = side.start(
            list(prefix) + side.command() +
            ['-C', CERTS, '-g', 'X25519'] + self.more + ['server', 'echo'])

    def pids(self):
        """Those of what is measured: workers may have been added."""
        self.side.pids = descendants() - self.clients
        return self.side.pids

    def listen(self):
        self.port = self.server.expect('port')

    def client(self, activity, *more):
        c = self.side.start(
            program('openssl') +
            ['-C', CERTS, '-b', '-g', 'X25519', '-d', str(self.seconds),
             '-s', '1', '-p', self.port] + self.more + list(more) +
            ['client', activity])
        self.clients.add(c.pid)
        return c

    def measured(self, activity):
        """The result of a client, and the CPU that it took."""
        client = self.client(activity)
        client.expect('ready')
        pids = self.pids()
        before = cpu(pids)
        client.say('go')
        result = json.loads(client.expect('result'))
        used = cpu(pids) - before
        client.close()
        self.side.programs.remove(client)
        if result['errors'] or not result['count']:
            raise Failed(f'{activity}: {result["errors"]} errors')
        return result, used

    def handshake(self):
        result, used = self.measured('shake')
        return used / result['count'] * 1e6

    def round_trip(self):
        return self.measured('ping')[0]['p50'] * 1e6

    def memory(self):
        """Or None, where that of other users' processes is not to be seen."""
        if os.geteuid() != 0:
            return None
        self.pids()
        # goproxy gives memory back that it has not used for a second.
        return settled(self.side, 1.5 if self.side.name == 'ours' else 0.5)[0]

    def hold(self, count):
        """Has so many more connections opened, and a byte sent there and back
        on each. Returns the CPU that opening one took."""
        client = self.client('hold', '-c', str(count))
        client.expect('ready')
        before = cpu(self.pids())
        client.say('go')
        expect_all(client, count)
        used = cpu(self.pids()) - before
        client.say('burst')
        expect_all(client, count)
        return used / count * 1e6


def expect_all(client, count):
    held, errors = map(int, client.expect('held').split())
    if held != count or errors != 0:
        raise Failed(f'{held} connections instead of {count}, {errors} '
                     f'errors: {client.complaint()}')


def grown(base, new, count, each):
    """The figures of memory, where there are any."""
    if base is None:
        return {}
    values = {TOTAL: new / KB ** 2}
    if count >= MANY:
        values[each] = (new - base) / count / KB
    return values


def connections(name, numbers, seconds):
    with Side(name) as side:
        run = Run(side, seconds)
        run.listen()
        # What the first connections take is not what each takes.
        run.handshake()
        base = run.memory()
        held = 0
        for n in numbers:
            run.hold(n - held)
            held = n
            new = run.memory()
            yield n, grown(base, new, n, EACH) | {
                HANDSHAKE: run.handshake(), PING: run.round_trip()}


def configured(name, configs, names, seconds, directory):
    """A server with so many configurations, each with so many names, of which
    clients ask for any."""
    with Side(name) as side:
        run = Run(side, seconds, more=['-o', str(configs), '-n', str(names),
                                       '-N', directory])
        run.server.expect('ready')
        base = run.memory()
        before = cpu(run.pids())
        run.server.say('go')
        time = float(run.server.expect('configured'))
        run.listen()
        new = run.memory()
        used = cpu(run.pids()) - before
        count = configs * names
        return grown(base, new, count, NAME) | {
            CONFIGURE: time * 1e3, CONFIGURE_CPU: used / count * 1e6,
            HANDSHAKE: run.handshake()}


def configurations(name, numbers, seconds):
    with certificates(max(numbers) * NAMES) as directory:
        for n in numbers:
            yield n, configured(name, n, NAMES, seconds, directory)


def keypairs(name, numbers, seconds):
    with certificates(max(numbers)) as directory:
        for n in numbers:
            yield n, configured(name, 1, n, seconds, directory)


@contextlib.contextmanager
def certificates(count):
    """A directory with so many, of the names from 0.test on."""
    with tempfile.TemporaryDirectory() as directory:
        subprocess.run(program('names') + [str(count), CERTS, directory],
                       check=True)
        yield directory


def limited(name, numbers, seconds):
    """Nine tenths of what the hard limit of descriptors allows."""
    for n in numbers:
        limit = n * 10 // 9
        with Side(name) as side:
            run = Run(side, seconds,
                      ['prlimit', f'--nofile={limit}:{limit}'])
            run.listen()
            values = {CONNECT: run.hold(n), WORKING: n,
                      HANDSHAKE: run.handshake(), PING: run.round_trip()}
            workers = side.goproxy('worker')
            if name == 'ours':
                values[WORKERS] = len(workers)
            if os.geteuid() == 0:
                values[OWN_FILES] = files(run.server.pid)
                if name == 'ours':
                    values[FILES] = max(files(p) for p in workers)
            yield n, values


SERIES = (
    Series('connections', 'Connections that are open', 'connections',
           (10, 100, 1000, 3000, 10000), (10, 50),
           (TOTAL, EACH, HANDSHAKE, PING), connections),
    Series('configurations', f'Configurations with {NAMES} names each',
           'configurations', (1, 10, 100, 1000), (1, 3),
           (CONFIGURE, CONFIGURE_CPU, TOTAL, NAME, HANDSHAKE), configurations),
    Series('names', 'Names of one configuration', 'names',
           (1, 10, 100, 1000, 10000), (1, 10),
           (CONFIGURE, CONFIGURE_CPU, TOTAL, NAME, HANDSHAKE), keypairs),
    Series('limit', 'Connections at nine tenths of the hard limit of '
           'descriptors', 'connections', (9000,), (270,),
           (WORKING, CONNECT, HANDSHAKE, PING, WORKERS, FILES, OWN_FILES),
           limited),
)
SIDES = ('ours', 'libtls')
REPS = 2


def one_series(series, quick):
    """The rows of a series: one for each number and figure."""
    seconds = 0.15 if quick else 0.6
    samples = {}
    failures = {}
    for rep in range(1 if quick else REPS):
        # Each takes its turn at being first.
        for name in SIDES if rep % 2 == 0 else SIDES[::-1]:
            if name in failures:
                continue
            try:
                for n, values in series.run(
                        name, series.quick if quick else series.numbers,
                        seconds):
                    for figure, value in values.items():
                        key = n, figure.name
                        samples.setdefault(key, {}) \
                            .setdefault(name, []).append(value)
            except (Failed, OSError, subprocess.CalledProcessError) as e:
                failures[name] = str(e)
    rows = [row(series, n, figure, samples.get((n, figure.name), {}))
            for n in (series.quick if quick else series.numbers)
            for figure in series.figures if (n, figure.name) in samples]
    return rows + [{'series': series.name, 'side': name, 'failed': text}
                   for name, text in failures.items()]


def row(series, n, figure, samples):
    new = {'series': series.name, 'number': n, 'figure': figure.name,
           'unit': figure.unit, 'digits': figure.digits, 'samples': samples}
    for name in samples:
        new[name] = median(samples[name])
    ratios = [a / b for a, b in zip(samples.get('ours', []),
                                    samples.get('libtls', [])) if b > 0]
    if ratios:
        new['ratio'] = median(ratios)
        new['spread'] = [min(ratios), max(ratios)]
    return new
