/* SPDX-License-Identifier: MIT
 *
 * Borrow COUNT buffers of SIZE bytes from HEAP over the lane, write a byte into each, and give them back:
 *
 *     cc -o lane-example lane-example.c $(pkg-config --cflags --libs libsystemd)
 *     ./lane-example system 1048576 4
 *
 * The bus is needed once, for OpenLane. DBUS_SYSTEM_BUS_ADDRESS says another than the system's.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <systemd/sd-bus.h>

#include "memd-lane.h"

/* The lane, or -1 with the reason on stderr. */
static int open_lane(void)
{
    sd_bus *bus = NULL;
    sd_bus_message *reply = NULL;
    sd_bus_error error = SD_BUS_ERROR_NULL;
    int lane = -1, status;

    status = sd_bus_open_system(&bus);
    if (status >= 0)
        status = sd_bus_call_method(bus, "org.memd1", "/org/memd1", "org.memd1.Manager", "OpenLane", &error, &reply, "a{sv}", 1,
                                    "version", "t", (uint64_t)MEMD_LANE_VERSION);
    if (status >= 0)
        status = sd_bus_message_read(reply, "h", &lane);
    if (status >= 0)
        lane = fcntl(lane, F_DUPFD_CLOEXEC, 3); /* the message's own goes with it */
    else
        fprintf(stderr, "no lane: %s\n", error.message ? error.message : strerror(-status));
    sd_bus_error_free(&error);
    sd_bus_message_unref(reply);
    sd_bus_flush_close_unref(bus);
    return lane;
}

static int use(int fd, uint64_t size)
{
    char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

    if (memory == MAP_FAILED)
        return -1;
    memory[size - 1] = 'x';
    munmap(memory, size);
    return 0;
}

int main(int argc, char **argv)
{
    static struct memd_lane_reply reply;
    uint64_t sizes[MEMD_LANE_BATCH];
    int fds[MEMD_LANE_BATCH], lane, got, count = argc == 4 ? atoi(argv[3]) : 0;

    if (count < 1 || count > MEMD_LANE_BATCH) {
        fprintf(stderr, "usage: %s HEAP SIZE COUNT\n", argv[0]);
        return 2;
    }
    for (int i = 0; i < count; i++)
        sizes[i] = strtoull(argv[2], NULL, 10);
    lane = open_lane();
    if (lane < 0)
        return 1;
    if (memd_lane_send(lane, 1, argv[1], "lane-example", sizes, (uint16_t)count) < 0) {
        perror("memd_lane_send");
        return 1;
    }
    got = memd_lane_receive(lane, &reply, fds);
    if (got <= 0) {
        fprintf(stderr, "%s\n", got == 0 ? "the lane has ended" : errno ? strerror(errno) : reply.text);
        return 1;
    }
    for (int i = 0; i < got; i++) {
        printf("buffer %" PRIu64 " of %" PRIu64 " bytes from %.*s\n", reply.buffer[i].id, reply.buffer[i].size, MEMD_LANE_NAME, reply.heap);
        if (use(fds[i], reply.buffer[i].size) < 0)
            perror("mmap");
        close(fds[i]); /* and it is given back */
    }
    close(lane);
    return 0;
}
