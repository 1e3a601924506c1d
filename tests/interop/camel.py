"""Camel, the mail library of Evolution: fetches every message, with pipelined RETR.

    python3 camel.py HOST PORT USER PASSWORD yes|no      (yes: deletes them)

EDS_CAMEL_PROVIDER_DIR names the directory with libcamelpop3.so. Camel parses each message. Its
cache has what arrived, one file per message, after one more byte. That is written to got/, in any
order.
"""

import os
import sys

import gi

gi.require_version("Camel", "1.2")
from gi.repository import Camel

host, port, user, password, delete = sys.argv[1:]
data = os.path.abspath("data")


class Session(Camel.Session):
    def do_authenticate_sync(self, service, mechanism, cancellable):
        result = service.authenticate_sync(mechanism, cancellable)
        return result == Camel.AuthenticationResult.ACCEPTED


Camel.init(data, False)
Camel.provider_init()
session = Session(user_data_dir=data, user_cache_dir=data)
session.set_online(True)
store = session.add_service("ours", "pop", Camel.ProviderType.STORE)
settings = store.ref_settings()
settings.set_property("host", host)
settings.set_property("port", int(port))
settings.set_property("user", user)
settings.set_property("security-method", Camel.NetworkSecurityMethod.NONE)
settings.set_property("auto-fetch", True)       # pipelines RETR for the following messages
settings.set_property("keep-on-server", delete == "no")
store.set_password(password)
store.connect_sync(None)
inbox = store.get_inbox_folder_sync(None)
inbox.refresh_info_sync(None)
ids = inbox.get_uids()
for uid in ids:
    if inbox.get_message_sync(uid, None) is None:
        sys.exit(f"no message {uid}")
count = 0
for directory, _, names in os.walk("data/ours/cache"):
    for name in names:
        with open(os.path.join(directory, name), "rb") as file:
            content = file.read()
        count += 1
        with open(f"got/{count}", "wb") as file:
            file.write(content[1:])
if delete == "yes":
    deleted = Camel.MessageFlags.DELETED | Camel.MessageFlags.SEEN
    for uid in ids:
        inbox.set_message_flags(uid, deleted, deleted)
    inbox.synchronize_sync(True, None)
store.disconnect_sync(True, None)
