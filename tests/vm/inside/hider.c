/* A client written against dbus/org.memd1.Manager.xml, and no friend of memd: it borrows one buffer by hand-made messages, hides it, and
   lives until it is killed. Usage: hider WAY HEAP SIZE; see main. Prints `hidden` when no fd is left that its first thread could show. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define DMA_BUF_SET_NAME_B _IOW('b', 1, uint64_t)
#define FORGED "memd:0:root\nmemd:1:of another"

static unsigned char message[4096];
static size_t end;
static int bus;

static void fail(const char *what)
{
	perror(what);
	exit(1);
}

static void align(size_t to)
{
	while (end % to)
		message[end++] = 0;
}

static void u32(uint32_t value)
{
	align(4);
	memcpy(message + end, &value, 4);
	end += 4;
}

static void string(const char *text)
{
	u32(strlen(text));
	strcpy((char *)message + end, text);
	end += strlen(text) + 1;
}

/* A header field whose value is a string, an object path ('o') or a signature ('g'). */
static void field(unsigned char code, char type, const char *text)
{
	align(8);
	message[end++] = code;
	message[end++] = 1;
	message[end++] = type;
	message[end++] = 0;
	if (type != 'g') {
		string(text);
		return;
	}
	message[end++] = strlen(text);
	strcpy((char *)message + end, text);
	end += strlen(text) + 1;
}

static void call(uint32_t serial, const char *to, const char *path, const char *interface, const char *member, const char *heap,
		 uint64_t size)
{
	const char start[] = { 'l', 1, 0, 1 };
	size_t body;
	uint32_t length;

	memcpy(message, start, 4);
	end = 16;
	field(1, 'o', path);
	field(2, 's', interface);
	field(3, 's', member);
	field(6, 's', to);
	if (heap)
		field(8, 'g', "sta{sv}");
	length = end - 16;
	memcpy(message + 12, &length, 4);
	align(8);
	body = end;
	if (heap) {
		string(heap);
		align(8);
		memcpy(message + end, &size, 8);
		end += 8;
		u32(0);
		align(8); /* where the first entry would begin; there is none */
	}
	length = end - body;
	memcpy(message + 4, &length, 4);
	memcpy(message + 8, &serial, 4);
	if (send(bus, message, end, 0) != (ssize_t)end)
		fail("send");
}

static void connect_bus(void)
{
	struct sockaddr_un where = { AF_UNIX, "/run/dbus/system_bus_socket" };
	char line[200], uid[20], *at = line;

	bus = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (connect(bus, (void *)&where, sizeof where))
		fail("connect");
	snprintf(uid, sizeof uid, "%u", getuid());
	*at++ = 0;
	at += sprintf(at, "AUTH EXTERNAL ");
	for (char *digit = uid; *digit; digit++)
		at += sprintf(at, "%02x", *digit);
	at += sprintf(at, "\r\n");
	send(bus, line, at - line, 0);
	recv(bus, line, sizeof line, 0);
	send(bus, "NEGOTIATE_UNIX_FD\r\n", 19, 0);
	recv(bus, line, sizeof line, 0);
	send(bus, "BEGIN\r\n", 7, 0);
	call(1, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "Hello", NULL, 0);
}

static int borrow(const char *heap, uint64_t size)
{
	connect_bus();
	call(2, "org.memd1", "/org/memd1", "org.memd1.Manager", "Allocate", heap, size);
	for (;;) {
		union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr head; } control;
		struct iovec part = { message, sizeof message };
		struct msghdr got = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
		ssize_t length = recvmsg(bus, &got, MSG_CMSG_CLOEXEC);
		struct cmsghdr *found = CMSG_FIRSTHDR(&got);

		if (length <= 0)
			fail("recvmsg");
		if (found)
			return *(int *)CMSG_DATA(found);
		if (memmem(message, length, "org.memd1.Error.", 16)) {
			fwrite(message, 1, length, stderr);
			exit(4);
		}
	}
}

static void hidden(void)
{
	puts("hidden");
	fflush(stdout);
}

static int fd;
static pthread_t first;
static pthread_barrier_t apart;

/* A thread with a table of fds of its own; the first thread closes its copy, or ends and shows none at all. */
static void *keep(void *headless)
{
	if (unshare(CLONE_FILES))
		fail("unshare");
	pthread_barrier_wait(&apart);
	if (headless)
		pthread_join(first, NULL);
	pthread_barrier_wait(&apart);
	pause();
	return NULL;
}

static void in_a_thread(int headless)
{
	pthread_t thread;

	first = pthread_self();
	pthread_barrier_init(&apart, NULL, headless ? 1 : 2);
	pthread_create(&thread, NULL, keep, headless ? &apart : NULL);
	if (!headless) {
		pthread_barrier_wait(&apart);
		close(fd);
		pthread_barrier_wait(&apart);
		hidden();
		return;
	}
	hidden();
	pthread_exit(NULL);
}

static void in_flight(void)
{
	union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr head; } control = { .head = { CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS } };
	struct iovec part = { "x", 1 };
	struct msghdr sent = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends))
		fail("socketpair");
	*(int *)CMSG_DATA(&control.head) = fd;
	if (sendmsg(ends[0], &sent, 0) < 0)
		fail("sendmsg");
	close(ends[0]);
	close(fd);
}

int main(int argc, char **argv)
{
	char path[50];
	size_t size;

	if (argc != 4)
		return 2;
	size = strtoull(argv[3], NULL, 0);
	fd = borrow(argv[2], size);
	close(bus); /* who asked is gone, by the bus */
	if (!strcmp(argv[1], "thread")) {
		in_a_thread(0);
		pause();
	} else if (!strcmp(argv[1], "headless")) {
		in_a_thread(1);
	} else if (!strcmp(argv[1], "headless-map")) {
		if (mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
			fail("mmap");
		close(fd);
		in_a_thread(1);
	} else if (!strcmp(argv[1], "flight")) {
		in_flight();
	} else if (!strcmp(argv[1], "map")) {
		if (mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED)
			fail("mmap");
		close(fd);
	} else if (!strcmp(argv[1], "path")) {
		snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
		if (open(path, O_PATH) < 0)
			fail("open");
		close(fd);
	} else if (!strcmp(argv[1], "forged")) {
		if (ioctl(fd, DMA_BUF_SET_NAME_B, FORGED))
			fail("DMA_BUF_SET_NAME_B");
	} else {
		return 2;
	}
	hidden();
	pause();
	return 0;
}
