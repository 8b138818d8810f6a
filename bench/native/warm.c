// Keeps memory warm on a virtual machine that gives free memory back to its host: there, the first touch of a page costs several
// times what it costs elsewhere, and a download to a RAM disk mostly measures that. Touches so much memory, and frees all of it but
// one page of each 2 MiB: what is left free is in pieces that are too small to be given back.
//
//   warm GIB          prints `warm` when that is done, and keeps it so until it is killed
#define _DEFAULT_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE_BYTES = 4096, BLOCK_BYTES = 2 << 20 };

int main(int count, char **arguments) {
  size_t size = (size_t)(count == 2 ? strtoul(arguments[1], NULL, 10) : 0) << 30;
  if (size == 0) {
    fputs("usage: warm GIB\n", stderr);
    return 2;
  }
  char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) {
    perror("warm: mmap");
    return 1;
  }
  madvise(memory, size, MADV_NOHUGEPAGE);
  for (size_t at = 0; at < size; at += PAGE_BYTES) memory[at] = 1;
  for (size_t at = 0; at < size; at += BLOCK_BYTES) {
    madvise(memory + at + PAGE_BYTES, BLOCK_BYTES - PAGE_BYTES, MADV_DONTNEED);
  }
  puts("warm");
  fflush(stdout);
  for (;;) pause();
}
