/* SPDX-License-Identifier: ISC */
/*
 * A program that loads the library, and lets it go: "loader LIBRARY [use]".
 * It does that again and again, and no descriptor and no memory stays.
 */

#include <sys/socket.h>

#include <dirent.h>
#include <dlfcn.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <tls.h>

/* After the first ones libc has what it keeps for itself. */
#define FIRST_ROUNDS 20
#define ROUNDS	     40

static int
count_fds(void)
{
	int n = 0;
	DIR *dir;

	if ((dir = opendir("/proc/self/fd")) == NULL)
		return -1;
	while (readdir(dir) != NULL)
		n++;
	closedir(dir);
	return n;
}

static void *
get(void *library, const char *name)
{
	void *symbol = dlsym(library, name);

	if (symbol == NULL) {
		printf("%s: %s\n", name, dlerror());
		exit(1);
	}
	return symbol;
}

/* As far as a connection that has begun, without a peer. */
static void
use(void *library)
{
	struct tls *(*client)(void);
	int (*connect_socket)(struct tls *, int, const char *);
	int (*handshake)(struct tls *);
	const char *(*error)(struct tls *);
	void (*free_context)(struct tls *);
	struct tls *ctx;
	int fds[2];

	*(void **)&client = get(library, "tls_client");
	*(void **)&connect_socket = get(library, "tls_connect_socket");
	*(void **)&handshake = get(library, "tls_handshake");
	*(void **)&error = get(library, "tls_error");
	*(void **)&free_context = get(library, "tls_free");
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0,
		fds) == -1)
		exit(1);
	ctx = client();
	if (connect_socket(ctx, fds[0], "localhost") == -1 ||
	    handshake(ctx) != TLS_WANT_POLLIN) {
		printf("%s\n", error(ctx));
		exit(1);
	}
	free_context(ctx);
	close(fds[0]);
	close(fds[1]);
}

int
main(int argc, char **argv)
{
	size_t memory = 0, now;
	int i, fds = 0;
	void *library;

	alarm(60);
	for (i = 0; i < ROUNDS; i++) {
		if (i == FIRST_ROUNDS) {
			fds = count_fds();
			memory = mallinfo2().uordblks;
		}
		library = dlopen(argv[1], RTLD_NOW | RTLD_LOCAL);
		if (library == NULL) {
			printf("%s\n", dlerror());
			return 1;
		}
		if (argc > 2)
			use(library);
		if (dlclose(library) == -1) {
			printf("%s\n", dlerror());
			return 1;
		}
		if (dlopen(argv[1], RTLD_NOW | RTLD_NOLOAD) != NULL) {
			printf("the library is still there\n");
			return 1;
		}
	}
	now = mallinfo2().uordblks;
	if (count_fds() != fds || now > memory) {
		printf("descriptors %d, then %d; memory %zu, then %zu\n", fds,
		    count_fds(), memory, now);
		return 1;
	}
	/* What atfork handlers it had are gone as well. */
	if (system("exit 0") != 0 || fork() == 0)
		_exit(0);
	printf("loaded\n");
	return 0;
}
