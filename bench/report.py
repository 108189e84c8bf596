# SPDX-License-Identifier: ISC
# Copyright (c) 2026 The libtls-proxy authors

"""Tables and pictures of results."""

import json
import os
import re
import subprocess
from collections import namedtuple

from scale import SERIES
from side import BUILD

BEGIN, END = '<!-- bench: begin -->', '<!-- bench: end -->'
NAMES = {'ours': 'libtls-proxy', 'libtls': 'libtls in-process',
         'stunnel': 'stunnel', 'hitch': 'hitch'}
GROUPS = {
    'bulk': 'Bulk',
    'handshake': 'Handshakes',
    'roundtrip': 'Round trips',
    'loop': 'Event loop',
    'start': 'Start',
    'idle': 'Idle connections',
}
HEAD = ('what', 'figure', 'against', 'ours', 'theirs', 'ratio', 'spread',
        'target', '')


def number(value, digits):
    return '' if value is None else f'{value:,.{digits}f}'


def cells(row):
    spread = row.get('spread')
    met = row.get('met')
    return (row['what'], f'{row["figure"]}, {row["unit"]}',
            row['against'] or '–', number(row['ours'], row['digits']),
            number(row.get('theirs'), row['digits']),
            number(row.get('ratio'), 2),
            f'{spread[0]:.2f}..{spread[1]:.2f}' if spread else '',
            row.get('target', ''),
            '' if met is None else 'met' if met else 'missed')


def about(machine):
    load = '{:.1f} before and {:.1f} after'.format(
        machine['load before'], machine['load after'])
    return (f'{machine["processor"]}, {machine["cores"]} cores, '
            f'Linux {machine["kernel"]}, {machine["libtls"]} on OpenSSL '
            f'{machine["OpenSSL"]}, {machine["Go"]}, stunnel '
            f'{machine["stunnel"]}, hitch {machine["hitch"]}; '
            f'{machine["date"]}, load average {load}, '
            f'{machine["seconds"]} s' +
            (', --quick' if machine['quick'] else ''))


def summary(rows):
    met = [r['met'] for r in rows if 'met' in r]
    return f'{sum(met)} of {len(met)} targets met.'


def grouped(rows):
    for group, title in GROUPS.items():
        some = [r for r in rows if r['group'] == group]
        if some:
            yield title, some


def text(results):
    parts = []
    if 'rows' in results:
        parts.append(rows_text(results))
    if 'scale' in results:
        parts.append(scale_text(results['scale']))
    return '\n\n'.join(parts)


def rows_text(results):
    lines = [about(results['machine']), '']
    for title, rows in grouped(results['rows']):
        table = [cells(r) for r in rows if 'failed' not in r]
        width = [max(map(len, c)) for c in zip(HEAD, *table)]
        lines.append(title)
        for line in [HEAD] + table:
            lines.append('  '.join(
                c.rjust(w) if 3 <= i <= 6 else c.ljust(w)
                for i, (c, w) in enumerate(zip(line, width))).rstrip())
        lines += [f'NOT MEASURED: {r["what"]}, {r["side"]}: {r["failed"]}'
                  for r in rows if 'failed' in r]
        lines += sorted({f'{r["what"]}: {r["note"]}' for r in rows
                         if r.get('note')})
        lines.append('')
    return '\n'.join(lines + [summary(results['rows'])])


def markdown(results, pictures):
    lines = [f'On {about(results["machine"])}. CPU and memory are those of '
             'all processes: application, supervisor, keeper, worker; stunnel '
             'and hitch with the plaintext server behind them. Each ratio is '
             'the median of those of interleaved runs, the spread their least '
             'and greatest. ' + summary(results['rows']), '']
    lines += [f'![{title}]({path})' for title, path in pictures] + ['']
    for title, rows in grouped(results['rows']):
        lines += [f'### {title}', '', '| ' + ' | '.join(HEAD) + ' |',
                  '|---|---|---|--:|--:|--:|--:|---|---|']
        lines += ['| ' + ' | '.join(cells(r)) + ' |'
                  for r in rows if 'failed' not in r]
        notes = [f'* {r["what"]}, {r["side"]}: not measured: {r["failed"]}'
                 for r in rows if 'failed' in r]
        notes += sorted({f'* {r["what"]}: {r["note"]}' for r in rows
                         if r.get('note')})
        lines += [''] + notes + ([''] if notes else [])
    return '\n'.join(lines)


