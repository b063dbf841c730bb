/*
 * Borrow a buffer from memd over D-Bus, write into it and read it back: sd-bus.
 *
 *   cc -o borrow-sdbus borrow-sdbus.c $(pkg-config --cflags --libs libsystemd)
 *   ./borrow-sdbus system 1048576
 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

/* <linux/dma-buf.h>, for machines that do not have it */
struct dma_buf_sync { uint64_t flags; };
#define DMA_BUF_IOCTL_SYNC _IOW('b', 0, struct dma_buf_sync)
#define SYNC_READ_WRITE 3
#define SYNC_END 4

/* The fd is the caller's to close; the last close anywhere gives the buffer back. */
static int borrow(sd_bus *bus, const char *heap, uint64_t size, uint64_t *id)
{
	sd_bus_error error = SD_BUS_ERROR_NULL;
	sd_bus_message *reply = NULL;
	int fd = -1, r;

	r = sd_bus_call_method(bus, "org.memd1", "/org/memd1", "org.memd1.Manager", "Allocate", &error, &reply, "sta{sv}",
			       heap, size, 1, "name", "s", "sd-bus example");
	if (r < 0)
		fprintf(stderr, "%s: %s\n", error.name ? error.name : "no call", error.message ? error.message : strerror(-r));
	else
		r = sd_bus_message_read(reply, "ht", &fd, id);
	/* the message closes its fds with itself: keep one of our own */
	fd = r < 0 ? -1 : dup(fd);
	sd_bus_message_unref(reply);
	sd_bus_error_free(&error);
	return fd;
}

/* A heap of memory files (memd --simulate) has nothing to synchronise: ENOTTY. */
static void sync_buffer(int fd, uint64_t flags)
{
	struct dma_buf_sync sync = { flags };

	while (ioctl(fd, DMA_BUF_IOCTL_SYNC, &sync) && (errno == EAGAIN || errno == EINTR))
		;
}

int main(int argc, char **argv)
{
	const char *heap = argc > 1 ? argv[1] : "system";
	uint64_t size = argc > 2 ? strtoull(argv[2], NULL, 0) : 1 << 20, id = 0;
	sd_bus *bus = NULL;
	char *memory;
	int fd;

	/* the system bus, or the one that DBUS_SYSTEM_BUS_ADDRESS names */
	if (sd_bus_open_system(&bus) < 0) {
		fprintf(stderr, "no system bus\n");
		return 1;
	}
	fd = borrow(bus, heap, size, &id);
	sd_bus_unref(bus);
	if (fd < 0)
		return 1;
	memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (memory == MAP_FAILED) {
		perror("mmap");
		return 1;
	}
	sync_buffer(fd, SYNC_READ_WRITE);
	strcpy(memory, "hello");
	printf("buffer %" PRIu64 ": %s\n", id, memory);
	sync_buffer(fd, SYNC_READ_WRITE | SYNC_END);
	munmap(memory, size);
	close(fd);
	return 0;
}
