/* SPDX-License-Identifier: MIT
 *
 * The clients of the benchmark. Each prints microseconds: median, 10th and 90th percentile of one call, and the mean of all that were done.
 *
 *     client bus ADDRESS NAME HEAP SIZE COUNT        Allocate by sd-bus, one after another
 *     client flood ADDRESS NAME HEAP SIZE COUNT      16 in flight
 *     client lane FD HEAP SIZE COUNT INFLIGHT        by the lane on FD
 *     client ioctl DEVICE SIZE COUNT 1               the heap's own ioctl
 *
 * With HOLD in the environment the buffers are kept until the end; WARM: so many calls before those that count. A refusal counts as an
 * answer.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <systemd/sd-bus.h>
#include <time.h>

#include "../../../dbus/memd-lane.h"

#define INFLIGHT 16

static double *times;
static int done, hold, warm = 20;

static double now(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;

    return a < b ? -1 : a > b;
}

static void let_go(int fd)
{
    if (fd >= 0 && !hold)
        close(fd);
}

static void tell(int count, double whole)
{
    qsort(times, (size_t)count, sizeof *times, compare);
    printf("%.2f %.2f %.2f %.2f\n", times[count / 2], times[count / 10], times[count - 1 - count / 10], whole / count);
}

static int by_ioctl(const char *device, uint64_t size, int count)
{
    int heap = open(device, O_RDONLY | O_CLOEXEC);
    double begin = 0;

    if (heap < 0)
        return 1;
    for (int i = -warm; i < count; i++) {
        struct dma_heap_allocation_data request = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
        double start = now();

        if (i == 0)
            begin = start;
        if (ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &request) < 0)
            return 1;
        if (i >= 0)
            times[i] = now() - start;
        let_go((int)request.fd);
    }
    tell(count, now() - begin);
    return 0;
}

static int by_lane(int lane, const char *heap, uint64_t size, int count, int inflight)
{
    static struct memd_lane_reply reply;
    static double starts[MEMD_LANE_WINDOW];
    int fds[MEMD_LANE_BATCH], sent = 0, got, total = count + warm;
    double begin = 0;

    for (int i = 0; i < total; i++) {
        for (; sent < total && sent < i + inflight; sent++) {
            starts[sent % MEMD_LANE_WINDOW] = now();
            if (sent == warm)
                begin = starts[sent % MEMD_LANE_WINDOW];
            if (memd_lane_send(lane, (uint32_t)sent, heap, "bench", &size, 1) < 0)
                return 1;
        }
        got = memd_lane_receive(lane, &reply, fds);
        if (got == 0 || (got < 0 && errno))
            return 1;
        if (i >= warm)
            times[i - warm] = now() - starts[reply.serial % MEMD_LANE_WINDOW];
        if (got > 0)
            let_go(fds[0]);
    }
    tell(count, now() - begin);
    return 0;
}

static sd_bus *connected(const char *address)
{
    sd_bus *bus = NULL;

    if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, address) < 0 || sd_bus_set_bus_client(bus, 1) < 0 ||
        sd_bus_negotiate_fds(bus, 1) < 0 || sd_bus_start(bus) < 0)
        exit(1);
    return bus;
}

static int by_bus(const char *address, const char *name, const char *heap, uint64_t size, int count)
{
    sd_bus *bus = connected(address);
    double begin = 0;

    for (int i = -warm; i < count; i++) {
        sd_bus_message *reply = NULL;
        double start = now();
        int fd = -1;

        if (i == 0)
            begin = start;
        if (sd_bus_call_method(bus, name, "/org/memd1", "org.memd1.Manager", "Allocate", NULL, &reply, "sta{sv}", heap, size, 0) >= 0)
            sd_bus_message_read(reply, "h", &fd);
        if (i >= 0)
            times[i] = now() - start;
        if (hold && fd >= 0)
            dup(fd);
        sd_bus_message_unref(reply);
    }
    tell(count, now() - begin);
    return 0;
}

static int answered(sd_bus_message *reply, void *start, sd_bus_error *error)
{
    (void)reply;
    (void)error;
    times[done++] = now() - *(double *)start;
    return 0;
}

static int by_flood(const char *address, const char *name, const char *heap, uint64_t size, int count)
{
    sd_bus *bus = connected(address);
    double *starts = calloc((size_t)count, sizeof *starts), begin = now();
    int sent = 0;

    while (done < count) {
        for (; sent < count && sent < done + INFLIGHT; sent++) {
            starts[sent] = now();
            if (sd_bus_call_method_async(bus, NULL, name, "/org/memd1", "org.memd1.Manager", "Allocate", answered, &starts[sent],
                                         "sta{sv}", heap, size, 0) < 0)
                return 1;
        }
        if (sd_bus_process(bus, NULL) == 0)
            sd_bus_wait(bus, UINT64_MAX);
    }
    tell(count, now() - begin);
    return 0;
}

int main(int argc, char **argv)
{
    const char *way = argc > 4 ? argv[1] : "";

    hold = getenv("HOLD") != NULL;
    if (getenv("WARM"))
        warm = atoi(getenv("WARM"));
    times = calloc(1000000, sizeof *times);
    if (strcmp(way, "ioctl") == 0)
        return by_ioctl(argv[2], strtoull(argv[3], NULL, 10), atoi(argv[4]));
    if (strcmp(way, "lane") == 0 && argc == 7)
        return by_lane(atoi(argv[2]), argv[3], strtoull(argv[4], NULL, 10), atoi(argv[5]), atoi(argv[6]));
    if (strcmp(way, "bus") == 0 && argc == 7)
        return by_bus(argv[2], argv[3], argv[4], strtoull(argv[5], NULL, 10), atoi(argv[6]));
    if (strcmp(way, "flood") == 0 && argc == 7)
        return by_flood(argv[2], argv[3], argv[4], strtoull(argv[5], NULL, 10), atoi(argv[6]));
    return 2;
}
