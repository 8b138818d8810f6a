"""A BitTorrent client on loopback made of Debian's libtorrent, for the interop tests and the bench `libtorrent`.

usage: libtorrent-peer.py TORRENT FOLDER [--leave] [--encrypt] [--crawl] [--passive] [--connect HOST:PORT]
                          [--upload-limit BYTES_PER_SECOND] [--told]

Hashes what FOLDER has, prints the `address` it accepts peers on, fetches the rest and seeds. Prints `seeding` when all is on
disk; with --leave it ends then. --encrypt: speaks RC4 only. --crawl: fetches next to nothing. --passive: dials nobody.
--connect: is connected to this peer before it prints its address. --told: reads lines HOST:PORT of peers to connect to, up to
`go`, and ends with stdin.
"""

import argparse
import os
import sys
import threading
import time

import libtorrent as lt

CRAWL_BYTES_PER_SECOND = 1000

parser = argparse.ArgumentParser()
parser.add_argument("torrent")
parser.add_argument("folder")
parser.add_argument("--leave", action="store_true")
parser.add_argument("--encrypt", action="store_true")
parser.add_argument("--crawl", action="store_true")
parser.add_argument("--passive", action="store_true")
parser.add_argument("--connect")
parser.add_argument("--upload-limit", type=int)
parser.add_argument("--told", action="store_true")
wanted = parser.parse_args()

kinds = lt.alert.category_t
settings = {
    "listen_interfaces": "127.0.0.1:0",
    "enable_dht": False,
    "enable_lsd": False,
    "enable_upnp": False,
    "enable_natpmp": False,
    "enable_incoming_utp": False,
    "enable_outgoing_utp": False,
    # Everybody here is 127.0.0.1.
    "allow_multiple_connections_per_ip": True,
    "alert_mask": kinds.error_notification | kinds.status_notification | kinds.storage_notification
    | kinds.tracker_notification | kinds.connect_notification | kinds.peer_notification,
}
if wanted.encrypt:
    settings["in_enc_policy"] = settings["out_enc_policy"] = int(lt.enc_policy.forced)
    settings["allowed_enc_level"] = int(lt.enc_level.rc4)
if wanted.passive:
    settings["enable_outgoing_tcp"] = False
if wanted.upload_limit:
    settings["upload_rate_limit"] = wanted.upload_limit
session = lt.session(settings)
if wanted.upload_limit:
    # Peers on loopback are exempt from the limits of a session unless their class says otherwise.
    everybody = lt.ip_filter()
    everybody.add_rule("0.0.0.0", "255.255.255.255", 1)
    session.set_peer_class_filter(everybody)
handle = session.add_torrent({"ti": lt.torrent_info(wanted.torrent), "save_path": wanted.folder})
if wanted.crawl:
    handle.set_download_limit(CRAWL_BYTES_PER_SECOND)


def connect(address):
    host, port = address.split(":")
    handle.connect_peer((host, int(port)))


def is_connected():
    return any(not peer.flags & (peer.connecting | peer.handshake) for peer in handle.get_peer_info())


def connect_to_told():
    told = []
    for line in sys.stdin:
        if line.strip() == "go":
            break
        told.append(line.strip())
    for address in told:
        connect(address)
    threading.Thread(target=end_with_stdin, daemon=True).start()


def end_with_stdin():
    sys.stdin.read()
    os._exit(0)


while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
        if isinstance(alert, lt.torrent_checked_alert):
            # Peers that come earlier are sent away.
            if wanted.connect:
                connect(wanted.connect)
                while not is_connected():
                    time.sleep(0.05)
            print(f"address 127.0.0.1:{session.listen_port()}", flush=True)
            if wanted.told:
                connect_to_told()
        elif isinstance(alert, lt.torrent_finished_alert):
            handle.flush_cache()
        elif isinstance(alert, lt.cache_flushed_alert) and handle.status().is_seeding:
            if wanted.leave:
                # The session's end announces `stopped`.
                raise SystemExit(0)
            print("seeding", flush=True)
        elif isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert, lt.listen_failed_alert)):
            raise SystemExit(1)
