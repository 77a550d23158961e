/*
 * The backend of the benchmarks: one thread, one epoll set, many listening ports on 127.0.0.1, as little work per request as possible,
 * so that the proxy under test is the limit and not this.
 *
 *   backend PORTS      listens on that many free ports and prints {"ports":[...]} when it is ready
 *
 *   GET  /mb                                  1 MiB with Content-Length
 *   GET  /ndjson?chunks=N&interval-us=M       N chunks, one each M microseconds; each tells CLOCK_MONOTONIC at its writing
 *   any  other path                           1,010 bytes of JSON; a body with Content-Length is read first
 *
 * Each answer names its port in X-Backend-Port, so that a client can check the routing. Keep-alive, but no pipelining;
 * requests with Transfer-Encoding get 411.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

enum { MAX_PORTS = 1024, BACKLOG = 4096, EVENTS = 512, HEAD_BYTES = 16384, SMALL_BODY_BYTES = 1010, LARGE_BODY_BYTES = 1 << 20 };

/* First member of everything that epoll knows, so that an event tells what it is about. */
enum source_kind { LISTENER, CONNECTION, TIMER };

struct answer {
  char *bytes;
  size_t length;
};

struct listener {
  enum source_kind kind;
  int fd;
  int port;
  struct answer small, large, no_length;
};

struct connection;

struct timer {
  enum source_kind kind;
  int fd;
  struct connection *connection;
};

struct connection {
  enum source_kind kind;
  int fd;
  struct listener *listener;
  struct timer timer;
  struct connection *next_dead;
  const char *out;
  size_t out_left;
  size_t body_left;
  size_t head_length;
  long chunks_left;
  long chunks_sent;
  bool answer_due; /* the head is read, the request's body not yet */
  bool wants_out;
  bool ends;
  bool dead;
  char head[HEAD_BYTES + 1];
};

static int epoll_fd;
static struct connection *dead_list;

static void fail(const char *what) {
  perror(what);
  exit(1);
}

static void watch(int operation, int fd, uint32_t events, void *source) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  if (epoll_ctl(epoll_fd, operation, fd, &event) < 0) fail("epoll_ctl");
}

static struct answer make_answer(const char *status, int port, size_t body_length) {
  struct answer answer;
  char *bytes = malloc(512 + body_length);
  if (!bytes) fail("malloc");
  int head = sprintf(bytes,
                     "HTTP/1.1 %s\r\nServer: backend\r\nDate: Sat, 21 Nov 2026 22:06:49 GMT\r\nContent-Type: application/json\r\n"
                     "Content-Length: %zu\r\nX-Backend-Port: %d\r\n\r\n",
                     status, body_length, port);
  memset(bytes + head, 'x', body_length);
  if (body_length >= 10) {
    memcpy(bytes + head, "{\"pad\":\"", 8);
    memcpy(bytes + head + body_length - 2, "\"}", 2);
  }
  answer.bytes = bytes;
  answer.length = (size_t)head + body_length;
  return answer;
}

static void listen_on_free_port(struct listener *listener) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  listener->kind = LISTENER;
  listener->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (listener->fd < 0) fail("socket");
  if (bind(listener->fd, (struct sockaddr *)&address, sizeof address) < 0) fail("bind");
  if (listen(listener->fd, BACKLOG) < 0) fail("listen");
  if (getsockname(listener->fd, (struct sockaddr *)&address, &length) < 0) fail("getsockname");
  listener->port = ntohs(address.sin_port);
  listener->small = make_answer("200 OK", listener->port, SMALL_BODY_BYTES);
  listener->large = make_answer("200 OK", listener->port, LARGE_BODY_BYTES);
  listener->no_length = make_answer("411 Length Required", listener->port, 0);
  watch(EPOLL_CTL_ADD, listener->fd, EPOLLIN, listener);
}

static void stop_timer(struct connection *connection) {
  if (connection->timer.fd < 0) return;
  close(connection->timer.fd);
  connection->timer.fd = -1;
}

/* The memory is freed after the current batch of events, which may still name it. */
static void close_connection(struct connection *connection) {
  if (connection->dead) return;
  connection->dead = true;
  stop_timer(connection);
  close(connection->fd);
  connection->next_dead = dead_list;
  dead_list = connection;
}

