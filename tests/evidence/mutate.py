#!/usr/bin/env python3
"""mutate.py - mutation testing: changes the programs in one place at a time and runs the tests

    python3 tests/evidence/mutate.py server.c 100 [SEED]

Each mutation changes a random place: it negates a condition, swaps a comparison, a logical operator
or a returned truth value, removes a call, or decrements a number. Mutations that do not compile, or
compile to the same program, do not count. Two mutations are tested side by side, each in a copy of
the tree and a PID namespace of its own. A test that fails runs again, in case the machine was slow.
The tests that noticed the last mutations come first; unit tests run if no other test notices. It
prints a line for each mutation (the kind of the first test that failed and its name, the place, the
old and the new line) and the rates. The kinds:

    conversation    one of tests/server, tests/client or tests/show
    live            a test over sockets or terminals
    unit            a unit test or a replayed input
    NOTHING         no test failed: a test is missing, or the mutation has no visible effect
"""
import os, random, re, shutil, signal, subprocess, sys, tempfile, threading

TOP = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..')
RUNNING = set()                 # what is to be killed at the end
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
    """Returns all mutations: (line number from 0, new line)."""
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
                found.append((number, line[:m.start()] + new + line[m.end():]))
        m = re.match(r'^ +(?:\} else )?(?:if|while) \((.*)\)( \{)?$', code)
        if m and code.count('(') == code.count(')'):
            start, end = m.start(1), m.end(1)
            found.append((number, line[:start] + '!(' + line[start:end] + ')' + line[end:]))
        m = CALLS.match(code)
        if m and 'va_' not in code:
            found.append((number, m.group(1) + ';'))
    return found


def build(tree, programs):
    """Compiles programs. Returns what they consist of, or None if one does not compile."""
    codes = []
    for program in programs:
        run = subprocess.run(['cc', '-std=c11', '-O1', '-o', program, program + '.c'], cwd=tree,
                             stderr=subprocess.DEVNULL)
        if run.returncode != 0:
            return None
        subprocess.run(['strip', '-o', 'stripped', program], cwd=tree, check=True)
        with open(os.path.join(tree, 'stripped'), 'rb') as f:
            code = f.read()
        codes.append(re.sub(rb'GNU\0.{20}', b'', code, flags=re.S))     # without the build ID
    return codes


class Mutations:
    """Gives out mutated texts of a file, the same ones for the same seed."""

    def __init__(self, file, count, seed, directory):
        self.file, self.left = file, count
        self.programs = ['server', 'client'] if file == 'pop3.h' else [file.split('.')[0]]
        self.tree = os.path.join(directory, 'mutations')
        self.lock = threading.Lock()
        self.sums = dict.fromkeys(['conversation', 'live', 'unit', 'NOTHING'], 0)
        copy_tree(self.tree)
        self.same = build(self.tree, self.programs)
        with open(os.path.join(TOP, file)) as f:
            self.text = f.read()
        self.todo = places(self.text)
        print(f'{len(self.todo)} places in {file}, seed {seed}', flush=True)
        random.seed(seed)
        random.shuffle(self.todo)

    def take(self, tree):
        """Puts the next mutation into a tree. Returns its description, or None at the end."""
        with self.lock:
            while self.left > 0 and self.todo:
                number, line = self.todo.pop(0)
                lines = self.text.split('\n')
                old, lines[number] = lines[number], line
                with open(os.path.join(self.tree, self.file), 'w') as f:
                    f.write('\n'.join(lines))
                if build(self.tree, self.programs) not in (None, self.same):
                    for each in [self.file] + self.programs:
                        shutil.copy(os.path.join(self.tree, each), os.path.join(tree, each))
                    self.left -= 1
                    return f'{self.file}:{number + 1}: {old.strip()}  ->  {line.strip()}'
        return None

    def note(self, kind, test, what):
        with self.lock:
            self.sums[kind] += 1
            print(f'{kind:12} {test:30} {what}', flush=True)

    def rates(self):
        total = sum(self.sums.values())
        outside = self.sums['conversation'] + self.sums['live']
        print(', '.join(f'{kind}: {n}' for kind, n in self.sums.items()))
        print(f'noticed: {total - self.sums["NOTHING"]} of {total}; '
              f'by conversations and live tests: {outside} of {total}')


def copy_tree(tree):
    shutil.copytree(TOP, tree, ignore=shutil.ignore_patterns('.git', 'build'))
    build(tree, ['server', 'client'])


