// The cheapest seeder there is: one file, mapped into memory, any number of connections with a thread each, and one writev for all
// the requests of a read. It costs about 0.4 CPU seconds per GiB, so that on a small machine what is measured is the downloader.
// It speaks BEP 3 (CANCEL where answers are held back), and of BEP 10 only how many requests it takes, since some clients ask for few without. It hashes nothing,
// announces nothing and unchokes everybody.
//
//   cseed PORT INFOHASH PAYLOAD PIECE_LENGTH      PORT 0 takes a free one; prints `ready PORT` when it listens
//
// Knobs, by environment:
//   BIND=127.0.0.1            address to listen on
//   DELAY_MS=0                every answer leaves so much later: a round trip
//   RATE_KIB=0                KiB per second and connection; 0 for no limit
//   HAVE_MOD=1 HAVE_REM=0     has only the pieces whose index % HAVE_MOD is HAVE_REM
//   CONTROL=1                 reads `dial ADDRESS PORT` lines on stdin, for clients that must be dialled, and ends with it
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>
#include "peer.h"

enum {
  READ_BYTES = 1 << 18,
  QUEUE_LENGTH = 1 << 14,
  // Requests that fit into one read.
  BATCH = READ_BYTES / REQUEST_LENGTH + 1,
  // Answers of the delayed writer in one go.
  SLOW_BATCH = 64,
  MAX_MESSAGE = 1 << 17,
  STACK_BYTES = 256 * 1024,
  IOV_LIMIT = 1024,
  // BEP 10, in the reserved bytes.
  EXTENSION_PROTOCOL = 0x10,
};

struct request {
  uint32_t index, begin, length;
  int64_t due_ns;
};

struct connection {
  int socket, dialled, ended;
  struct request queue[QUEUE_LENGTH];
  unsigned head, tail;
  pthread_mutex_t lock;
  pthread_cond_t changed;
};

static unsigned char infohash[20], *payload;
static uint64_t size, piece_length, delay_ns, bytes_per_second, have_mod, have_rem;
static int serial;
static pthread_attr_t thread_settings;

static void sleep_ns(int64_t ns) {
  if (ns <= 0) return;
  struct timespec time = {ns / 1000000000, ns % 1000000000};
  nanosleep(&time, NULL);
}

static int write_fully(int socket, struct iovec *parts, int count) {
  while (count > 0) {
    ssize_t written = writev(socket, parts, count > IOV_LIMIT ? IOV_LIMIT : count);
    if (written <= 0) return -1;
    while (count > 0 && (size_t)written >= parts->iov_len) {
      written -= parts->iov_len;
      parts++;
      count--;
    }
    if (count > 0) {
      parts->iov_base = (char *)parts->iov_base + written;
      parts->iov_len -= written;
    }
  }
  return 0;
}

/** A header and the payload behind it, which is not copied. */
static void put_answer(struct iovec *parts, unsigned char *header, const struct request *request) {
  put_u32(header, 9 + request->length);
  header[4] = ID_PIECE;
  put_u32(header + 5, request->index);
  put_u32(header + 9, request->begin);
  parts[0] = (struct iovec){header, BLOCK_HEADER_LENGTH};
  parts[1] = (struct iovec){payload + request->index * piece_length + request->begin, request->length};
}

/** Sends what is due, where there is a delay or a rate; otherwise the reader answers itself. */
static void *write_slowly(void *argument) {
  struct connection *connection = argument;
  unsigned char headers[BLOCK_HEADER_LENGTH * SLOW_BATCH];
  struct iovec parts[2 * SLOW_BATCH];
  struct request batch[SLOW_BATCH];
  int64_t free_at = 0;
  for (;;) {
    pthread_mutex_lock(&connection->lock);
    while (connection->head == connection->tail && !connection->ended)
      pthread_cond_wait(&connection->changed, &connection->lock);
    if (connection->ended) {
      pthread_mutex_unlock(&connection->lock);
      return NULL;
    }
    int count = 0;
    int64_t now = now_ns();
    while (count < SLOW_BATCH && connection->head != connection->tail) {
      struct request *next = &connection->queue[connection->head % QUEUE_LENGTH];
      if (next->length == 0) {
        connection->head++;
        continue;
      }
      if (count > 0 && (next->due_ns > now || bytes_per_second > 0)) break;
      batch[count++] = *next;
      connection->head++;
    }
    pthread_mutex_unlock(&connection->lock);
    if (count == 0) continue;
    sleep_ns(batch[0].due_ns - now);
    if (bytes_per_second > 0) {
      now = now_ns();
      if (free_at < now) free_at = now;
      sleep_ns(free_at - now);
      free_at += (int64_t)batch[0].length * 1000000000LL / (int64_t)bytes_per_second;
    }
    for (int i = 0; i < count; i++) put_answer(parts + 2 * i, headers + BLOCK_HEADER_LENGTH * i, batch + i);
    if (write_fully(connection->socket, parts, 2 * count)) {
      shutdown(connection->socket, SHUT_RDWR);
      return NULL;
    }
  }
}

