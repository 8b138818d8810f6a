// What a machine can take from these seeders at best: opens N connections, spread over the seeders, asks for every block of the
// torrent once and throws it away. Nothing is hashed, copied or written. One thread and epoll.
//
//   csink PORT[,PORT...] INFOHASH PIECE_LENGTH SIZE CONNECTIONS
//
// The seeders are on 127.0.0.1 and have everything. Connections that are faster are asked for more. Ends with the last byte, or
// with an error when a seeder leaves; prints `{"connections":N,"bytes":B,"seconds":S,"cpuSeconds":C}`, in seconds from the first dial.
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>
#include "peer.h"

enum { SCRATCH_BYTES = 1 << 18, WINDOW = 128, REFILL_AT = 96, MAX_PORTS = 1024, MAX_EVENTS = 256 };

struct connection {
  int socket;
  /** Bytes of the handshake that have not come yet, then 0. */
  uint32_t handshake_left;
  /** Length prefix and id of the message that is being read, and how many of these 5 bytes are here. */
  unsigned char header[5];
  uint32_t header_bytes;
  /** Bytes of that message still to be skipped. */
  uint32_t body_left;
  int requested;
};

static unsigned char infohash[20], scratch[SCRATCH_BYTES];
static uint64_t piece_length, size, blocks, next_block, received_bytes;

/** Asks for the next blocks of the torrent that nobody was asked for. */
static int refill(struct connection *connection) {
  unsigned char requests[REQUEST_LENGTH * WINDOW];
  int count = 0;
  while (connection->requested < WINDOW && next_block < blocks) {
    put_request(requests + REQUEST_LENGTH * count++, next_block++, piece_length, size);
    connection->requested++;
  }
  ssize_t length = REQUEST_LENGTH * count;
  return length == 0 || send(connection->socket, requests, length, 0) == length ? 0 : -1;
}

static int on_message(struct connection *connection) {
  if (connection->header[4] == ID_UNCHOKE) return refill(connection);
  if (connection->header[4] != ID_PIECE) return 0;
  received_bytes += get_u32(connection->header) - 9;
  connection->requested--;
  return connection->requested <= REFILL_AT ? refill(connection) : 0;
}

/** Follows the framing without looking at what is framed. */
static int consume(struct connection *connection, uint32_t length) {
  const unsigned char *at = scratch;
  while (length > 0) {
    uint32_t *left = connection->handshake_left > 0 ? &connection->handshake_left : &connection->body_left;
    if (*left > 0) {
      uint32_t part = *left < length ? *left : length;
      *left -= part;
      at += part;
      length -= part;
      if (*left == 0 && left == &connection->body_left && on_message(connection)) return -1;
      continue;
    }
    connection->header[connection->header_bytes++] = *at++;
    length--;
    // A length of 0 is a keep-alive, without an id.
    if (connection->header_bytes == 4 && get_u32(connection->header) == 0) connection->header_bytes = 0;
    if (connection->header_bytes < 5) continue;
    connection->header_bytes = 0;
    connection->body_left = get_u32(connection->header) - 1;
    if (connection->body_left == 0 && on_message(connection)) return -1;
  }
  return 0;
}

static int dial(struct connection *connection, uint16_t port, int serial) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1;
  connection->handshake_left = HANDSHAKE_LENGTH;
  connection->socket = socket(AF_INET, SOCK_STREAM, 0);
  if (connection->socket < 0 || connect(connection->socket, (void *)&address, sizeof address)) return -1;
  setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  unsigned char hello[HANDSHAKE_LENGTH + 5];
  char peer_id[21];
  snprintf(peer_id, sizeof peer_id, "-SK0001-%012d", serial);
  put_handshake(hello, infohash, peer_id);
  put_u32(hello + HANDSHAKE_LENGTH, 1);
  hello[HANDSHAKE_LENGTH + 4] = ID_INTERESTED;
  return send(connection->socket, hello, sizeof hello, 0) == sizeof hello ? 0 : -1;
}

static int parse_ports(char *text, uint16_t *ports) {
  int count = 0;
  for (char *part = strtok(text, ","); part != NULL; part = strtok(NULL, ",")) {
    unsigned long port = strtoul(part, NULL, 10);
    if (port == 0 || port > 65535 || count == MAX_PORTS) return 0;
    ports[count++] = port;
  }
  return count;
}

/** Reads whatever is there until the last byte has come. @return 0, or -1 when a seeder has left */
static int drain(int epoll) {
  struct epoll_event events[MAX_EVENTS];
  while (received_bytes < size) {
    int ready = epoll_wait(epoll, events, MAX_EVENTS, -1);
    if (ready < 0 && errno != EINTR) return -1;
    for (int i = 0; i < ready; i++) {
      struct connection *connection = events[i].data.ptr;
      ssize_t got = recv(connection->socket, scratch, sizeof scratch, 0);
      if (got <= 0 || consume(connection, got)) return -1;
    }
  }
  return 0;
}

int main(int count, char **arguments) {
  uint16_t ports[MAX_PORTS];
  int port_count = count == 6 ? parse_ports(arguments[1], ports) : 0;
  long connections = count == 6 ? strtol(arguments[5], NULL, 10) : 0;
  if (port_count == 0 || !parse_infohash(arguments[2], infohash) || connections < 1 || connections > 100000) {
    fprintf(stderr, "usage: csink PORT[,PORT...] INFOHASH PIECE_LENGTH SIZE CONNECTIONS\n");
    return 2;
  }
  piece_length = strtoull(arguments[3], NULL, 10);
  size = strtoull(arguments[4], NULL, 10);
  blocks = (size + BLOCK_LENGTH - 1) / BLOCK_LENGTH;
  if (piece_length == 0 || piece_length % BLOCK_LENGTH != 0) {
    fprintf(stderr, "csink: expected a piece length that is a multiple of %d, got %s\n", BLOCK_LENGTH, arguments[3]);
    return 2;
  }
  int64_t started = now_ns();
  int epoll = epoll_create1(0);
  struct connection *all = calloc(connections, sizeof *all);
  if (epoll < 0 || all == NULL) return 1;
  for (long i = 0; i < connections; i++) {
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = &all[i]};
    uint16_t port = ports[i % port_count];
    if (dial(&all[i], port, i) || epoll_ctl(epoll, EPOLL_CTL_ADD, all[i].socket, &event)) {
      fprintf(stderr, "csink: cannot dial port %u: %s\n", port, strerror(errno));
      return 1;
    }
  }
  if (drain(epoll)) {
    fprintf(stderr, "csink: a seeder has left after %llu bytes\n", (unsigned long long)received_bytes);
    return 1;
  }
  printf("{\"connections\":%ld,\"bytes\":%llu,\"seconds\":%.3f,\"cpuSeconds\":%.3f}\n", connections,
         (unsigned long long)received_bytes, (now_ns() - started) / 1e9, cpu_seconds());
  return 0;
}