Table = namedtuple('Table', 'title head rows failures')


def scale_tables(rows):
    """Of each series a table, in which ours stands before libtls's."""
    for s in SERIES:
        own = [r for r in rows if r['series'] == s.name]
        cells = {(r['number'], r['figure']): r for r in own
                 if 'failed' not in r}
        figures = [f for f in s.figures
                   if any(name == f.name for _, name in cells)]
        numbers = sorted({n for n, _ in cells})
        if own:
            yield Table(
                s.title, [s.what] + [f'{f.name}, {f.unit}' for f in figures],
                [[f'{n:,}'] + [pair(cells.get((n, f.name))) for f in figures]
                 for n in numbers],
                [f'{r["side"]}: not measured: {r["failed"]}'
                 for r in own if 'failed' in r])


def pair(row):
    if row is None:
        return ''
    return ' / '.join(number(row[side], row['digits'])
                      for side in ('ours', 'libtls') if side in row)


PAIRS = 'libtls-proxy / libtls in-process'


def scale_text(part):
    lines = [about(part['machine']), PAIRS]
    for t in scale_tables(part['rows']):
        width = [max(map(len, c)) for c in zip(t.head, *t.rows)]
        lines += ['', t.title]
        lines += ['  '.join(c.rjust(w) for c, w in zip(line, width))
                  for line in [t.head] + t.rows]
        lines += t.failures
    return '\n'.join(lines)


def scale_markdown(part, picture):
    lines = [f'On {about(part["machine"])}. Memory and CPU are those of all '
             f'processes; each cell is {PAIRS}.', '']
    if picture is not None:
        lines += [f'![Cost against number]({picture})', '']
    for t in scale_tables(part['rows']):
        lines += [f'### {t.title}', '', '| ' + ' | '.join(t.head) + ' |',
                  '|' + '--:|' * len(t.head)]
        lines += ['| ' + ' | '.join(line) + ' |' for line in t.rows]
        lines += [f'\n* {f}' for f in t.failures] + ['']
    return '\n'.join(lines)


def fill(path, content):
    with open(path) as f:
        old = f.read()
    if BEGIN not in old or END not in old:
        raise SystemExit(f'{path} has no place for a table')
    new = re.sub(f'{BEGIN}.*{END}', lambda _: f'{BEGIN}\n{content}{END}', old,
                 flags=re.DOTALL)
    with open(path, 'w') as f:
        f.write(new)


def write(results, to_tree):
    """Writes results to the build directory, and to the tree if asked. What
    was not measured stays in the tree as it was."""
    root = os.path.dirname(BUILD)
    directory = os.path.join(BUILD, 'bench/results')
    os.makedirs(directory, exist_ok=True)
    save(results, directory)
    contents = documents(results, directory)
    with open(os.path.join(directory, 'bench.md'), 'w') as f:
        f.write('\n'.join(contents.values()).replace('](doc/', ']('))
    if not to_tree:
        return
    directory = os.path.join(root, 'doc')
    with open(os.path.join(directory, 'bench.json')) as f:
        save(json.load(f) | results, directory)
    for path, content in documents(results, directory).items():
        fill(os.path.join(root, path), content)


def save(results, directory):
    with open(os.path.join(directory, 'bench.json'), 'w') as f:
        json.dump(results, f, indent=1, ensure_ascii=False)
        f.write('\n')


def documents(results, directory):
    """What goes into the documents, each by its path. Their pictures are drawn
    in the directory."""
    contents = {}
    if 'rows' in results:
        pictures = [(title, f'doc/{name}')
                    for title, name in draw(results, directory)]
        contents['README.md'] = markdown(results, pictures) + '\n'
    if 'scale' in results:
        name = 'bench-scale.svg'
        drawn = draw_scale(results['scale']['rows'], directory, name)
        contents['doc/performance.md'] = scale_markdown(
            results['scale'], name if drawn else None) + '\n'
    return contents


# Pictures.

COLOURS = {'ours': '#1b6ca8', 'libtls': '#b0b0b0', 'stunnel': '#e0a030',
           'hitch': '#8c6bb1'}
STYLE = '''set encoding utf8
set border 3 lc rgb "#606060"
set tics nomirror
set grid lc rgb "#e0e0e0"
set key top right noenhanced
'''


