"""A BitTorrent client on loopback made of Debian's libtorrent, for the interop tests.

usage: libtorrent-peer.py TORRENT FOLDER [--leave]

Hashes what FOLDER has, fetches the rest and seeds. Prints `seeding`; with --leave it ends then.
"""

import sys

import libtorrent as lt

torrent, folder = sys.argv[1:3]
leave = "--leave" in sys.argv[3:]

kinds = lt.alert.category_t
session = lt.session({
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
})
handle = session.add_torrent({"ti": lt.torrent_info(torrent), "save_path": folder})

while True:
    session.wait_for_alert(1000)
    for alert in session.pop_alerts():
        print(type(alert).__name__, alert.message(), flush=True)
        if isinstance(alert, lt.torrent_finished_alert):
            if leave:
                handle.flush_cache()
            else:
                print("seeding", flush=True)
        elif isinstance(alert, lt.cache_flushed_alert) and leave:
            # The session's end announces `stopped`.
            sys.exit(0)
        elif isinstance(alert, (lt.torrent_error_alert, lt.file_error_alert, lt.listen_failed_alert)):
            sys.exit(1)
