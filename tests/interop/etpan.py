"""libetpan, the library of claws-mail: fetches every message into got/, and writes the listing.

    python3 etpan.py HOST PORT USER PASSWORD yes|no      (yes: deletes them)
    python3 etpan.py                                     (prints the library's version)
"""

import ctypes
import sys

etpan = ctypes.CDLL("libetpan.so.20")
etpan.mailpop3_new.restype = ctypes.c_void_p


class Message(ctypes.Structure):
    _fields_ = [("number", ctypes.c_uint), ("size", ctypes.c_uint32), ("uidl", ctypes.c_char_p),
                ("deleted", ctypes.c_int)]


class Array(ctypes.Structure):
    _fields_ = [("items", ctypes.POINTER(ctypes.POINTER(Message))), ("length", ctypes.c_uint),
                ("room", ctypes.c_uint)]


def call(name, *args):
    if (error := getattr(etpan, "mailpop3_" + name)(pop, *args)) != 0:
        sys.exit(f"mailpop3_{name}: error {error}")


if len(sys.argv) == 1:
    print(f"{etpan.libetpan_get_version_major()}.{etpan.libetpan_get_version_minor()}")
    sys.exit()
host, port, user, password, delete = sys.argv[1:]
pop = ctypes.c_void_p(etpan.mailpop3_new(ctypes.c_size_t(0), None))
call("socket_connect", host.encode(), ctypes.c_uint16(int(port)))
call("user", user.encode())
call("pass", password.encode())
found = ctypes.POINTER(Array)()
call("list", ctypes.byref(found))
with open("listing", "w") as listing:
    for i in range(found.contents.length):
        message = found.contents.items[i].contents
        print(message.number, message.size, file=listing)
        content, length = ctypes.c_char_p(), ctypes.c_size_t()
        call("retr", message.number, ctypes.byref(content), ctypes.byref(length))
        with open(f"got/{message.number}", "wb") as file:
            file.write(ctypes.string_at(content, length.value))
        etpan.mailpop3_retr_free(content)
        if delete == "yes":
            call("dele", message.number)
call("quit")
