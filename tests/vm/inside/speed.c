/* How long calls take, in nanoseconds each: speed heap PATH COUNT, speed getppid COUNT, speed ioctl COUNT. Knows nothing of memd. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct dma_heap_allocation_data { __u64 len; __u32 fd; __u32 fd_flags; __u64 heap_flags; };
#define DMA_HEAP_IOCTL_ALLOC _IOWR('H', 0, struct dma_heap_allocation_data)

static int ends[2];

static int allocate(int heap)
{
	struct dma_heap_allocation_data data = { .len = 4096, .fd_flags = O_RDWR | O_CLOEXEC };

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) || close((int)data.fd);
}

static int getppid_once(int unused)
{
	return unused || syscall(SYS_getppid) < 0;
}

/* One that memctl run does not stop. */
static int other_ioctl(int pipe)
{
	int waiting;

	return ioctl(pipe, FIONREAD, &waiting);
}

static int measure(int (*call)(int), int argument, long count)
{
	struct timespec begin, end;

	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (long i = 0; i < count; i++)
		if (call(argument)) {
			perror("speed");
			return 1;
		}
	clock_gettime(CLOCK_MONOTONIC, &end);
	printf("%.1f\n", ((double)(end.tv_sec - begin.tv_sec) * 1e9 + (double)(end.tv_nsec - begin.tv_nsec)) / (double)count);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "heap"))
		return measure(allocate, open(argv[2], O_RDWR | O_CLOEXEC), atol(argv[3]));
	if (argc == 3 && !strcmp(argv[1], "getppid"))
		return measure(getppid_once, 0, atol(argv[2]));
	if (argc == 3 && !strcmp(argv[1], "ioctl") && pipe(ends) == 0)
		return measure(other_ioctl, ends[0], atol(argv[2]));
	return 2;
}
