// What the programs of this folder share: the few bytes of BEP 3 they speak, whole reads and writes, and clocks.
#ifndef PEER_H
#define PEER_H
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>

enum {
  HANDSHAKE_LENGTH = 68,
  REQUEST_LENGTH = 17,
  BLOCK_HEADER_LENGTH = 13,
  BLOCK_LENGTH = 16384,
  ID_UNCHOKE = 1,
  ID_INTERESTED = 2,
  ID_BITFIELD = 5,
  ID_REQUEST = 6,
  ID_PIECE = 7,
  ID_CANCEL = 8,
};

static inline uint32_t get_u32(const unsigned char *at) {
  return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static inline void put_u32(unsigned char *at, uint32_t value) {
  at[0] = value >> 24;
  at[1] = value >> 16;
  at[2] = value >> 8;
  at[3] = value;
}

static inline void put_handshake(unsigned char *at, const unsigned char infohash[20], const char peer_id[20]) {
  memset(at, 0, HANDSHAKE_LENGTH);
  memcpy(at, "\x13" "BitTorrent protocol", 20);
  memcpy(at + 28, infohash, 20);
  memcpy(at + 48, peer_id, 20);
}

/** The request for block number `block` of a torrent cut into blocks of 16 KiB; pieces are a multiple of that. */
static inline void put_request(unsigned char *at, uint64_t block, uint64_t piece_length, uint64_t size) {
  uint64_t offset = block * BLOCK_LENGTH;
  put_u32(at, BLOCK_HEADER_LENGTH);
  at[4] = ID_REQUEST;
  put_u32(at + 5, offset / piece_length);
  put_u32(at + 9, offset % piece_length);
  put_u32(at + 13, size - offset < BLOCK_LENGTH ? size - offset : BLOCK_LENGTH);
}

/** 40 hex digits into 20 bytes; 0 when they are not. */
static inline int parse_infohash(const char *hex, unsigned char infohash[20]) {
  if (strlen(hex) != 40) return 0;
  for (int i = 0; i < 20; i++)
    if (sscanf(hex + 2 * i, "%2hhx", &infohash[i]) != 1) return 0;
  return 1;
}

static inline int read_fully(int socket, unsigned char *into, size_t length) {
  while (length > 0) {
    ssize_t got = recv(socket, into, length, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return -1;
    into += got;
    length -= got;
  }
  return 0;
}

static inline int64_t now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/** Processor time of this process, user and system. */
static inline double cpu_seconds(void) {
  struct rusage usage;
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_utime.tv_sec + usage.ru_stime.tv_sec + (usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

#endif