def stop(run):
    """Kills a test run, in its PID namespace all of it."""
    RUNNING.discard(run)
    try:
        os.killpg(run.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass


def failures(tree, tests):
    """Runs tests. Yields the name of each case that fails, until the caller has enough."""
    command = ['nice', '-n', '10', 'sh', 'tests/run.sh'] + tests
    if os.geteuid() == 0:
        command = ['unshare', '--pid', '--fork', '--kill-child', '--mount-proc'] + command
    work = tempfile.mkdtemp(dir=os.path.dirname(tree))
    run = subprocess.Popen(command, cwd=tree, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.DEVNULL, start_new_session=True, text=True,
                           errors='replace', env=dict(os.environ, SECONDS_EACH='120', TMPDIR=work))
    RUNNING.add(run)
    try:
        for line in run.stdout:
            if line.startswith('not ok - '):
                yield line[len('not ok - '):].strip()
    finally:
        stop(run)
        run.stdout.close()
        run.wait()
        subprocess.run(['chmod', '-R', 'u+rwx', work], stderr=subprocess.DEVNULL, check=False)
        shutil.rmtree(work, ignore_errors=True)


def first_failure(tree, tests):
    """Returns the first case that fails, if its test fails a second time, or None."""
    for attempt in range(3):
        case = next(failures(tree, tests), None)
        if case is None or next(failures(tree, [case.split(':')[0]]), None):
            return case
    return None


def includes(path, file):
    """Returns True if a test includes a file."""
    with open(path) as f:
        text = f.read()
    directory = os.path.dirname(path)
    return any(os.path.basename(name) == file or
               includes(os.path.join(directory, name), file)
               for name in re.findall(r'^#include "(.*)"', text, flags=re.M)
               if os.path.exists(os.path.join(directory, name)))


def stages(tree, programs):
    """Returns lists of tests: displays, conversations and live tests, unit tests, the slow one."""
    def tests(directory, ending, wanted):
        found = sorted(os.listdir(os.path.join(tree, 'tests', directory)))
        return [directory + '/' + name.removesuffix(ending) for name in found
                if name.endswith(ending) and wanted(os.path.join(tree, 'tests', directory, name))]

    def ours(path):
        return any(includes(path, program + '.c') for program in programs)
    outside = tests('live', '.c', lambda path: any(program in path for program in programs))
    for program in programs:
        outside += tests(program, '', lambda path: True)
    unit = tests('unit', '.c', ours) + tests('fuzz', '.c', ours)
    unit = [test for test in unit if test not in ('fuzz/editor', 'fuzz/show')]  # in unit/, too
    shown = [test for test in unit if test == 'unit/show']
    slow = [test for test in unit if test == 'unit/large']
    return [shown, outside, [test for test in unit if test not in shown + slow], slow]


def kind_of(tree, case):
    """Returns the kind of a test by the name of its case."""
    if case.startswith(('server/', 'client/')):
        return 'conversation'
    if case.startswith('live/'):
        return 'live'
    name = case.removeprefix('unit/show: shown: ')
    if os.path.exists(f'{tree}/tests/show/{name}.80') or 'unit/show: ended with' in case:
        return 'conversation'
    return 'unit'


def work(mutations, tree):
    """Tests one mutation after the other."""
    copy_tree(tree)
    order = stages(tree, mutations.programs)
    while (what := mutations.take(tree)) is not None:
        kind, test = 'NOTHING', ''
        for tests in order:
            case = first_failure(tree, tests) if tests else None
            if case is not None:                # it comes first from now on
                tests.sort(key=lambda test: test != case.split(':')[0])
            if case is not None and (kind == 'NOTHING' or kind_of(tree, case) != 'unit'):
                kind, test = kind_of(tree, case), case
            if kind in ('conversation', 'live'):
                break
        mutations.note(kind, test, what)


def main():
    directory = tempfile.mkdtemp(prefix='pop3-mutate.')

    def end(*_):
        for run in list(RUNNING):
            stop(run)
        shutil.rmtree(directory, ignore_errors=True)
        os._exit(1)
    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 1
    mutations = Mutations(sys.argv[1], int(sys.argv[2]), seed, directory)
    workers = [threading.Thread(target=work, args=(mutations, os.path.join(directory, name)))
               for name in ('left', 'right')]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    mutations.rates()
    shutil.rmtree(directory)


main()
