"""The messages of tests/interop/interop.sh, their comparison, and helpers.

    mail.py make DIRECTORY            writes the difficult messages, one per file
    mail.py compare WANTED GOT STEP...
        compares the files of GOT, in order, with the messages of WANTED after the steps. If they
        are equal, prints their number and exits with 0; else prints differences and exits with 1
    mail.py sizes WANTED LISTING      prints differences in a listing, lines of numbers and sizes
    mail.py terminal PROMPT ANSWER COMMAND...
        runs a program on a pseudoterminal, and types the answer at the prompt
    mail.py port                      prints a free port of 127.0.0.1
    mail.py greets PORT               exits with 0 once a POP3 or ssh server answers there
    mail.py breaks_off PORT USER PASSWORD
        logs in, marks the first message, and disconnects; exits with 0 if that was answered +OK
    mail.py ended PROGRAM ARGUMENT    exits with 0 once no process runs it with that argument
    mail.py deliver FIRST LAST COMMAND...
        runs the command once for each numbered message, with the message on standard input
    mail.py delivered COUNT GOT       prints differences unless each message is there once, complete
    mail.py whole GOT                 prints differences unless all messages there are complete
    mail.py wire FROM TO              writes the messages of a directory as RETR sends them, 1 to n

It shares no code with the server and the client: the format of a message in POP3 is written down
independently, from RFC 1939 and the README.
"""

import glob
import os
import pty
import re
import socket
import subprocess
import sys
import time


# ---- The messages --------------------------------------------------------------------------------

