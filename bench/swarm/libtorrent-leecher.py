"""One leecher of the bench `libtorrent`: Debian's libtorrent on loopback.

usage: libtorrent-leecher.py TORRENT FOLDER UPLOAD_BYTES_PER_SECOND

Hashes what FOLDER has, prints `address HOST:PORT`, then reads lines `HOST:PORT` of peers to connect to, up to `go`, with which
it begins. Prints `complete` when it has everything and goes on seeding until stdin closes.
"""

import sys
import time

import libtorrent as lt

torrent, folder, rate = sys.argv[1], sys.argv[2], int(sys.argv[3])
session = lt.session(
    {
        "listen_interfaces": "127.0.0.1:0",
        "enable_dht": False,
        "enable_lsd": False,
        "enable_upnp": False,
        "enable_natpmp": False,
        "enable_incoming_utp": False,
        "enable_outgoing_utp": False,
        # Everybody here is 127.0.0.1.
        "allow_multiple_connections_per_ip": True,
        "alert_mask": lt.alert.category_t.status_notification | lt.alert.category_t.error_notification,
        "upload_rate_limit": rate,
    }
)
# Peers on loopback are exempt from the limits of a session unless their class says otherwise.
everybody = lt.ip_filter()
everybody.add_rule("0.0.0.0", "255.255.255.255", 1)
session.set_peer_class_filter(everybody)
handle = session.add_torrent({"ti": lt.torrent_info(torrent), "save_path": folder})
while handle.status().state in (lt.torrent_status.checking_files, lt.torrent_status.checking_resume_data):
    time.sleep(0.02)
print(f"address 127.0.0.1:{session.listen_port()}", flush=True)
peers = []
for line in sys.stdin:
    if line.strip() == "go":
        break
    host, port = line.strip().split(":")
    peers.append((host, int(port)))
for peer in peers:
    handle.connect_peer(peer)
while not handle.status().is_seeding:
    time.sleep(0.01)
print("complete", flush=True)
sys.stdin.read()
