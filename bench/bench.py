# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors

"""Runs what scripts/bench is asked for; see there."""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time

import report
import scale
from scenario import (BASE, BASE_PROXY, BURST, CPU_EACH, CPU_GB, FRONTS, IDLE,
                      KB, KERNEL, KERNEL_BURST, LATENCY, P50, P99, PAUSE,
                      PAUSE99, PER_SECOND, RATE, better, scenarios)
from side import (CERTS, CIPHER, PROXY_RUN, Failed, Side, become_reaper, cpu,
                  descendants, kernel_memory, memory, median, program, reap,
                  settled)

ONE_SHOTS = 10


def options(s, seconds, peer):
    """The command line of one end, up to the role."""
    size = s.size
    if peer and s.activity in ('send', 'recv'):
        size = 65536  # the peer is not to be the brake
    args = ['-C', CERTS, '-c', str(s.conns), '-d', str(seconds),
            '-s', str(size), '-k', s.key]
    if s.blocking:
        args.append('-b')
    if s.resume:
        args.append('-r')
    if s.tls12:
        args.append('-2')
    if not s.hybrid and (peer or s.role == 'client'):
        # Certificates with P-256 need it in TLS 1.2.
        args += ['-g', 'X25519:P-256' if s.tls12 else 'X25519']
    return args


def server_command(s, side, seconds):
    if s.role == 'server':
        return (side.command() + options(s, seconds, False) +
                ['server', s.activity])
    return program('openssl') + options(s, seconds, True) + ['server', s.peer]


def client_command(s, side, seconds, port, conns):
    if s.role == 'client':
        command = side.command() + options(s, seconds, False)
        activity = s.activity
    else:
        hybrid = PROXY_RUN + program('libtls')
        command = hybrid if s.hybrid else program('openssl')
        command = command + options(s, seconds, True)
        activity = s.peer
        if s.group == 'loop':
            # Clients are elsewhere as a rule, and do not take the server's
            # processor from it.
            command = ['nice', '-n', '19'] + command
    return command + ['-c', str(conns), '-p', str(port), 'client', activity]