def gnuplot(directory, name, height, script):
    path = os.path.join(directory, name)
    subprocess.run(
        ['gnuplot'], text=True, check=True,
        input=f'set terminal svg size 960,{height} font "Sans,12" '
              f'background "white"\nset output "{path}"\n' + STYLE + script)


def quoted(s):
    return '"' + s.replace('"', '') + '"'


def draw(results, directory):
    rows = [r for r in results['rows'] if 'failed' not in r]
    drawn = []
    for name, title, make in (
            ('bench-ratio.svg', 'How much better than libtls in-process',
             draw_ratios),
            ('bench-throughput.svg', 'Throughput', draw_throughput),
            ('bench-memory.svg', 'Memory of idle connections', draw_memory)):
        if make(rows, directory, name):
            drawn.append((title, name))
    return drawn


def draw_ratios(rows, directory, name):
    """Bars from 1, to the right where ours is better, with their spread. Only
    the rows that say most: at a glance, a hundred say nothing."""
    many = any('10,000' in r['what'] for r in rows)
    bars = []
    for r in rows:
        if r['against'] != 'libtls' or 'ratio' not in r or \
                r['group'] == 'bulk' and '16 KiB' not in r['what'] or \
                r['figure'].startswith('p99') or \
                many and r['what'].startswith('1,000 '):
            continue
        values = [r['ratio']] + r['spread']
        if not r['more']:
            values = [1 / v for v in values]
        label = f'{r["what"]}: {r["figure"]}'
        bars.append((label, values[0], min(values[1:]), max(values[1:])))
    if not bars:
        return False
    n = len(bars)
    data = '\n'.join(f'{n - i} {v} {lo} {hi} {quoted(label)}'
                     for i, (label, v, lo, hi) in enumerate(bars))
    low = max(min(b[2] for b in bars) / 1.1, 1 / 16)
    high = min(max(b[3] for b in bars) * 1.1, 16)
    gnuplot(directory, name, 110 + 17 * n, f'''$data << EOD
{data}
EOD
set label "How many times better than libtls in-process (logarithmic; line: least and greatest)" at screen 0.5,screen 0.98 center noenhanced
set tmargin 4
set logscale x 2
set xrange [{low}:{high}]
set yrange [0.2:{n + 0.8}]
set format x "%g"
set xtics ("1/16" 0.0625, "1/8" 0.125, "1/4" 0.25, "1/2" 0.5, 1, 2, 4, 8, 16)
set logscale x2 2
set x2range [{low}:{high}]
set border 7
set x2tics ("1/16" 0.0625, "1/8" 0.125, "1/4" 0.25, "1/2" 0.5, 1, 2, 4, 8, 16)
set lmargin 62
unset key
set ytics noenhanced
set arrow from 1,0.2 to 1,{n + 0.8} nohead lw 1.5 lc rgb "#303030" front
set style fill solid 0.9 noborder
plot $data using (($2+1)/2):1:($2<1?$2:1):($2<1?1:$2):($1-0.36):($1+0.36):($2<1?0xd9694f:0x3f8f5f):ytic(5) with boxxyerror lc rgb variable, \\
     $data using 2:1:3:4 with xerrorbars pt 0 lw 1 lc rgb "#202020"
''')
    return True


def clustered(directory, name, title, unit, labels, series, note=''):
    """Bars next to each other. series: (name, colour, values)."""
    lines = [' '.join([quoted(label)] +
                      [str(s[2][i]) if s[2][i] is not None else 'NaN'
                       for s in series])
             for i, label in enumerate(labels)]
    plots = ', '.join(
        f'$data using {i + 2}:xtic(1) title {quoted(s[0])} '
        f'lc rgb "{s[1]}"' for i, s in enumerate(series))
    gnuplot(directory, name, 460, '$data << EOD\n' + '\n'.join(lines) +
            f'''
EOD
set title {quoted(title)} noenhanced
set ylabel {quoted(unit)}
set yrange [0:*]
set style data histogram
set style histogram clustered gap 1.5
set style fill solid 0.9 noborder
set xtics noenhanced
set bmargin 5
set key outside top center horizontal
plot {plots}
''')
    return True


