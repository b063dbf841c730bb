/* SPDX-License-Identifier: MIT
 *
 * The floor: what a service in C on sd-bus costs that answers Allocate with a fresh buffer and does nothing else: no rule, no count, no books.
 *
 *     floor ADDRESS NAME [HEAP]     a memfd, or a buffer of the heap device HEAP
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

static int heap = -1;

static int fresh(uint64_t size)
{
    struct dma_heap_allocation_data request = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
    int fd;

    if (heap >= 0)
        return ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &request) < 0 ? -1 : (int)request.fd;
    fd = memfd_create("floor", MFD_CLOEXEC);
    return fd >= 0 && ftruncate(fd, (off_t)size) == 0 ? fd : -1;
}

static int allocate(sd_bus_message *call, void *data, sd_bus_error *error)
{
    static uint64_t id;
    sd_bus_message *reply = NULL;
    const char *name;
    uint64_t size;
    int fd, status;

    (void)data;
    (void)error;
    if ((status = sd_bus_message_read(call, "st", &name, &size)) < 0)
        return status;
    if ((fd = fresh(size)) < 0)
        return sd_bus_reply_method_errorf(call, "org.memd1.Error.NoMemory", "no");
    status = sd_bus_message_new_method_return(call, &reply);
    if (status >= 0)
        status = sd_bus_message_append(reply, "hta{sv}", fd, ++id, 2, "heap", "s", name, "size", "t", size);
    if (status >= 0)
        status = sd_bus_send(NULL, reply, NULL);
    close(fd);
    sd_bus_message_unref(reply);
    return status < 0 ? status : 1;
}

static const sd_bus_vtable vtable[] = {
    SD_BUS_VTABLE_START(0),
    SD_BUS_METHOD("Allocate", "sta{sv}", "hta{sv}", allocate, SD_BUS_VTABLE_UNPRIVILEGED),
    SD_BUS_VTABLE_END,
};

int main(int argc, char **argv)
{
    sd_bus *bus = NULL;
    int status;

    if (argc < 3 || (argc > 3 && (heap = open(argv[3], O_RDONLY | O_CLOEXEC)) < 0))
        return 2;
    if (sd_bus_new(&bus) < 0 || sd_bus_set_address(bus, argv[1]) < 0 || sd_bus_set_bus_client(bus, 1) < 0 || sd_bus_start(bus) < 0 ||
        sd_bus_add_object_vtable(bus, NULL, "/org/memd1", "org.memd1.Manager", vtable, NULL) < 0 || sd_bus_request_name(bus, argv[2], 0) < 0)
        return 1;
    puts("ready");
    fflush(stdout);
    do {
        status = sd_bus_process(bus, NULL);
        if (status == 0)
            status = sd_bus_wait(bus, UINT64_MAX);
    } while (status >= 0);
    return 0;
}
