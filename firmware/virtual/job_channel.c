#include "job_channel.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static bool send_all(int socket, const void* data, size_t bytes) {
  const char* next = data;
  while (bytes > 0) {
    const ssize_t sent = send(socket, next, bytes, MSG_NOSIGNAL);
    if (sent < 0 && errno == EINTR) {
      continue;
    }
    if (sent <= 0) {
      return false;
    }
    next += sent;
    bytes -= (size_t)sent;
  }
  return true;
}

static bool receive_all(int socket, void* data, size_t bytes) {
  char* next = data;
  while (bytes > 0) {
    const ssize_t received = recv(socket, next, bytes, 0);
    if (received < 0 && errno == EINTR) {
      continue;
    }
    if (received <= 0) {
      return false;
    }
    next += received;
    bytes -= (size_t)received;
  }
  return true;
}

bool job_channel_open(struct job_channel* channel, const char* path) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  channel->socket = -1;
  if (strlen(path) >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    return false;
  }
  memcpy(address.sun_path, path, strlen(path) + 1);
  channel->socket = socket(AF_UNIX, SOCK_STREAM, 0);
  if (channel->socket < 0) {
    return false;
  }
  if (connect(channel->socket, (const struct sockaddr*)&address, sizeof address) != 0 ||
      !job_channel_send(channel, JOB_HELLO, JOB_PROTOCOL_VERSION, NULL, 0)) {
    job_channel_close(channel);
    return false;
  }
  return true;
}

void job_channel_close(struct job_channel* channel) {
  if (channel->socket >= 0) {
    const int cause = errno;
    close(channel->socket);
    errno = cause;
  }
  channel->socket = -1;
}

bool job_channel_send(struct job_channel* channel, enum job_kind kind, uint64_t value,
                      const void* payload, uint32_t bytes) {
  const struct job_message message = {.kind = kind, .bytes = bytes, .value = value};
  return send_all(channel->socket, &message, sizeof message) &&
         send_all(channel->socket, payload, bytes);
}

bool job_channel_receive(struct job_channel* channel, struct job_message* message) {
  return receive_all(channel->socket, message, sizeof *message);
}

bool job_channel_receive_payload(struct job_channel* channel, void* data, uint32_t bytes) {
  return receive_all(channel->socket, data, bytes);
}
