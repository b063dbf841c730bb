/*
 * What a buffer of a DMA-BUF heap must be able to do: the program of the vendor's page, written anew with its three faults mended.
 *
 *   reference HEAP SIZE     allocate from /dev/dma_heap/HEAP, then use the buffer
 *   reference               use the buffer whose descriptor is in $MEMD_FD (as `memctl alloc HEAP SIZE -- reference` sets it)
 *
 * Prints `ok SIZE` and exits 0, or names the call that failed and exits 1.
 */
#include <errno.h> /* fault 1 of the page: its #include and #define lines have lost their '#', so that it does not compile */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/dma-heap.h>

static void need(int fine, const char *call)
{
	if (fine)
		return;
	perror(call);
	exit(1);
}

static int allocate(const char *heap, size_t size)
{
	struct dma_heap_allocation_data request = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	char path[128];
	int device;

	snprintf(path, sizeof(path), "/dev/dma_heap/%s", heap);
	device = open(path, O_RDONLY | O_CLOEXEC);
	need(device >= 0, path);
	need(ioctl(device, DMA_HEAP_IOCTL_ALLOC, &request) == 0, "DMA_HEAP_IOCTL_ALLOC");
	need(close(device) == 0, "close heap");
	/* fault 2: the page takes ioctl's own result, which is 0, for the buffer: it syncs and closes standard input */
	return (int)request.fd;
}

static void sync_buffer(int buffer, __u64 flags)
{
	struct dma_buf_sync sync = { .flags = flags };
	int result;

	do /* the kernel's document asks for this loop */
		result = ioctl(buffer, DMA_BUF_IOCTL_SYNC, &sync);
	while (result != 0 && (errno == EAGAIN || errno == EINTR));
	need(result == 0, "DMA_BUF_IOCTL_SYNC");
}

static void use(int buffer)
{
	off_t size = lseek(buffer, 0, SEEK_END);
	unsigned char *bytes;

	need(size > 0, "lseek");
	bytes = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, buffer, 0);
	need(bytes != MAP_FAILED, "mmap");
	/* fault 3: START without a direction (READ, WRITE or both) is EINVAL, and so is END */
	sync_buffer(buffer, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW);
	for (off_t i = 0; i < size; i++) {
		need(bytes[i] == 0, "a fresh buffer that is not zero");
		bytes[i] = (unsigned char)(i * 7 + 1);
	}
	sync_buffer(buffer, DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW);
	sync_buffer(buffer, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ);
	for (off_t i = 0; i < size; i++)
		need(bytes[i] == (unsigned char)(i * 7 + 1), "what was written is not what is read");
	sync_buffer(buffer, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ);
	need(munmap(bytes, (size_t)size) == 0, "munmap");
	need(close(buffer) == 0, "close buffer");
	printf("ok %lld\n", (long long)size);
}

int main(int argc, char **argv)
{
	const char *given = getenv("MEMD_FD");

	if (argc == 3)
		use(allocate(argv[1], strtoul(argv[2], NULL, 0)));
	else if (argc == 1 && given)
		use(atoi(given));
	else
		return fprintf(stderr, "usage: reference HEAP SIZE, or MEMD_FD=N reference\n"), 2;
	return 0;
}