def draw_throughput(rows, directory, name):
    rows = [r for r in rows if r['group'] == 'bulk'
            and r['figure'] == 'throughput' and '16 KiB' in r['what']]
    what = list(dict.fromkeys(r['what'] for r in rows))
    if not what:
        return False
    values = {(r['what'], r['against']): r['theirs'] for r in rows}
    values |= {(r['what'], 'ours'): r['ours'] for r in rows}
    labels = [w.replace(', 16 KiB calls', '').replace(', ', ',\\n')
              .replace(' connection', '\\nconnection').replace(',\\n', '\\n')
              for w in what]
    return clustered(
        directory, name, 'Throughput with 16 KiB calls', 'MB/s', labels,
        [(NAMES[side], COLOURS[side], [values.get((w, side)) for w in what])
         for side in NAMES if any((w, side) in values for w in what)])


def draw_memory(rows, directory, name):
    """Processes and kernel on each other, untouched and after a burst."""
    rows = [r for r in rows if r['group'] == 'idle'
            and r['unit'] == 'KB each']
    values = {}
    for r in rows:
        for side, value in (('ours', r['ours']),
                            (r['against'], r.get('theirs'))):
            values[r['what'], r['figure'], side] = value
    bars = []
    for what in dict.fromkeys(r['what'] for r in rows):
        for suffix, when in ('', 'untouched'), (', after 16 KiB', 'burst'):
            for side in NAMES:
                p = values.get((what, 'processes' + suffix, side))
                k = values.get((what, 'kernel' + suffix, side))
                if p is not None and k is not None:
                    bars.append((f'{side}\\n{when}\\n'
                                 f'{what.split()[0]}', max(p, 0), max(k, 0)))
    if not bars:
        return False
    data = '\n'.join(f'{quoted(label)} {p} {k}' for label, p, k in bars)
    gnuplot(directory, name, 460, f'''$data << EOD
{data}
EOD
set title "Memory of an idle connection: untouched, and after 16 KiB there and back" noenhanced
set ylabel "KB per connection"
set yrange [0:*]
set style data histogram
set style histogram rowstacked
set style fill solid 0.9 noborder
set boxwidth 0.75
set xtics noenhanced font ",9"
set bmargin 5
set key outside top center horizontal
plot $data using 2:xtic(1) title "processes" lc rgb "{COLOURS['ours']}", \\
     $data using 3 title "sockets in the kernel" lc rgb "{COLOURS['stunnel']}"
''')
    return True


def draw_scale(rows, directory, name):
    """Four pictures in one: each cost against the number."""
    def data(series, figure, side):
        return [(r['number'], r[side]) for r in rows
                if r['series'] == series and r.get('figure') == figure
                and r.get(side, 0) > 0]

    both = ('names', 'in one configuration', 1), \
        ('configurations', 'in configurations of 10', 10)
    panels = (
        ('CPU of a handshake while others are open', 'connections', 'µs',
         'CPU of a handshake', (('connections', '', 1),)),
        ('Memory of all processes', 'connections', 'MB', 'all processes',
         (('connections', '', 1),)),
        ('CPU of a handshake with a random name', 'names', 'µs',
         'CPU of a handshake', both),
        ('CPU to configure', 'names', 'µs a name', 'CPU to configure', both),
    )
    blocks, script = [], []
    for i, (title, what, unit, figure, curves) in enumerate(panels):
        plots = []
        for k, (series, where, times) in enumerate(curves):
            for side in 'ours', 'libtls':
                points = data(series, figure, side)
                if not points:
                    continue
                block = f'$d{i}{series}{side}'
                blocks += [f'{block} << EOD'] + [
                    f'{n * times} {value}' for n, value in points] + ['EOD']
                label = ', '.join(filter(None, (NAMES[side], where)))
                plots.append(
                    f'{block} with linespoints title {quoted(label)} '
                    f'lc rgb "{COLOURS[side]}" lw 2 pt {7 - 3 * k} ps 0.7 '
                    f'dt {k + 1}')
        if plots:
            script += [f'set title {quoted(title)}', f'set xlabel "{what}"',
                       f'set ylabel "{unit}"', 'plot ' + ', '.join(plots)]
    if script:
        gnuplot(directory, name, 720, '\n'.join(
            blocks + ['set logscale xy', 'set format x "%.0f"',
                      'set key outside bottom center horizontal maxcols 2',
                      'set rmargin 4', 'set multiplot layout 2,2'] +
            script + ['unset multiplot']) + '\n')
    return bool(script)
