"""Many torrents in one session of Debian's libtorrent on loopback, for the bench `many`.

usage: libtorrent-many.py seed|get FOLDER TORRENT...

`seed` trusts that FOLDER has everything, announces it, prints `seeding` and goes on until stdin closes. `get` fetches everything
into FOLDER, prints `complete CPU_SECONDS PEAK_KIB` and ends.
"""

import resource
import sys

import libtorrent as lt

mode, folder, torrents = sys.argv[1], sys.argv[2], sys.argv[3:]
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
        "in_enc_policy": int(lt.enc_policy.disabled),
        "out_enc_policy": int(lt.enc_policy.disabled),
        "active_downloads": -1,
        "active_seeds": -1,
        "active_limit": -1,
        "active_tracker_limit": -1,
        "active_checking": 8,
        "connections_limit": 4000,
        "connection_speed": 500,
        "unchoke_slots_limit": 2000,
        "seed_choking_algorithm": 1,
        "send_buffer_watermark": 4 * 1024 * 1024,
        "max_allowed_in_request_queue": 2000,
    }
)
flags = lt.torrent_flags.default_flags
if mode == "seed":
    # Managed ones begin, and are announced, a few at a time.
    flags = flags & ~(lt.torrent_flags.auto_managed | lt.torrent_flags.paused) | lt.torrent_flags.seed_mode
handles = [session.add_torrent({"ti": lt.torrent_info(t), "save_path": folder, "flags": flags}) for t in torrents]
if mode == "seed":
    print("seeding", flush=True)
    sys.stdin.read()
    raise SystemExit(0)
while not all(handle.status().is_seeding for handle in handles):
    session.wait_for_alert(50)
    session.pop_alerts()
usage = resource.getrusage(resource.RUSAGE_SELF)
print(f"complete {usage.ru_utime + usage.ru_stime} {usage.ru_maxrss}", flush=True)
