"""A BitTorrent client on loopback made of Debian's libtorrent, for the interop tests.

usage: libtorrent-peer.py TORRENT FOLDER [--leave] [--encrypt] [--crawl] [--passive] [--connect HOST:PORT]

Hashes what FOLDER has, prints the `address` it accepts peers on, fetches the rest and seeds. Prints `seeding` when all is on
disk; with --leave it ends then. --encrypt: speaks RC4 only. --crawl: fetches next to nothing. --passive: dials nobody.
--connect: is connected to this peer before it prints its address.
"""

import argparse
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
session = lt.session(settings)
handle = session.add_torrent({"ti": lt.torrent_info(wanted.torrent), "save_path": wanted.folder})
if wanted.crawl:
    handle.set_download_limit(CRAWL_BYTES_PER_SECOND)


def is_connected():
    return any(not peer.flags & (peer.connecting | peer.handshake) for peer in handle.get_peer_info())


while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
        if isinstance(alert, lt.torrent_checked_alert):
            # Peers that come earlier are sent away.
            if wanted.connect:
                host, port = wanted.connect.split(":")
                handle.connect_peer((host, int(port)))
                while not is_connected():
                    time.sleep(0.05)
            print(f"address 127.0.0.1:{session.listen_port()}", flush=True)
        elif isinstance(alert, lt.torrent_finished_alert):
            handle.flush_cache()
        elif isinstance(alert, lt.cache_flushed_alert) and handle.status().is_seeding:
            if wanted.leave:
                # The session's end announces `stopped`.
                raise SystemExit(0)
            print("seeding", flush=True)
        elif isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert, lt.listen_failed_alert)):
            raise SystemExit(1)
