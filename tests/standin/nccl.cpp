// NCCL of the stand-in: ranks are processes of this machine that talk by sockets of their own. What a group is asked
// for happens at its end, all sends beside all receipts.
#include <cstdio>
#include <cstring>
#include <thread>
#include <vector>

#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "standin.h"

struct Id {
  char name[128];
};
struct Comm {
  int rank, ranks;
  std::vector<int> peers;
};
struct Piece {
  Comm *comm;
  int peer;
  char *at;
  size_t bytes;
  bool out;
};
static std::vector<Piece> asked;
static bool grouped = false;

// Sizes of NCCL's types, by their numbers.
static const size_t sizes[] = {1, 1, 4, 4, 8, 8, 2, 4, 8, 2};

static sockaddr_un place(const Id &id, int rank, socklen_t *length) {
  sockaddr_un a = {};
  a.sun_family = AF_UNIX; // a name that is no file: the first byte is 0
  int n = snprintf(a.sun_path + 1, sizeof a.sun_path - 1, "%s-%d", id.name, rank);
  *length = (socklen_t)(offsetof(sockaddr_un, sun_path) + 1 + (size_t)n);
  return a;
}
static bool whole(int fd, char *at, size_t bytes, bool out) {
  while (bytes > 0) {
    ssize_t n = out ? write(fd, at, bytes) : read(fd, at, bytes);
    if (n <= 0) return false;
    at += n;
    bytes -= (size_t)n;
  }
  return true;
}

extern "C" {
int ncclGetUniqueId(Id *id) {
  *id = {};
  snprintf(id->name, sizeof id->name, "ebm-standin-%d", (int)getpid());
  return 0;
}
int ncclCommInitRank(Comm **to, int ranks, Id id, int rank) {
  if (rank < 0 || rank >= ranks || id.name[0] == 0) return 4;
  Comm *comm = new Comm{rank, ranks, std::vector<int>((size_t)ranks, -1)};
  int listener = socket(AF_UNIX, SOCK_STREAM, 0);
  socklen_t length;
  sockaddr_un own = place(id, rank, &length);
  if (bind(listener, (sockaddr *)&own, length) || listen(listener, ranks)) return 2;
  for (int other = 0; other < rank; ++other) {
    sockaddr_un there = place(id, other, &length);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    while (connect(fd, (sockaddr *)&there, length)) usleep(1000);
    if (!whole(fd, (char *)&rank, sizeof rank, true)) return 6;
    comm->peers[(size_t)other] = fd;
  }
  for (int others = rank + 1; others < ranks; ++others) {
    int fd = accept(listener, nullptr, nullptr), other = -1;
    if (!whole(fd, (char *)&other, sizeof other, false) || other <= rank || other >= ranks) return 6;
    comm->peers[(size_t)other] = fd;
  }
  close(listener);
  *to = comm;
  return 0;
}
int ncclCommAbort(Comm *comm) {
  for (int fd : comm->peers) {
    if (fd >= 0) close(fd);
  }
  delete comm;
  return 0;
}
int ncclGroupStart() {
  if (grouped) return 5;
  grouped = true;
  return 0;
}
static int ask(Comm *comm, int peer, const void *at, size_t count, int type, bool out) {
  if (type < 0 || type > 9 || peer < 0 || peer >= comm->ranks || peer == comm->rank || !grouped) return 4;
  size_t bytes = count * sizes[type];
  if (!held(at, bytes)) return 4;
  asked.push_back({comm, peer, (char *)const_cast<void *>(at), bytes, out});
  return 0;
}
int ncclSend(const void *at, size_t count, int type, int peer, Comm *comm, void *) {
  return ask(comm, peer, at, count, type, true);
}
int ncclRecv(void *at, size_t count, int type, int peer, Comm *comm, void *) {
  return ask(comm, peer, at, count, type, false);
}
int ncclGroupEnd() {
  grouped = false;
  ++counts["exchanges of ranks"];
  std::vector<Piece> all;
  all.swap(asked);
  std::vector<std::thread> writers;
  bool good = true;
  for (const Piece &p : all) {
    if (p.out) writers.emplace_back([p] { whole(p.comm->peers[(size_t)p.peer], p.at, p.bytes, true); });
  }
  for (const Piece &p : all) {
    if (!p.out) good = whole(p.comm->peers[(size_t)p.peer], p.at, p.bytes, false) && good;
  }
  for (std::thread &writer : writers) writer.join();
  return good ? 0 : 6;
}
}