static void enqueue(struct connection *connection, struct request request) {
  pthread_mutex_lock(&connection->lock);
  if (connection->tail - connection->head < QUEUE_LENGTH) connection->queue[connection->tail++ % QUEUE_LENGTH] = request;
  pthread_cond_signal(&connection->changed);
  pthread_mutex_unlock(&connection->lock);
}

/** Takes back what has not been sent; a request of no bytes is passed over. */
static void cancel(struct connection *connection, const unsigned char *body) {
  uint32_t index = get_u32(body), begin = get_u32(body + 4);
  pthread_mutex_lock(&connection->lock);
  for (unsigned at = connection->head; at != connection->tail; at++) {
    struct request *request = &connection->queue[at % QUEUE_LENGTH];
    if (request->index == index && request->begin == begin) request->length = 0;
  }
  pthread_mutex_unlock(&connection->lock);
}

static int is_good(const struct request *request) {
  uint64_t end = request->index * piece_length + request->begin + request->length;
  if (request->length <= MAX_MESSAGE && end <= size && request->index % have_mod == have_rem) return 1;
  fprintf(stderr, "cseed: bad request: piece %u begin %u length %u\n", request->index, request->begin, request->length);
  return 0;
}

/** Handshakes, in the order of who dialled, then the bitfield and an unchoke. */
static int greet(struct connection *connection) {
  unsigned char ours[HANDSHAKE_LENGTH], theirs[HANDSHAKE_LENGTH];
  char peer_id[21];
  // Of two connections with one id a client drops one: processes must differ as well.
  unsigned process = getpid(), connected = __sync_add_and_fetch(&serial, 1);
  snprintf(peer_id, sizeof peer_id, "-CS0001-%06u%06u", process % 1000000, connected % 1000000);
  put_handshake(ours, infohash, peer_id);
  ours[25] |= EXTENSION_PROTOCOL;
  struct iovec hello = {ours, sizeof ours};
  if (connection->dialled && write_fully(connection->socket, &hello, 1)) return -1;
  if (read_fully(connection->socket, theirs, sizeof theirs) || memcmp(theirs + 28, infohash, 20)) return -1;

  static const unsigned char extended[] = "\0\0\0\x11\x14\0" "d4:reqqi16384ee";
  size_t extended_length = theirs[25] & EXTENSION_PROTOCOL ? sizeof extended - 1 : 0;
  uint64_t pieces = (size + piece_length - 1) / piece_length, length = (pieces + 7) / 8;
  unsigned char *messages = calloc(1, 5 + length + 5);
  if (messages == NULL) return -1;
  put_u32(messages, 1 + length);
  messages[4] = ID_BITFIELD;
  for (uint64_t i = 0; i < pieces; i++)
    if (i % have_mod == have_rem) messages[5 + i / 8] |= 0x80 >> (i % 8);
  put_u32(messages + 5 + length, 1);
  messages[9 + length] = ID_UNCHOKE;
  sleep_ns(delay_ns);
  struct iovec parts[3] = {{ours, sizeof ours}, {(void *)extended, extended_length}, {messages, length + 10}};
  int sent = connection->dialled ? 1 : 0, failed = write_fully(connection->socket, parts + sent, 3 - sent);
  free(messages);
  return failed;
}

/** Reads requests until the peer leaves, and answers them unless a writer does. */
static void answer_requests(struct connection *connection, int has_writer) {
  unsigned char *bytes = malloc(READ_BYTES), *headers = malloc(BLOCK_HEADER_LENGTH * BATCH);
  struct iovec *parts = malloc(sizeof *parts * 2 * BATCH);
  size_t held = 0;
  while (bytes != NULL && headers != NULL && parts != NULL) {
    ssize_t got = recv(connection->socket, bytes + held, READ_BYTES - held, 0);
    if (got <= 0) break;
    held += got;
    size_t at = 0;
    int count = 0;
    while (held - at >= 4) {
      uint32_t length = get_u32(bytes + at);
      if (length > MAX_MESSAGE) goto end;
      if (held - at < 4 + length) break;
      if (length == 13 && bytes[at + 4] == ID_REQUEST) {
        struct request request = {get_u32(bytes + at + 5), get_u32(bytes + at + 9), get_u32(bytes + at + 13), 0};
        if (!is_good(&request)) goto end;
        if (has_writer) {
          request.due_ns = now_ns() + delay_ns;
          enqueue(connection, request);
        } else {
          put_answer(parts + 2 * count, headers + BLOCK_HEADER_LENGTH * count, &request);
          count++;
        }
      }
      if (length == 13 && bytes[at + 4] == ID_CANCEL && has_writer) cancel(connection, bytes + at + 5);
      at += 4 + length;
    }
    memmove(bytes, bytes + at, held - at);
    held -= at;
    if (count > 0 && write_fully(connection->socket, parts, 2 * count)) break;
  }
end:
  free(bytes);
  free(headers);
  free(parts);
}

