/* What the end-to-end tests need in a container and busybox lacks:
 *
 *   probe udp-echo PORT  send every datagram back to where it came from
 *   probe hold MIB       use this much memory, every page of it, and keep it
 *   probe scatter MIB    the same, but every second page first: no two neighbours come together
 *   probe spin N         keep N processors busy
 *
 * Each says "ready" when it is, and goes on until it is killed.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static int udp_echo(int port)
{
	struct sockaddr_in6 here = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct sockaddr_storage peer;
	static char datagram[65536];
	int fd = socket(AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&here, sizeof here) < 0) {
		/* A kernel without IPv6. */
		struct sockaddr_in here4 = { .sin_family = AF_INET, .sin_port = htons(port) };

		fd = socket(AF_INET, SOCK_DGRAM, 0);
		if (fd < 0 || bind(fd, (struct sockaddr *)&here4, sizeof here4) < 0) {
			perror("udp-echo");
			return 1;
		}
	}
	ready();
	for (;;) {
		socklen_t length = sizeof peer;
		ssize_t size = recvfrom(fd, datagram, sizeof datagram, 0,
					(struct sockaddr *)&peer, &length);

		if (size >= 0)
			sendto(fd, datagram, size, 0, (struct sockaddr *)&peer, length);
	}
}

static int hold(long mib)
{
	/* At once: page by page, every fault of a UML guest costs its host a system call or more. */
	char *held = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	long page;

	if (held == MAP_FAILED) {
		perror("hold");
		return 1;
	}
	/* Populating says nothing of pages it could not have; touching them does. */
	for (page = 0; page < mib << 20; page += 4096)
		held[page] = 1;
	ready();
	for (;;)
		pause();
}

static int scatter(long mib)
{
	char *held = mmap(NULL, (size_t)mib << 20, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long start, page;

	if (held == MAP_FAILED) {
		perror("scatter");
		return 1;
	}
	for (start = 0; start <= 4096; start += 4096)
		for (page = start; page < mib << 20; page += 8192)
			held[page] = 1;
	ready();
	for (;;)
		pause();
}

static void spin(long count)
{
	for (; count > 1; count--)
		if (fork() == 0) {
			/* They end with the first one. */
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			break;
		}
	if (count <= 1)
		ready();
	for (;;)
		__asm__ volatile("");
}

int main(int argc, char **argv)
{
	long number = argc == 3 ? atol(argv[2]) : 0;

	if (number > 0 && !strcmp(argv[1], "udp-echo"))
		return udp_echo(number);
	if (number > 0 && !strcmp(argv[1], "hold"))
		return hold(number);
	if (number > 0 && !strcmp(argv[1], "scatter"))
		return scatter(number);
	if (number > 0 && !strcmp(argv[1], "spin"))
		spin(number);
	fprintf(stderr, "usage: %s udp-echo PORT | hold MIB | scatter MIB | spin N\n", argv[0]);
	return 2;
}
