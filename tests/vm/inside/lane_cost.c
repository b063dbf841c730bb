/*
 * What an allocation costs: by the lane on an fd, or by the heap's own ioctl. Prints the median in microseconds.
 *
 *     lane_cost lane FD HEAP SIZE COUNT
 *     lane_cost ioctl DEVICE SIZE COUNT
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <time.h>

#include "../../../dbus/memd-lane.h"

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

static int by_lane(int lane, const char *heap, uint64_t size)
{
    static struct memd_lane_reply reply;
    int fds[MEMD_LANE_BATCH];

    if (memd_lane_send(lane, 1, heap, "cost", &size, 1) < 0 || memd_lane_receive(lane, &reply, fds) != 1)
        return -1;
    return fds[0];
}

static int by_ioctl(int heap, uint64_t size)
{
    struct dma_heap_allocation_data request = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };

    return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &request) < 0 ? -1 : (int)request.fd;
}

int main(int argc, char **argv)
{
    int lane = argc == 6, count = argc >= 5 ? atoi(argv[argc - 1]) : 0;
    int way = lane ? atoi(argv[2]) : argc == 5 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
    uint64_t size = argc >= 5 ? strtoull(argv[argc - 2], NULL, 10) : 0;
    double *times = calloc((size_t)count + 1, sizeof *times);

    if (way < 0 || count < 1 || !times)
        return 2;
    for (int i = 0; i < count; i++) {
        double start = now();
        int fd = lane ? by_lane(way, argv[3], size) : by_ioctl(way, size);

        times[i] = now() - start;
        if (fd < 0)
            return 1;
        close(fd);
    }
    qsort(times, (size_t)count, sizeof *times, compare);
    printf("%.2f\n", times[count / 2]);
    return 0;
}