static void *serve(void *argument) {
  struct connection *connection = argument;
  int on = 1;
  setsockopt(connection->socket, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  pthread_mutex_init(&connection->lock, NULL);
  pthread_cond_init(&connection->changed, NULL);
  if (greet(connection) == 0) {
    pthread_t writer;
    int has_writer = (delay_ns > 0 || bytes_per_second > 0) && pthread_create(&writer, NULL, write_slowly, connection) == 0;
    answer_requests(connection, has_writer);
    pthread_mutex_lock(&connection->lock);
    connection->ended = 1;
    pthread_cond_signal(&connection->changed);
    pthread_mutex_unlock(&connection->lock);
    shutdown(connection->socket, SHUT_RDWR);
    if (has_writer) pthread_join(writer, NULL);
  }
  close(connection->socket);
  free(connection);
  return NULL;
}

static void start_serving(int socket, int dialled) {
  struct connection *connection = calloc(1, sizeof *connection);
  pthread_t thread;
  if (connection != NULL) {
    connection->socket = socket;
    connection->dialled = dialled;
    if (pthread_create(&thread, &thread_settings, serve, connection) == 0) return;
  }
  free(connection);
  close(socket);
}

static int parse_address(const char *host, const char *port, struct sockaddr_in *address) {
  char *end;
  unsigned long number = strtoul(port, &end, 10);
  if (*port == 0 || *end != 0 || number > 65535) return 0;
  *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(number)};
  return inet_pton(AF_INET, host, &address->sin_addr) == 1;
}

/** Dials who is named on stdin; when that closes, so does this process. */
static void *obey(void *unused) {
  (void)unused;
  char line[128], host[64], port[8];
  while (fgets(line, sizeof line, stdin) != NULL) {
    struct sockaddr_in address;
    int socket_ = -1;
    if (sscanf(line, "dial %63s %7s", host, port) != 2 || !parse_address(host, port, &address)) {
      fprintf(stderr, "cseed: expected `dial ADDRESS PORT`, got %s", line);
    } else if ((socket_ = socket(AF_INET, SOCK_STREAM, 0)) < 0 || connect(socket_, (void *)&address, sizeof address)) {
      fprintf(stderr, "cseed: cannot dial %s port %s: %s\n", host, port, strerror(errno));
      if (socket_ >= 0) close(socket_);
    } else {
      start_serving(socket_, 1);
    }
  }
  exit(0);
}

static uint64_t number_from(const char *name, uint64_t otherwise) {
  const char *text = getenv(name);
  return text == NULL ? otherwise : strtoull(text, NULL, 10);
}

static int map_payload(const char *path) {
  int file = open(path, O_RDONLY);
  struct stat facts;
  if (file < 0 || fstat(file, &facts)) return -1;
  size = facts.st_size;
  payload = mmap(NULL, size, PROT_READ, MAP_SHARED | MAP_POPULATE, file, 0);
  close(file);
  return payload == MAP_FAILED ? -1 : 0;
}

int main(int count, char **arguments) {
  const char *bind_to = getenv("BIND") != NULL ? getenv("BIND") : "127.0.0.1";
  struct sockaddr_in address;
  if (count == 5) piece_length = strtoull(arguments[4], NULL, 10);
  have_mod = number_from("HAVE_MOD", 1);
  if (count != 5 || !parse_infohash(arguments[2], infohash) || !parse_address(bind_to, arguments[1], &address) ||
      piece_length == 0 || have_mod == 0) {
    fprintf(stderr, "usage: cseed PORT INFOHASH PAYLOAD PIECE_LENGTH\n");
    return 2;
  }
  delay_ns = number_from("DELAY_MS", 0) * 1000000;
  bytes_per_second = number_from("RATE_KIB", 0) * 1024;
  have_rem = number_from("HAVE_REM", 0);
  signal(SIGPIPE, SIG_IGN);
  if (map_payload(arguments[3])) {
    fprintf(stderr, "cseed: cannot map %s: %s\n", arguments[3], strerror(errno));
    return 1;
  }

  int listener = socket(AF_INET, SOCK_STREAM, 0), on = 1;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  socklen_t length = sizeof address;
  if (bind(listener, (void *)&address, length) || listen(listener, 4096) || getsockname(listener, (void *)&address, &length)) {
    fprintf(stderr, "cseed: cannot listen on %s port %s: %s\n", bind_to, arguments[1], strerror(errno));
    return 1;
  }
  pthread_attr_init(&thread_settings);
  pthread_attr_setstacksize(&thread_settings, STACK_BYTES);
  pthread_attr_setdetachstate(&thread_settings, PTHREAD_CREATE_DETACHED);
  pthread_t control;
  if (number_from("CONTROL", 0) && pthread_create(&control, &thread_settings, obey, NULL)) return 1;
  printf("ready %u\n", ntohs(address.sin_port));
  fflush(stdout);
  for (;;) {
    int accepted = accept(listener, NULL, NULL);
    if (accepted >= 0) start_serving(accepted, 0);
  }
}