static void free_dead(void) {
  while (dead_list) {
    struct connection *next = dead_list->next_dead;
    free(dead_list);
    dead_list = next;
  }
}

/* Writes what the socket takes and waits for EPOLLOUT with the rest. */
static void flush_out(struct connection *connection) {
  while (connection->out_left > 0) {
    ssize_t written = write(connection->fd, connection->out, connection->out_left);
    if (written < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) return close_connection(connection);
      break;
    }
    connection->out += written;
    connection->out_left -= (size_t)written;
  }
  bool wants_out = connection->out_left > 0;
  if (!wants_out && connection->ends) return close_connection(connection);
  if (wants_out == connection->wants_out) return;
  connection->wants_out = wants_out;
  watch(EPOLL_CTL_MOD, connection->fd, wants_out ? EPOLLIN | EPOLLOUT : EPOLLIN, connection);
}

static void send_answer(struct connection *connection, const struct answer *answer) {
  connection->out = answer->bytes;
  connection->out_left = answer->length;
  flush_out(connection);
}

static long query_number(const char *target, const char *name, long otherwise) {
  const char *found = strstr(target, name);
  return found ? strtol(found + strlen(name), NULL, 10) : otherwise;
}

static void start_stream(struct connection *connection, const char *target) {
  char head[256];
  long interval_us = query_number(target, "interval-us=", 10000);
  int length = sprintf(head,
                       "HTTP/1.1 200 OK\r\nContent-Type: application/x-ndjson\r\nCache-Control: no-cache\r\n"
                       "Transfer-Encoding: chunked\r\nX-Backend-Port: %d\r\n\r\n",
                       connection->listener->port);
  connection->chunks_left = query_number(target, "chunks=", 100);
  connection->chunks_sent = 0;
  if (write(connection->fd, head, (size_t)length) != length) return close_connection(connection);
  struct itimerspec pace = {.it_interval = {interval_us / 1000000, interval_us % 1000000 * 1000}};
  pace.it_value = pace.it_interval;
  connection->timer.fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (connection->timer.fd < 0 || timerfd_settime(connection->timer.fd, 0, &pace, NULL) < 0) fail("timerfd");
  watch(EPOLL_CTL_ADD, connection->timer.fd, EPOLLIN, &connection->timer);
}

/* A chunk that does not fit into the socket ends the stream: its reader is too slow for a measurement of latency. */
static void send_chunk(struct connection *connection) {
  char line[192], chunk[256];
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  int length = sprintf(line, "{\"type\":\"text-delta\",\"textDelta\":\"chunk %ld\",\"sentNs\":%lld}\n", connection->chunks_sent,
                       (long long)now.tv_sec * 1000000000LL + now.tv_nsec);
  int total = sprintf(chunk, "%x\r\n%s\r\n", (unsigned)length, line);
  if (--connection->chunks_left <= 0) {
    stop_timer(connection);
    total += sprintf(chunk + total, "0\r\n\r\n");
  }
  connection->chunks_sent++;
  bool complete = write(connection->fd, chunk, (size_t)total) == total;
  if (!complete || (connection->ends && connection->chunks_left <= 0)) close_connection(connection);
}

static void answer_request(struct connection *connection) {
  const char *target = strchr(connection->head, ' ');
  target = target ? target + 1 : "";
  connection->answer_due = false;
  connection->head_length = 0;
  if (strncmp(target, "/ndjson", 7) == 0) return start_stream(connection, target);
  send_answer(connection, strncmp(target, "/mb", 3) == 0 ? &connection->listener->large : &connection->listener->small);
}

/* Value of a field of the head (name given with leading LF and colon), or NULL. */
static const char *field(const char *head, const char *name) {
  const char *found = strcasestr(head, name);
  return found ? found + strlen(name) : NULL;
}

