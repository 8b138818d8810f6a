// The floor: the least CPU with which one thread can fetch, SHA-1 and write a torrent of one file. It does nothing else: one
// connection, blocks in order, 256 requests under way, one recv into the piece, one digest and one pwrite per piece. Where
// hashing or writing is turned off it tells what the rest costs. No client can be much cheaper; that is what it is for.
//
//   cfloor PORT INFOHASH OUT PIECE_LENGTH SIZE [HASH=1] [WRITE=1]
//
// Fetches from a seed on 127.0.0.1 port PORT that gives blocks in the order they are asked for, as cseed does.
// It does not compare the digests with anything: whoever runs it compares OUT.
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <unistd.h>
#include "peer.h"

enum { SCRATCH_BYTES = 1 << 18, WINDOW = 256, REFILL_AT = 192 };

static int peer;
static unsigned char scratch[SCRATCH_BYTES];
static size_t scratch_at, scratch_end;

/** The next bytes of the stream: large reads go straight to their place. */
static void take(unsigned char *into, size_t length) {
  while (length > 0) {
    if (scratch_at == scratch_end) {
      int direct = length >= sizeof scratch;
      ssize_t got = recv(peer, direct ? into : scratch, direct ? length : sizeof scratch, 0);
      if (got <= 0) {
        fprintf(stderr, "cfloor: the seed has left\n");
        exit(1);
      }
      if (direct) {
        into += got;
        length -= got;
        continue;
      }
      scratch_at = 0;
      scratch_end = got;
    }
    size_t part = scratch_end - scratch_at < length ? scratch_end - scratch_at : length;
    memcpy(into, scratch + scratch_at, part);
    scratch_at += part;
    into += part;
    length -= part;
  }
}

static int dial(uint16_t port, const unsigned char infohash[20]) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  int on = 1;
  peer = socket(AF_INET, SOCK_STREAM, 0);
  setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  if (connect(peer, (void *)&address, sizeof address)) return -1;
  unsigned char hello[HANDSHAKE_LENGTH + 5];
  put_handshake(hello, infohash, "-FL0001-000000000001");
  put_u32(hello + HANDSHAKE_LENGTH, 1);
  hello[HANDSHAKE_LENGTH + 4] = ID_INTERESTED;
  return send(peer, hello, sizeof hello, 0) == sizeof hello ? 0 : -1;
}

/** Skips what comes before the unchoke. */
static void await_unchoke(void) {
  unsigned char header[5], skipped;
  unsigned char handshake[HANDSHAKE_LENGTH];
  take(handshake, sizeof handshake);
  do {
    take(header, sizeof header);
    for (uint32_t left = get_u32(header) - 1; left > 0; left--) take(&skipped, 1);
  } while (header[4] != ID_UNCHOKE);
}

/** @return 0, or -1 with errno when the output cannot be written */
static int fetch(int out, uint64_t piece_length, uint64_t size, int hash, int write_) {
  uint64_t pieces = (size + piece_length - 1) / piece_length, blocks = (size + BLOCK_LENGTH - 1) / BLOCK_LENGTH;
  uint64_t requested = 0, received = 0;
  unsigned char *piece = malloc(piece_length), requests[REQUEST_LENGTH * WINDOW], digest[EVP_MAX_MD_SIZE];
  unsigned char header[BLOCK_HEADER_LENGTH];
  if (piece == NULL) return -1;
  for (uint64_t i = 0; i < pieces; i++) {
    uint64_t left = size - i * piece_length, length = left < piece_length ? left : piece_length;
    for (uint64_t begin = 0; begin < length; begin += BLOCK_LENGTH) {
      if (requested - received <= REFILL_AT) {
        int count = 0;
        while (requested - received < WINDOW && requested < blocks)
          put_request(requests + REQUEST_LENGTH * count++, requested++, piece_length, size);
        if (count > 0 && send(peer, requests, REQUEST_LENGTH * count, 0) < 0) return -1;
      }
      take(header, sizeof header);
      uint64_t block = get_u32(header) - 9;
      if (header[4] != ID_PIECE || get_u32(header + 5) != i || get_u32(header + 9) != begin || block > length - begin) {
        fprintf(stderr, "cfloor: expected the block at %llu of piece %llu\n", (unsigned long long)begin, (unsigned long long)i);
        exit(1);
      }
      take(piece + begin, block);
      received++;
    }
    if (hash && !EVP_Digest(piece, length, digest, NULL, EVP_sha1(), NULL)) return -1;
    if (write_ && pwrite(out, piece, length, i * piece_length) != (ssize_t)length) return -1;
  }
  free(piece);
  return 0;
}

int main(int count, char **arguments) {
  unsigned char infohash[20];
  if (count < 6 || count > 8 || !parse_infohash(arguments[2], infohash)) {
    fprintf(stderr, "usage: cfloor PORT INFOHASH OUT PIECE_LENGTH SIZE [HASH=1] [WRITE=1]\n");
    return 2;
  }
  uint64_t piece_length = strtoull(arguments[4], NULL, 10), size = strtoull(arguments[5], NULL, 10);
  int hash = count > 6 ? atoi(arguments[6]) : 1, write_ = count > 7 ? atoi(arguments[7]) : 1;
  if (piece_length == 0 || piece_length % BLOCK_LENGTH != 0) {
    fprintf(stderr, "cfloor: expected a piece length that is a multiple of %d, got %s\n", BLOCK_LENGTH, arguments[4]);
    return 2;
  }
  int64_t started = now_ns();
  if (dial(strtoul(arguments[1], NULL, 10), infohash)) {
    fprintf(stderr, "cfloor: cannot dial port %s: %s\n", arguments[1], strerror(errno));
    return 1;
  }
  await_unchoke();
  int out = open(arguments[3], O_CREAT | O_TRUNC | O_WRONLY, 0644);
  if (out < 0 || fetch(out, piece_length, size, hash, write_) || close(out)) {
    fprintf(stderr, "cfloor: cannot write %s: %s\n", arguments[3], strerror(errno));
    return 1;
  }
  double seconds = (now_ns() - started) / 1e9, cpu = cpu_seconds();
  printf("{\"bytes\":%llu,\"seconds\":%.3f,\"cpuSeconds\":%.3f}\n", (unsigned long long)size, seconds, cpu);
  return 0;
}