@contextlib.contextmanager
def placed(s):
    """What is started meanwhile runs where the scenario says."""
    everywhere = os.sched_getaffinity(0)
    if s.one_core:
        os.sched_setaffinity(0, {max(everywhere)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, everywhere)


def run(s, name, seconds):
    """One run of one side. Returns the figures, and what else is known."""
    with Side(name) as side, placed(s):
        server = side.start(server_command(s, side, seconds))
        port = server.expect('port')
        if name in FRONTS:
            port = side.put_in_front(port, s)
        if s.role == 'server':
            side.own()
        if s.activity == 'once':
            return once(s, side, port, seconds)
        if s.peer == 'hold':
            return idle(s, side, server, port)
        # One process could not keep up with a server.
        n = 2 if s.conns > 1 and s.peer == 'shake' else 1
        clients = [side.start(client_command(s, side, seconds, port,
                                             s.conns // n))
                   for _ in range(n)]
        facts = [c.expect('ready') for c in clients]
        if s.activity in ('send', 'recv'):
            facts.append(server.expect('ready'))
        if s.role == 'client':
            side.pids = descendants() - {server.pid}
            facts = facts[:1]
        check_facts(s, facts[0])
        return measure(s, side, server, clients, facts[0])


def check_facts(s, facts):
    if s.hybrid:
        return  # what runs as the peer then cannot be told
    cipher = facts.split()[1]
    wanted = 'ECDHE-ECDSA-AES128-GCM-SHA256' if s.tls12 else CIPHER
    if cipher != wanted:
        raise Failed(f'the cipher is {cipher}')


def measure(s, side, server, clients, facts):
    transfer = s.activity in ('send', 'recv')
    peers = [p.pid for p in side.programs if p.pid not in side.pids]
    before, peer_before = cpu(side.pids), cpu(peers)
    # The receiver first, so that its time begins before there are data.
    if transfer:
        sends = s.activity == 'send'
        receiver = clients[0] if sends == (s.role == 'server') else server
        sender = server if receiver is clients[0] else clients[0]
        receiver.say('go')
        sender.say('go')
        # Its end of the connection is the last thing to happen.
        results = [json.loads(receiver.expect('result'))]
    else:
        for c in clients:
            c.say('go')
        results = [json.loads(c.expect('result')) for c in clients]
    # A program that has ended stays a zombie, which has its clock, until
    # somebody waits for it.
    used, peer_used = cpu(side.pids) - before, cpu(peers) - peer_before
    if transfer:
        other = json.loads(sender.expect('result'))
        results[0]['errors'] += other['errors']
        if other['bytes'] != results[0]['bytes'] and side.name not in FRONTS:
            raise Failed('what was sent is not what was received')
    server.end()
    if not transfer:
        own = json.loads(server.expect('result'))
        if s.activity == 'fork':
            used += own['children']
        if PAUSE in s.figures:
            results[0] |= {'pause': own['pause'], 'p99': own['p99']}
        results[0]['errors'] += own['errors']
    return figures(s, results, used, facts) | {
        'facts': facts, 'peer_cpu': peer_used / results[0]['seconds']}


def figures(s, results, used, facts):
    seconds = max(r['seconds'] for r in results)
    count = sum(r['count'] for r in results)
    size = sum(r['bytes'] for r in results)
    if any(r['errors'] for r in results):
        raise Failed(f'{[r["errors"] for r in results]} errors')
    values = {}
    if RATE in s.figures:
        values = {RATE: size / seconds / 1e6, CPU_GB: used / size * 1e9}
    if PER_SECOND in s.figures:
        resumed = sum(r['resumed'] for r in results)
        if resumed not in (0, count) or (resumed > 0) != ('resumed' in facts):
            raise Failed(f'{resumed} of {count} were resumed')
        values = {PER_SECOND: count / seconds, CPU_EACH: used / count * 1e6}
    if P50 in s.figures:
        values = {P50: results[0]['p50'] * 1e6, P99: results[0]['p99'] * 1e6}
    if PAUSE in s.figures:
        values = {PAUSE: results[0]['pause'] * 1e3,
                  PAUSE99: results[0]['p99'] * 1e3}
    return {'values': {f.name: v for f, v in values.items()}}


def once(s, side, port, seconds):
    times = []
    for _ in range(ONE_SHOTS):
        client = side.start(client_command(s, side, seconds, port, 1))
        times.append(json.loads(client.expect('result'))['seconds'])
        client.close()
        side.programs.remove(client)
    times.sort()
    return {'values': {LATENCY.name: times[len(times) // 2] * 1e3}}


def idle(s, side, server, port):
    if os.geteuid() != 0:
        raise Failed('needs root')
    client = side.start(client_command(s, side, 1, port, s.conns))
    client.expect('ready')
    base, rss = settled(side)
    proxy = memory(side.goproxy())[1]
    kernel = kernel_memory(0)
    values = {BASE: rss / KB ** 2}
    if side.name == 'ours':
        values[BASE_PROXY] = proxy / KB ** 2
    client.say('go')
    for processes, sockets in (IDLE, KERNEL), (BURST, KERNEL_BURST):
        held = int(client.expect('held').split()[0])
        if held == 0:
            raise Failed('no connection')
        values[processes] = (settled(side)[0] - base) / held / KB
        values[sockets] = (kernel_memory(held) - kernel) / held / KB
        if processes is IDLE:
            client.say('burst')
    client.end()
    facts = '' if held == s.conns else f'{held} of {s.conns} connections'
    return {'values': {f.name: values[f] for f in s.figures if f in values},
            'facts': facts}


class Rows:
    """Samples become rows: ours next to one other, figure by figure."""

    def __init__(self):
        self.rows = []

    def add(self, s, samples, failures):
        for other in s.sides:
            for figure in s.figures:
                row = self.row(s, figure, other, samples)
                if row is not None:
                    self.rows.append(row)
        for name, text in failures.items():
            self.rows.append({'group': s.group, 'what': s.title,
                              'side': name, 'failed': text})

    @staticmethod
    def row(s, figure, other, samples):
        pairs = [(a['values'].get(figure.name), b['values'].get(figure.name))
                 for a, b in zip(samples['ours'], samples[other])]
        ours = [a for a, _ in pairs if a is not None]
        theirs = [b for _, b in pairs if b is not None]
        if not ours or not theirs and other != s.sides[0]:
            return None
        row = {'group': s.group, 'what': s.title, 'figure': figure.name,
               'unit': figure.unit, 'more': figure.more,
               'digits': figure.digits, 'against': other if theirs else None,
               'ours': median(ours), 'samples': {'ours': ours}}
        target = s.targets.get(figure) if other == 'libtls' else None
        if theirs:
            ratios = [a / b for a, b in zip(ours, theirs) if b > 0]
            row['theirs'] = median(theirs)
            row['samples'][other] = theirs
            if ratios and min(ours) > 0 and min(theirs) > 0:
                row['ratio'] = median(ratios)
                row['spread'] = [min(ratios), max(ratios)]
            if other in FRONTS and figure is not BASE:
                target = better(figure)
        if target is not None:
            row['target'] = str(target)
            row['met'] = target.met(row['ours'], row.get('theirs'),
                                    row.get('ratio'))
        notes = [s.note] if s.note and other == 'libtls' else []
        for name in 'ours', other:
            facts = {r.get('facts', '') for r in samples[name]}
            notes += [f'{name}: {f}' for f in facts if 'connections' in f]
        row['note'] = '; '.join(notes)
        row['facts'] = {name: sorted({r.get('facts', '')
                                      for r in samples[name]})
                        for name in ('ours', other)}
        row['peer_cpu'] = {name: median([r.get('peer_cpu', 0)
                                         for r in samples[name]])
                           for name in ('ours', other)}
        return row


def one_scenario(s, quick, rows):
    sides = ('ours',) + s.sides
    samples = {name: [] for name in sides}
    failures = {}
    seconds = min(s.seconds, 0.15) if quick else s.seconds
    for rep in range(2 if quick and s.group != 'idle' else
                     1 if quick else s.reps):
        # Each takes its turn at being first.
        turn = rep % len(sides)
        for name in sides[turn:] + sides[:turn]:
            if name in failures:
                continue
            try:
                samples[name].append(run(s, name, seconds))
            except (Failed, OSError) as e:
                failures[name] = str(e)
    rows.add(s, samples, failures)


def output(*command):
    try:
        return subprocess.run(command, capture_output=True, text=True,
                              check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return 'unknown'


def machine():
    def version(package):
        return output('dpkg-query', '-W', '-f', '${Version}', package)

    with open('/proc/cpuinfo') as f:
        model = next((line.partition(':')[2].strip() for line in f
                      if line.startswith('model name')), os.uname().machine)
    libtls = os.path.basename(os.path.realpath(next(
        line.split()[2] for line in
        output('ldd', program('libtls')[0]).split('\n') if 'libtls' in line)))
    package = 'libtls' + libtls.split('.')[2]
    return {
        'processor': model,
        'cores': os.cpu_count(),
        'kernel': os.uname().release,
        'OpenSSL': output('openssl', 'version').split()[1],
        'libtls': f'LibreTLS {version(package)}',
        'Go': output('go', 'env', 'GOVERSION'),
        'stunnel': version('stunnel4'),
        'hitch': version('hitch'),
        'commit': output('git', 'describe', '--always', '--dirty'),
        'date': time.strftime('%Y-%m-%d'),
        'load before': os.getloadavg()[0],
    }


def main():
    parser = argparse.ArgumentParser(prog='scripts/bench')
    parser.add_argument('--quick', action='store_true')
    parser.add_argument('--readme', action='store_true')
    parser.add_argument('group', nargs='*')
    args = parser.parse_args()
    groups = {s.group for s in scenarios()} | {'scale'}
    if not groups.issuperset(args.group):
        parser.error(f'the groups are {", ".join(sorted(groups))}')
    # Even the shortest form of that is not quick next to the others.
    wanted = set(args.group) or groups - ({'scale'} if args.quick else set())
    become_reaper()
    os.environ['PATH'] += ':/usr/sbin:/sbin'
    about = machine()
    if about['load before'] > os.cpu_count() / 2:
        print('bench: the machine is busy: rates and times will say little, '
              'as a side with more processes gets more of it',
              file=sys.stderr)
    rows = Rows()
    todo = [s for s in scenarios()
            if (s.quick or not args.quick) and s.group in wanted]
    results = {}
    try:
        if todo:
            results |= measured(about, args.quick, todo, lambda s:
                                one_scenario(s, args.quick, rows), rows.rows)
        if 'scale' in wanted:
            grown = []
            results['scale'] = measured(
                about, args.quick, scale.SERIES, lambda s:
                grown.extend(scale.one_series(s, args.quick)), grown)
    finally:
        reap()
    print(report.text(results))
    report.write(results, args.readme)
    every = rows.rows + results.get('scale', {}).get('rows', [])
    return 1 if any('failed' in r for r in every) else 0


def measured(about, quick, todo, one, rows):
    """Has one thing after another measured, and returns what is known."""
    start = time.monotonic()
    about = about | {'load before': os.getloadavg()[0]}
    for i, s in enumerate(todo):
        if sys.stderr.isatty():
            print(f'\r\033[K{i + 1}/{len(todo)} {s.group}: {s.title}',
                  end='', file=sys.stderr, flush=True)
        one(s)
    if sys.stderr.isatty():
        print('\r\033[K', end='', file=sys.stderr)
    about |= {'load after': os.getloadavg()[0], 'quick': quick,
              'seconds': round(time.monotonic() - start)}
    return {'machine': about, 'rows': rows}


if __name__ == '__main__':
    sys.exit(main())
