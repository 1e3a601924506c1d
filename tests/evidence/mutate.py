#!/usr/bin/env python3
"""mutate.py - mutation testing: changes the programs in one place at a time and runs the tests

    python3 tests/evidence/mutate.py server.c 100 [SEED]

Each mutation changes a random place: it negates a condition, swaps a comparison, a logical operator
or a returned truth value, removes a call, or decrements a number. Mutations that do not compile, or
compile to the same program, do not count. The tests run in a copy of the tree, in their own PID
namespace. It prints a line for each mutation (which tests failed, the place, the old and the new
line) and the sums:

    conversation    a conversation failed
    live            only a test over sockets or terminals failed
    unit            only a unit test or a replayed input failed
    NOTHING         no test failed: a test is missing, or the mutation has no visible effect
"""
import os, random, re, shutil, subprocess, sys, tempfile

CALLS = re.compile(r'^( +)(?:\(void\) ?)?[a-z_0-9]+\(.*\);$')
SWAPS = [(' == ', ' != '), (' != ', ' == '), (' < ', ' <= '), (' <= ', ' < '), (' > ', ' >= '),
         (' >= ', ' > '), (' && ', ' || '), (' || ', ' && '), (' + 1', ' + 0'), (' - 1', ' - 0'),
         ('return true;', 'return false;'), ('return false;', 'return true;'),
         (' = true;', ' = false;'), (' = false;', ' = true;')]


def blank_comments(text):
    """Replaces comments and strings by NULs, which keeps all offsets."""
    blank = lambda m: re.sub(r'[^\n]', '\0', m.group(0))
    return re.sub(r'/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', blank, text, flags=re.S)


def places(text):
    """Returns all mutations: (line number from 0, new line, kind)."""
    found = []
    lines, plain = text.split('\n'), blank_comments(text).split('\n')
    inside = False
    for number, (line, code) in enumerate(zip(lines, plain)):
        if code == '{':
            inside = True
        elif code == '}':
            inside = False
        if not inside or '#' in code:
            continue
        for old, new in SWAPS:
            for m in re.finditer(re.escape(old) + (r'\b' if old[-1].isdigit() else ''), code):
                found.append((number, line[:m.start()] + new + line[m.end():], old.strip()))
        m = re.match(r'^ +(?:\} else )?(?:if|while) \((.*)\)( \{)?$', code)
        if m and code.count('(') == code.count(')'):
            start, end = m.start(1), m.end(1)
            new = line[:start] + '!(' + line[start:end] + ')' + line[end:]
            found.append((number, new, 'negate'))
        m = CALLS.match(code)
        if m and 'va_' not in code:
            found.append((number, m.group(1) + ';', 'call'))
    return found


def build(tree, program):
    """Compiles a program. Returns the binary, or None if it does not compile."""
    run = subprocess.run(['cc', '-std=c11', '-O1', '-o', program, program + '.c'], cwd=tree,
                         stderr=subprocess.DEVNULL)
    if run.returncode != 0:
        return None
    subprocess.run(['strip', '-o', 'stripped', program], cwd=tree, check=True)
    with open(os.path.join(tree, 'stripped'), 'rb') as f:
        return re.sub(rb'GNU\0.{20}', b'', f.read(), flags=re.S)      # without the build ID


def fails(tree, tests):
    """Returns True if one of these tests fails."""
    command = ['sh', 'tests/run.sh'] + tests
    if os.geteuid() == 0:
        command = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] + command
    try:
        run = subprocess.run(command, cwd=tree, stdout=subprocess.DEVNULL, timeout=240,
                             stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL,
                             env=dict(os.environ, SECONDS_EACH='20'))
    except subprocess.TimeoutExpired:
        return True
    return run.returncode != 0


def main():
    file, count = sys.argv[1], int(sys.argv[2])
    random.seed(int(sys.argv[3]) if len(sys.argv) > 3 else 1)
    program = file.split('.')[0]
    both = file == 'pop3.h'
    program = 'server' if both else program
    top = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
    tree = os.path.join(tempfile.mkdtemp(prefix='pop3-mutate.'), 'tree')
    shutil.copytree(top, tree, ignore=shutil.ignore_patterns('.git', 'build'))
    with open(os.path.join(top, file)) as f:
        text = f.read()
    for each in ('client', 'server'):
        same = build(tree, each) if each != program else None
    same = build(tree, program)

    def programs(directory, pattern):
        names = sorted(os.listdir(tree + '/tests/' + directory))
        return [directory + '/' + name[:-2] for name in names
                if name.endswith('.c') and re.search(pattern, name)]
    stages = [('conversation', [program]),
              ('live', programs('live', program)),
              ('unit', programs('unit', '') + ['fuzz'])]
    sums = dict.fromkeys(['conversation', 'live', 'unit', 'NOTHING'], 0)
    todo = places(text)
    random.shuffle(todo)
    print(f'{len(todo)} places in {file}')
    for number, line, kind in todo:
        if sum(sums.values()) == count:
            break
        lines = text.split('\n')
        old, lines[number] = lines[number], line
        with open(os.path.join(tree, file), 'w') as f:
            f.write('\n'.join(lines))
        code = build(tree, program)
        if code is None or code == same:
            continue
        if both:
            build(tree, 'client')
        result = next((name for name, tests in stages if tests and fails(tree, tests)), 'NOTHING')
        sums[result] += 1
        print(f'{result:12} {file}:{number + 1}: {old.strip()}  ->  {line.strip()}', flush=True)
    print(', '.join(f'{name}: {n}' for name, n in sums.items()), 'of', sum(sums.values()))
    shutil.rmtree(os.path.dirname(tree))


main()