static void take_head(struct connection *connection, const char *end) {
  size_t after = connection->head_length - (size_t)(end + 4 - connection->head);
  connection->head[end + 2 - connection->head] = 0;
  const char *length = field(connection->head, "\ncontent-length:");
  const char *wishes = field(connection->head, "\nconnection:");
  connection->ends = wishes && strncasecmp(wishes + strspn(wishes, " "), "close", 5) == 0;
  if (field(connection->head, "\ntransfer-encoding:")) {
    connection->ends = true;
    return send_answer(connection, &connection->listener->no_length);
  }
  size_t body = length ? strtoul(length, NULL, 10) : 0;
  connection->body_left = body > after ? body - after : 0;
  connection->answer_due = true;
  if (connection->body_left == 0) answer_request(connection);
}

static void read_head(struct connection *connection) {
  char *start = connection->head + connection->head_length;
  ssize_t got = read(connection->fd, start, HEAD_BYTES - connection->head_length);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_connection(connection);
  connection->head_length += (size_t)got;
  const char *end = memmem(connection->head, connection->head_length, "\r\n\r\n", 4);
  if (end) return take_head(connection, end);
  if (connection->head_length == HEAD_BYTES) close_connection(connection);
}

static void read_body(struct connection *connection) {
  static char sink[1 << 18];
  size_t wanted = connection->body_left < sizeof sink ? connection->body_left : sizeof sink;
  ssize_t got = read(connection->fd, sink, wanted);
  if (got < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (got <= 0) return close_connection(connection);
  connection->body_left -= (size_t)got;
  if (connection->body_left == 0) answer_request(connection);
}

static void on_connection(struct connection *connection, uint32_t events) {
  if (connection->dead) return;
  if (events & EPOLLOUT) flush_out(connection);
  if (connection->dead || !(events & (EPOLLIN | EPOLLHUP | EPOLLERR))) return;
  if (connection->answer_due) return read_body(connection);
  read_head(connection);
}

static void on_timer(struct timer *timer) {
  uint64_t ticks;
  if (timer->connection->dead || timer->fd < 0) return;
  if (read(timer->fd, &ticks, sizeof ticks) != sizeof ticks) return;
  send_chunk(timer->connection);
}

static void on_listener(struct listener *listener) {
  int one = 1;
  int fd = accept4(listener->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (fd < 0) return;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  struct connection *connection = malloc(sizeof *connection);
  if (!connection) fail("malloc");
  memset(connection, 0, offsetof(struct connection, head));
  connection->kind = CONNECTION;
  connection->fd = fd;
  connection->listener = listener;
  connection->timer = (struct timer){.kind = TIMER, .fd = -1, .connection = connection};
  watch(EPOLL_CTL_ADD, fd, EPOLLIN, connection);
}

static void dispatch(const struct epoll_event *event) {
  switch (*(enum source_kind *)event->data.ptr) {
    case LISTENER:
      return on_listener(event->data.ptr);
    case CONNECTION:
      return on_connection(event->data.ptr, event->events);
    case TIMER:
      return on_timer(event->data.ptr);
  }
}

static void allow_all_files(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit) < 0) fail("getrlimit");
  limit.rlim_cur = limit.rlim_max;
  if (setrlimit(RLIMIT_NOFILE, &limit) < 0) fail("setrlimit");
}

int main(int count, char **arguments) {
  int ports = count > 1 ? atoi(arguments[1]) : 0;
  if (ports < 1 || ports > MAX_PORTS) {
    fprintf(stderr, "usage: backend PORTS (1 to %d)\n", MAX_PORTS);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  allow_all_files();
  epoll_fd = epoll_create1(EPOLL_CLOEXEC);
  if (epoll_fd < 0) fail("epoll_create1");
  struct listener *listeners = calloc((size_t)ports, sizeof *listeners);
  if (!listeners) fail("calloc");
  printf("{\"ports\":[");
  for (int i = 0; i < ports; i++) {
    listen_on_free_port(&listeners[i]);
    printf("%s%d", i ? "," : "", listeners[i].port);
  }
  printf("]}\n");
  fflush(stdout);
  for (;;) {
    struct epoll_event events[EVENTS];
    int ready = epoll_wait(epoll_fd, events, EVENTS, -1);
    if (ready < 0 && errno != EINTR) fail("epoll_wait");
    for (int i = 0; i < ready; i++) dispatch(&events[i]);
    free_dead();
  }
}
