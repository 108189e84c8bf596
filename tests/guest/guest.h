/* SPDX-License-Identifier: ISC */
/*
 * Hosts of the library: each case is a process of its own that does with
 * itself what real programs do. When it has ended, nothing of it may be left.
 */

#ifndef TESTS_GUEST_GUEST_H
#define TESTS_GUEST_GUEST_H

#include "../harness.h"

struct guest {
	const char *name;
	void (*fn)(void);
	int flags;
};

enum {
	GUEST_ROOT = 1,	 /* only root can do it */
	GUEST_PROXY = 2, /* another libtls has nothing of the kind */
	GUEST_EARLY = 4, /* a new program, with LIBTLS_PROXY_START=early */
	/* goproxy cannot start; another libtls has nothing of the kind. */
	GUEST_CANNOT_START = 8 | GUEST_PROXY,
	GUEST_NO_VALGRIND = 16, /* which does not know what it does */
	/*
	 * Where the network is the program's a connection is one thread's and
	 * one process's at a time, and has a descriptor of the library's.
	 */
	GUEST_NO_APP = 32,
};

/*
 * Within cases: nothing is checked about memory or descriptors of what follows
 * in this process, which ends now.
 */
#define GUEST_END() _exit(0)

/* clang-format off */
#define GUEST(fn) GUEST_FLAGS(fn, 0)
#define GUEST_FLAGS(fn, flags)                                                 \
	{ #fn, guest_run, NULL, guest_clean,                                   \
	  &(struct guest) { #fn, fn, flags } }
/* The peer that a case with GUEST_EARLY needs in its program. */
#define GUEST_PEER { "guest", guest_peer }
/* clang-format on */
#define GUEST_MAIN(tests, peers)                                               \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		guest_tests = tests;                                           \
		guest_ntests = sizeof(tests) / sizeof((tests)[0]);             \
		return h_main(argc, argv, tests, guest_ntests, peers,          \
		    sizeof(peers) / sizeof((peers)[0]));                       \
	}

extern const struct CMUnitTest *guest_tests;
extern size_t guest_ntests;

void guest_run(void **state);
int guest_clean(void **state);
int guest_peer(int argc, char **argv);

/* Skips the case that runs, from within it, and says why. */
void guest_skip(const char *why) __attribute__((__noreturn__));

/* Becomes a user who has no other processes; only root can. */
void guest_change_user(void);
/* Skips the case where valgrind cannot start what the library has open. */
void guest_valgrind_reaches_goproxy(void);

/* A child of the case that runs fn and ends; guest_wait checks that it is 0. */
pid_t guest_fork(void (*fn)(void));
void guest_wait(pid_t pid);

/* One connection with both ends in this process: TLS works. */
void guest_use(void);
/* The same with files loaded before, for where there is no file system. */
struct guest_files {
	uint8_t *ca, *cert, *key;
	size_t ca_len, cert_len, key_len;
};
void guest_load(struct guest_files *files);
void guest_unload(struct guest_files *files);
void guest_configs(const struct guest_files *files, struct tls_config **client,
    struct tls_config **server);
void guest_use_files(const struct guest_files *files);
/*
 * Another connection of a server that is configured. config NULL is a new
 * client, which does not verify: the files may be out of reach.
 */
void guest_use_server(struct tls *base, struct tls_config *config);

/*
 * A client in a child process: connects to the port and sends a byte there and
 * back, count times.
 */
pid_t guest_clients(const char *port, int count);
/* The other end of one of these connections, in three parts. */
struct tls *guest_accept(struct tls *base, int fd);
void guest_answer(struct tls *conn, int fd);
void guest_hang_up(struct tls *conn, int fd);
/* All three. */
void guest_serve(struct tls *base, int fd);

#endif
