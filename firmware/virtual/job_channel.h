#pragma once

/* The connection to the process that models the NPU's computation: a UNIX stream socket that
 * carries messages of a 16-byte header (kind, bytes, value; little-endian) and, for RUN, WRITE and
 * REPLY, `bytes` of payload. Protocol: docs/firmware-reference.md. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum job_kind {
  JOB_HELLO = 1,        /* to the model: value = protocol version */
  JOB_RUN = 2,          /* to the model: payload = all registers */
  JOB_READ = 3,         /* from the model: value = address; answered by REPLY with the data */
  JOB_WRITE = 4,        /* from the model: value = address, payload; answered by empty REPLY */
  JOB_REPLY = 5,        /* to the model: value = 1, or 0 after a bus error */
  JOB_SET_REGISTER = 6, /* from the model: value = offset << 32 | new value */
  JOB_DONE = 7,         /* from the model: bytes = STATUS bits, value = duration in ns */
};

#define JOB_PROTOCOL_VERSION 1u
/* A duration with which the NPU hangs. */
#define JOB_NEVER_COMPLETES UINT64_MAX

struct job_message {
  uint32_t kind;
  uint32_t bytes;
  uint64_t value;
};

struct job_channel {
  int socket;
};

/* Connect and say hello. Returns false and leaves errno when the model does not answer. */
bool job_channel_open(struct job_channel* channel, const char* path);
void job_channel_close(struct job_channel* channel);

bool job_channel_send(struct job_channel* channel, enum job_kind kind, uint64_t value,
                      const void* payload, uint32_t bytes);
bool job_channel_receive(struct job_channel* channel, struct job_message* message);
bool job_channel_receive_payload(struct job_channel* channel, void* data, uint32_t bytes);

#ifdef __cplusplus
}
#endif
