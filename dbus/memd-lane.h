/* SPDX-License-Identifier: MIT
 *
 * The lane: buffers from memd without a bus in between. lane.md tells the protocol. The socket comes from OpenLane of org.memd1.Manager.
 * Needs nothing but libc; every function is static.
 */
#ifndef MEMD_LANE_H
#define MEMD_LANE_H

#include <errno.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MEMD_LANE_VERSION 1
#define MEMD_LANE_WINDOW 64 /* requests on their way at once */
#define MEMD_LANE_BATCH 64  /* buffers in one request */
#define MEMD_LANE_NAME 64
#define MEMD_LANE_TEXT 400

enum { MEMD_LANE_ALLOCATE = 1 };

enum memd_lane_error {
    MEMD_LANE_OK,
    MEMD_LANE_FAILED,
    MEMD_LANE_NO_SUCH_HEAP,
    MEMD_LANE_NOT_ALLOWED,
    MEMD_LANE_QUOTA_EXCEEDED,
    MEMD_LANE_LIMITS_EXCEEDED,
    MEMD_LANE_NO_MEMORY,
    MEMD_LANE_PRESSURE_TOO_HIGH,
    MEMD_LANE_BUSY,
    MEMD_LANE_NOT_SUPPORTED,
    MEMD_LANE_INVALID_ARGS,
};

struct memd_lane_request {
    uint32_t serial;
    uint16_t kind;
    uint16_t count;
    char heap[MEMD_LANE_NAME]; /* zeros fill the rest */
    char name[MEMD_LANE_NAME];
    uint64_t size[MEMD_LANE_BATCH]; /* only `count` of them are sent */
};

struct memd_lane_buffer {
    uint64_t id;
    uint64_t size;
};

struct memd_lane_reply {
    uint32_t serial;
    uint16_t error; /* enum memd_lane_error */
    uint16_t count;
    char heap[MEMD_LANE_NAME];
    union {
        struct memd_lane_buffer buffer[MEMD_LANE_BATCH];
        char text[16 * MEMD_LANE_BATCH]; /* with an error; memd_lane_receive ends it with a zero */
    };
};

/* 0, or -1 and errno; EPIPE: the lane has ended. ENAMETOOLONG, E2BIG: there is no room for it. */
static inline int memd_lane_send(int lane, uint32_t serial, const char *heap, const char *name, const uint64_t *sizes, uint16_t count)
{
    struct memd_lane_request request;
    size_t heap_length = strlen(heap), name_length = name ? strlen(name) : 0;

    if (heap_length > MEMD_LANE_NAME || name_length > MEMD_LANE_NAME) {
        errno = ENAMETOOLONG;
        return -1;
    }
    if (count > MEMD_LANE_BATCH) {
        errno = E2BIG;
        return -1;
    }
    memset(&request, 0, offsetof(struct memd_lane_request, size));
    request.serial = serial;
    request.kind = MEMD_LANE_ALLOCATE;
    request.count = count;
    memcpy(request.heap, heap, heap_length);
    if (name_length)
        memcpy(request.name, name, name_length);
    memcpy(request.size, sizes, count * sizeof *sizes);
    return send(lane, &request, offsetof(struct memd_lane_request, size) + count * sizeof *sizes, MSG_NOSIGNAL) < 0 ? -1 : 0;
}

/* How many buffers came, whose fds are the caller's; 0: the lane has ended; -1: errno, which is 0 where `reply` says what was refused.
 * EPROTO: a reply that makes no sense, EMFILE: this process may have no more fds. `fds` has room for MEMD_LANE_BATCH. */
static inline int memd_lane_receive(int lane, struct memd_lane_reply *reply, int *fds)
{
    union {
        struct cmsghdr align;
        char space[CMSG_SPACE(MEMD_LANE_BATCH * sizeof(int))];
    } control;
    struct iovec data = { reply, sizeof *reply - 1 };
    struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control.space, .msg_controllen = sizeof control.space };
    struct cmsghdr *header;
    ssize_t got;
    size_t have = 0;

    do
        got = recvmsg(lane, &message, MSG_CMSG_CLOEXEC);
    while (got < 0 && errno == EINTR);
    if (got <= 0)
        return (int)got;
    for (header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header))
        if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
            have = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
            memcpy(fds, CMSG_DATA(header), have * sizeof(int));
        }
    if ((size_t)got >= offsetof(struct memd_lane_reply, buffer) && reply->error) {
        ((char *)reply)[got] = 0;
        errno = 0;
    } else if ((size_t)got >= offsetof(struct memd_lane_reply, buffer) && reply->count && have == reply->count &&
               (size_t)got == offsetof(struct memd_lane_reply, buffer) + have * sizeof *reply->buffer) {
        return (int)have;
    } else {
        errno = message.msg_flags & MSG_CTRUNC ? EMFILE : EPROTO;
    }
    while (have)
        close(fds[--have]);
    return -1;
}

#endif
