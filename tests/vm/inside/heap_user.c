/* A program that uses heaps as if it were root: what memctl run is for. Usage: heap_user WORD HEAP SIZE; see main. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

struct dma_heap_allocation_data { __u64 len; __u32 fd; __u32 fd_flags; __u64 heap_flags; };
struct longer { struct dma_heap_allocation_data data; __u64 later; };
#define DMA_HEAP_IOCTL_ALLOC _IOWR('H', 0, struct dma_heap_allocation_data)
#define DMA_HEAP_IOCTL_ALLOC_LONGER _IOWR('H', 0, struct longer)

static int heap;
static size_t size;

static int allocate(int flags)
{
	struct dma_heap_allocation_data data = { .len = size, .fd_flags = flags };

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) ? -errno : (int)data.fd;
}

/* Writes into the buffer and reads it back through a second mapping. */
static int use(int fd, unsigned char token)
{
	unsigned char *one = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	unsigned char *two = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	int good;

	if (one == MAP_FAILED || two == MAP_FAILED)
		return 0;
	good = one[0] == 0 && one[size - 1] == 0;
	memset(one, token, size);
	good = good && two[size - 1] == token;
	munmap(one, size);
	munmap(two, size);
	return good;
}

static int many(int count)
{
	for (int i = 0; i < count; i++) {
		int fd = allocate(O_RDWR | O_CLOEXEC);

		if (fd < 0 || !use(fd, (unsigned char)(i + 1))) {
			fprintf(stderr, "allocation %d: %s\n", i, strerror(-fd));
			return 1;
		}
		close(fd);
	}
	return 0;
}

static void *thread(void *count)
{
	return (void *)(intptr_t)many((int)(intptr_t)count);
}

static int threads(void)
{
	pthread_t all[8];
	int wrong = 0;

	for (int i = 0; i < 8; i++)
		pthread_create(&all[i], NULL, thread, (void *)25);
	for (int i = 0; i < 8; i++) {
		void *result;

		pthread_join(all[i], &result);
		wrong |= result != NULL;
	}
	return wrong;
}

static int children(void)
{
	int status, wrong = 0;

	for (int i = 0; i < 4; i++)
		if (fork() == 0)
			_exit(many(10));
	while (wait(&status) > 0)
		wrong |= status;
	return wrong != 0;
}

static volatile int rung;
static void ring(int number) { (void)number; rung++; }

/* Signals without SA_RESTART all the time: a call may fail with EINTR, and none may be lost or done twice. */
static int interrupted(void)
{
	struct sigaction action = { .sa_handler = ring };
	struct itimerval often = { { 0, 300 }, { 0, 300 } }, never = { { 0, 0 }, { 0, 0 } };
	int got = 0;

	sigaction(SIGALRM, &action, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	while (got < 100) {
		int fd = allocate(O_RDWR | O_CLOEXEC);

		if (fd == -EINTR)
			continue;
		if (fd < 0)
			return 1;
		close(fd);
		got++;
	}
	setitimer(ITIMER_REAL, &never, NULL);
	printf("%s\n", rung ? "interrupted" : "never interrupted");
	return 0;
}

static void *endless(void *nothing)
{
	for (;;)
		allocate(O_RDWR);
	return nothing;
}

static int dying(void)
{
	pthread_t one;

	pthread_create(&one, NULL, endless, NULL);
	usleep(100000);
	kill(getpid(), SIGKILL);
	return 0;
}

static int failed(int request, void *pointer)
{
	return ioctl(heap, request, pointer) ? errno : 0;
}

/* What the kernel refuses, one number a line, in the order of the kernel's own checks. */
static int wrong(void)
{
	struct dma_heap_allocation_data fd = { .len = size, .fd = 3 }, flags = { .len = size, .fd_flags = O_APPEND };
	struct dma_heap_allocation_data heap_flags = { .len = size, .heap_flags = 1 }, empty = { .fd_flags = O_RDWR };
	int null = open("/dev/null", O_RDWR);

	printf("fd %d\n", failed(DMA_HEAP_IOCTL_ALLOC, &fd));
	printf("fd_flags %d\n", failed(DMA_HEAP_IOCTL_ALLOC, &flags));
	printf("heap_flags %d\n", failed(DMA_HEAP_IOCTL_ALLOC, &heap_flags));
	printf("len %d\n", failed(DMA_HEAP_IOCTL_ALLOC, &empty));
	printf("no struct %d\n", failed(_IO('H', 0), &empty));
	printf("pointer %d\n", failed(DMA_HEAP_IOCTL_ALLOC, (void *)8));
	printf("kernel pointer %d\n", failed(DMA_HEAP_IOCTL_ALLOC, (void *)-4096));
	printf("other device %d\n", ioctl(null, DMA_HEAP_IOCTL_ALLOC, &empty) ? errno : 0);
	printf("no fd %d\n", ioctl(-1, DMA_HEAP_IOCTL_ALLOC, &empty) ? errno : 0);
	return 0;
}

static int longer(void)
{
	struct longer data = { .data = { .len = size, .fd_flags = O_RDWR }, .later = 77 };

	return ioctl(heap, DMA_HEAP_IOCTL_ALLOC_LONGER, &data) || !use(data.data.fd, 5) || data.later != 77;
}

static int close_on_exec(void)
{
	int with = allocate(O_RDWR | O_CLOEXEC), without = allocate(O_RDWR);

	return !(fcntl(with, F_GETFD) & FD_CLOEXEC) || fcntl(without, F_GETFD) & FD_CLOEXEC;
}

int main(int argc, char **argv)
{
	char path[300];

	if (argc < 4)
		return 2;
	snprintf(path, sizeof path, "/dev/dma_heap/%s", argv[2]);
	heap = open(path, O_RDWR | O_CLOEXEC);
	if (heap < 0) {
		perror(path);
		return 3;
	}
	size = strtoull(argv[3], NULL, 0);
	if (!strcmp(argv[1], "many"))
		return many(20);
	if (!strcmp(argv[1], "threads"))
		return threads();
	if (!strcmp(argv[1], "children"))
		return children();
	if (!strcmp(argv[1], "interrupted"))
		return interrupted();
	if (!strcmp(argv[1], "dying"))
		return dying();
	if (!strcmp(argv[1], "wrong"))
		return wrong();
	if (!strcmp(argv[1], "longer"))
		return longer();
	if (!strcmp(argv[1], "close-on-exec"))
		return close_on_exec();
	if (!strcmp(argv[1], "errno")) {
		int fd = allocate(O_RDWR);

		printf("%d\n", fd < 0 ? -fd : 0);
		return 0;
	}
	return 2;
}