def large():
    """Returns about 3 MiB. Any buffer of up to 64 KiB sometimes ends within a line end, before and
    after a dot that begins a line, and between other dots."""
    edges = 70_000
    octets = b"".join(b"%d %s\n" % (i, b"x" * (i % 97)) for i in range(50_000))
    for pattern in b"\r\n", b".\n", b"..\r\n", b"." * 999 + b"\n":
        for shift in range(min(len(pattern), 4)):
            octets += b"=" * shift + b"\n" + pattern * (edges // len(pattern))
    return octets


def messages():
    """Yields the name and the content of each message. The name is also the subject."""
    def header(name):
        return (f"From: Ann Example <ann@example.org>\nTo: bob@example.org\nSubject: {name}\n"
                f"Date: Mon, 3 Mar 2025 10:00:00 +0000\n"
                f"Message-ID: <{name}@example.org>\n").encode()

    from_line = b"From ann@example.org Mon Mar  3 10:00:00 2025\n"
    bodies = {
        "dots": b".\n..\n...\n.hidden\n. \n\n.\n",
        "no-end": b"a last line without its end",
        "dot-no-end": b"the last line is a dot\n.",
        "nul": b"a\0b\n\0\n\0\0\0end\n",
        "octets": bytes(range(256)) + b"\n" + b"".join(b"%c\n" % octet for octet in range(256)),
        "cr": b"mid\rdle\n\r.\r.\nend\r\r\n\rstart\n",
        "cr-end": b"ends in CR\r",
        "mixed": b"\r\none\ntwo\r\nthree\n.\r\n.\n",
        "long-line": b"0123456789abcdef" * 65536 + b"\nafter it\n",
        "large": large(),
        "from-line": b"From here on\n>From there\n\n" + from_line + b"no header\n",
        "no-body": b"",
    }
    for name, body in bodies.items():
        yield name, header(name) + b"\n" + body
    yield "crlf", (header("crlf") + b"\n.\nbody\n").replace(b"\n", b"\r\n")
    yield "dot-first", b".\n.first\n" + header("dot-first") + b"\nbody\n"
    yield "empty", b""
    yield "from-first", from_line + header("from-first") + b"\nbody\n"
    yield "header-only", header("header-only")
    yield "no-blank", b"just text\nno header at all\n"


def make(directory):
    os.makedirs(directory)
    for name, octets in messages():
        with open(os.path.join(directory, name), "wb") as file:
            file.write(octets)


# ---- Changes by programs -------------------------------------------------------------------------

def on_the_wire(octets):
    """Returns what RETR sends for a file, before byte-stuffing."""
    return with_end(re.sub(rb"(?<!\r)\n", b"\r\n", octets))


def with_end(octets):
    return octets if octets == b"" or octets.endswith(b"\n") else octets + b"\r\n"


def end_of_header(octets):
    """Returns the offset of the first line that is no header field, and True if it is blank."""
    field = re.compile(rb"[!-9;-~]+[ \t]*:.*\n|[ \t]+\S.*\n")
    at = 0
    while found := field.match(octets, at):
        at = found.end()
    return at, bool(re.compile(rb"\r?\n").match(octets, at))


def split_header(octets):
    """Inserts a blank line after the header fields if there is none."""
    at, blank = end_of_header(octets)
    return octets if blank else octets[:at] + b"\n" + octets[at:]


def split_from(octets):
    """Returns a first line "From ", or nothing, and the rest."""
    line = re.match(rb"(From .*\n)?", octets).group()
    return line, octets[len(line):]


def end_header(octets):
    """Appends a blank line if the message has none."""
    return octets if re.search(rb"(?m)^\r?\n", octets) else octets + b"\r\n"


# The steps that interop.sh names. They are applied in order to what RETR sends. compare() and
# after() handle three more: "drop=FIELD", "any-order", and "lf-for-itself", for a server that adds
# a CR before each LF, even after a CR.
STEPS = {
    "lf": lambda m: m.replace(b"\r\n", b"\n"),                  # LF as the line end
    "crlf": lambda m: m.replace(b"\n", b"\r\n"),                # and back
    "cr-is-lf": lambda m: re.sub(rb"\r\n?", b"\n", m),          # a CR alone is a line end
    "no-cr": lambda m: m.replace(b"\r", b""),                   # no CR at all
    "no-cr-at-end": lambda m: re.sub(rb"\r+\n", b"\n", m),      # CRs before a line end are dropped
    "cut-at-nul": lambda m: re.sub(rb"\0[^\n]*", b"", m),       # a line ends at its first NUL
    # a line ends at its first NUL, and the next one is appended
    "cut-at-nul-and-end": lambda m: re.sub(rb"\0[^\n]*\n?", b"", m),
    "split-header": split_header,
    "split-header-after-from": lambda m: split_from(m)[0] + split_header(split_from(m)[1]),
    "end-header": end_header,
    "drop-from": lambda m: split_from(m)[1],
    # ">" before "From ", as in an mbox
    "quote-from": lambda m: re.sub(rb"(?m)^From ", b">From ", m),
    # a message ends in a blank line
    "blank-last": lambda m: m if re.search(rb"(\A|\n)\n\Z", m) else m + b"\n",
    "line-if-empty": lambda m: m or b"\r\n",                    # an empty message is a blank line
}


def drop_field(name, octets):
    """Removes a header field that a program added. It must be the first one."""
    field = re.compile(rb"%s:.*\n([ \t].*\n)*" % name.encode())
    found = field.match(octets)
    return octets[found.end():] if found else b"(no %s in front) " % name.encode() + octets


# ---- Comparing -----------------------------------------------------------------------------------

def natural(name):
    """Orders names as the server does: runs of digits by their value."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def read(path):
    with open(path, "rb") as file:
        return file.read()


def read_all(directory):
    """Returns the content of each file below a directory, in the order of their names."""
    found = [os.path.join(where, name) for where, _, names in os.walk(directory) for name in names]
    result = []
    for path in sorted(found, key=lambda path: natural(os.path.basename(path))):
        result.append(read(path))
    return result


def difference(wanted, got):
    """Returns the first difference of two texts in one line."""
    differing = (i for i, (a, b) in enumerate(zip(wanted, got)) if a != b)
    at = next(differing, min(len(wanted), len(got)))
    return (f"{len(got)} octets instead of {len(wanted)}; at octet {at} "
            f"{got[at:at + 40]!r} instead of {wanted[at:at + 40]!r}")


def after(octets, steps):
    """Returns what arrives of a file after the steps."""
    if "lf-for-itself" in steps:
        octets = with_end(octets.replace(b"\n", b"\r\n"))
    else:
        octets = on_the_wire(octets)
    for step in steps:
        if step in STEPS:
            octets = STEPS[step](octets)
    return octets


def in_order_of(wanted, arrived):
    """Returns what arrived in the order of wanted. Unknown texts fill the gaps."""
    rest = list(arrived)
    places = [rest.pop(rest.index(octets)) if octets in rest else None for octets in wanted]
    return [octets if octets is not None else rest.pop(0) if rest else b""
            for octets in places] + rest


def compare(wanted, got, *steps):
    names = sorted(os.listdir(wanted), key=natural)
    arrived = read_all(got)
    bad = []
    if len(arrived) != len(names):
        bad.append(f"{len(arrived)} messages instead of {len(names)}")
    for step in steps:
        if step.startswith("drop="):
            arrived = [drop_field(step[len("drop="):], octets) for octets in arrived]
    wanted = [after(read(os.path.join(wanted, name)), steps) for name in names]
    if "any-order" in steps:
        arrived = in_order_of(wanted, arrived)
    for name, expected, octets in zip(names, wanted, arrived):
        if octets != expected:
            bad.append(f"{name}: {difference(expected, octets)}")
    print("\n".join(bad) or f"{len(names)} messages")
    return 1 if bad else 0


def sizes(wanted, listing):
    """Compares a listing, lines of numbers and sizes, with what RETR sends."""
    expected = [(n, len(on_the_wire(read(os.path.join(wanted, name)))))
                for n, name in enumerate(sorted(os.listdir(wanted), key=natural), 1)]
    listed = [tuple(map(int, line.split())) for line in read(listing).splitlines()]
    bad = [f"{one} instead of {other}" for one, other in zip(listed, expected) if one != other]
    if len(listed) != len(expected):
        bad.append(f"{len(listed)} sizes instead of {len(expected)}")
    print("\n".join(bad))
    return 1 if bad else 0


# ---- Delivery ------------------------------------------------------------------------------------

def numbered(n):
    """Returns the header and the body of message n. Every tenth one is large."""
    lines = (n * 7919 % 40) if n % 10 else 4000
    header = f"From: Ann Example <ann@example.org>\nSubject: {n}\n"
    body = b"".join(b"%d %d %s\n" % (n, line, b"." * (line % 80)) for line in range(lines))
    return header.encode(), body + b".\n"


def deliver(first, last, *command):
    for n in range(int(first), int(last) + 1):
        subprocess.run(command, input=b"\n".join(numbered(n)), check=True, timeout=300)


def bad_ones(got):
    """Returns the numbers of the complete messages, and a line for each of the others."""
    numbers, bad = [], []
    for octets in read_all(got):
        found = re.search(rb"(?m)^Subject: ([0-9]+)$", octets)
        n = int(found.group(1)) if found else 0
        header, body = numbered(n)
        if found and octets.endswith(b"\n\n" + body) and octets.count(b"Subject:") == 1:
            numbers.append(n)
        else:
            bad.append(f"message {n} is not complete: {len(octets)} octets, end {octets[-40:]!r}")
    return numbers, bad


def whole(got):
    numbers, bad = bad_ones(got)
    print("\n".join(bad))
    return 1 if bad else 0


def delivered(count, got):
    numbers, bad = bad_ones(got)
    wanted = set(range(1, int(count) + 1))
    if lost := sorted(wanted - set(numbers)):
        bad.append(f"lost: {lost}")
    if twice := sorted(n for n in set(numbers) if numbers.count(n) > 1):
        bad.append(f"twice: {twice}")
    print("\n".join(bad))
    return 1 if bad else 0


# ---- Helpers of the shell scripts ----------------------------------------------------------------

def terminal(prompt, answer, *command):
    shown, answered = b"", prompt == ""

    def look(terminal):
        nonlocal shown, answered
        octets = os.read(terminal, 4096)
        if not answered:
            shown += octets
            if prompt.encode() in shown:
                os.write(terminal, answer.encode() + b"\n")
                answered = True
        return octets

    os.environ["TERM"] = "vt100"
    return os.waitstatus_to_exitcode(pty.spawn(command, look))


def port():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1])


def once(condition):
    """Waits up to ten seconds for a condition. Returns the exit status."""
    end = time.monotonic() + 60
    while not condition():
        if time.monotonic() > end:
            return 1
        time.sleep(0.05)
    return 0


def greets(port):
    def greeting():
        try:
            with socket.create_connection(("127.0.0.1", int(port)), timeout=60) as server:
                return server.recv(4)[:3] in (b"+OK", b"SSH")
        except OSError:
            return False

    return once(greeting)


def breaks_off(port, user, password):
    with socket.create_connection(("127.0.0.1", int(port)), timeout=200) as server:
        answers = server.makefile("rb")
        said = answers.readline()
        for command in f"USER {user}", f"PASS {password}", "DELE 1":
            server.sendall(command.encode() + b"\r\n")
            said = answers.readline()
        answers.close()
        return 0 if said.startswith(b"+OK") else 1


def ended(program, argument):
    def gone():
        for process in glob.glob("/proc/[0-9]*/cmdline"):
            try:
                command = read(process).decode(errors="replace").split("\0")
            except OSError:
                continue
            if command[0] == program and argument in command:
                return False
        return True

    return once(gone)


def wire(mail, to):
    for n, name in enumerate(sorted(os.listdir(mail), key=natural), 1):
        with open(os.path.join(to, f"{n}."), "wb") as file:
            file.write(on_the_wire(read(os.path.join(mail, name))))


if __name__ == "__main__":
    commands = make, compare, sizes, wire, terminal, port, greets, \
        breaks_off, ended, deliver, delivered, whole
    sys.exit({command.__name__: command for command in commands}[sys.argv[1]](*sys.argv[2:]))
