/* SPDX-License-Identifier: ISC */
/*
 * What the tests share: checks, deadlines, loopback connections, a relay in
 * the middle of one, peers in processes of their own, and counts of what is
 * left behind. A test program runs itself again for a peer, so that a peer
 * has a library of its own and no descriptor of the test.
 */

#ifndef TESTS_HARNESS_H
#define TESTS_HARNESS_H

#include <sys/types.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <tls.h>

/* The row of a table that runs; failures print it. */
extern const char *h_case;

/* Whether the library is libtls-proxy and not the libtls it is compared with.
 */
extern int h_proxy;

/*
 * Whether the library does the network's reads and writes, as with
 * LIBTLS_PROXY_TRANSPORT=app.
 */
extern int h_app;

#define CHECK(cond)                                                            \
	do {                                                                   \
		if (!(cond))                                                   \
			h_fail(__FILE__, __LINE__, "not true: %s", #cond);     \
	} while (0)
#define CHECK_INT(got, want)                                                   \
	h_check_int(__FILE__, __LINE__, #got, (intmax_t)(got), (intmax_t)(want))
#define CHECK_STR(got, want)                                                   \
	h_check_str(__FILE__, __LINE__, #got, (got), (want))
/* The string got contains want. */
#define CHECK_HAS(got, want)                                                   \
	h_check_has(__FILE__, __LINE__, #got, (got), (want))
#define CHECK_MEM(got, want, len)                                              \
	h_check_mem(__FILE__, __LINE__, #got, (got), (want), (len))
/* A libtls call that must give 0; its context's error is printed if not. */
#define CHECK_TLS(ctx, call)                                                   \
	h_check_tls(__FILE__, __LINE__, #call, (ctx), (call))
#define CHECK_CONFIG(config, call)                                             \
	h_check_config(__FILE__, __LINE__, #call, (config), (call))
#define FAIL(...) h_fail(__FILE__, __LINE__, __VA_ARGS__)

/* For tests of what another libtls doesn't promise. */
#define PROXY_ONLY()                                                           \
	do {                                                                   \
		if (!h_proxy)                                                  \
			skip();                                                \
	} while (0)

void h_fail(const char *file, int line, const char *fmt, ...)
    __attribute__((__noreturn__, __format__(printf, 3, 4)));
void h_check_int(const char *file, int line, const char *what, intmax_t got,
    intmax_t want);
void h_check_str(const char *file, int line, const char *what, const char *got,
    const char *want);
void h_check_has(const char *file, int line, const char *what, const char *got,
    const char *want);
void h_check_mem(const char *file, int line, const char *what, const void *got,
    const void *want, size_t len);
void h_check_tls(const char *file, int line, const char *what, struct tls *ctx,
    ssize_t rv);
void h_check_config(const char *file, int line, const char *what,
    struct tls_config *config, int rv);

/*
 * A peer is "program --peer NAME ARG...": fn gets its arguments, argv[0] being
 * the name, and its result is the exit status.
 */
struct h_peer {
	const char *name;
	int (*fn)(int argc, char **argv);
};

/*
 * The main function of a test program. "program TEST" runs the tests whose
 * names match the pattern.
 */
int h_main(int argc, char **argv, const struct CMUnitTest *tests, size_t ntests,
    const struct h_peer *peers, size_t npeers);

#define H_MAIN(tests, peers)                                                   \
	int main(int argc, char **argv)                                        \
	{                                                                      \
		return h_main(argc, argv, tests,                               \
		    sizeof(tests) / sizeof((tests)[0]), peers,                 \
		    sizeof(peers) / sizeof((peers)[0]));                       \
	}

/* Whether this runs under valgrind. Its peers do not. */
int h_valgrind(void);
/* Whether it was built with a sanitizer. */
int h_sanitizer(void);

/* Time. TEST_SLOW=N in the environment allows N times as much of it. */
int64_t h_now(void);	   /* milliseconds */
int h_ms(int ms);	   /* scaled */
#define H_WAIT h_ms(20000) /* for what takes no time unless it hangs */
/* Waits for an event, or fails the test. Returns revents. */
short h_poll(int fd, short events, int ms);
/* For loops over something that can't be polled: a millisecond at a time. */
void h_pause(int64_t deadline, const char *what);

/* Files of the certificate directory. */
const char *h_cert(const char *name);
uint8_t *h_load(const char *path, size_t *len); /* NUL-terminated as well */
/* The line of a file, from 0. */
void h_fact(const char *name, int line, char *buf, size_t size);

/* Sockets, all close-on-exec; owned by the caller. */
void h_tcp_pair(int *a, int *b);
int h_listen(char *port, size_t size);
int h_accept(int fd);
int h_connect(const char *port);
void h_socketpair(int type, int *a, int *b);
void h_nonblock(int fd, int on);
void h_reset_on_close(int fd);
/* Plain reads and writes with a deadline. */
void h_send(int fd, const void *buf, size_t len);
void h_recv(int fd, void *buf, size_t len);

/* Configurations that trust root.pem, or serve NAME-chain.pem with NAME.key. */
struct tls_config *h_client_config(void);
struct tls_config *h_server_config(const char *name);
struct tls *h_client(struct tls_config *config);
struct tls *h_server(struct tls_config *config);

/* Both ends of a connection in this process, non-blocking. */
struct h_pair {
	struct tls *base;
	struct tls *client;
	struct tls *server;
	int cfd, sfd;
	int crv, srv; /* what the handshakes returned */
};

/* Frees neither configuration. servername may be NULL. */
void h_pair_start(struct h_pair *p, struct tls_config *client,
    struct tls_config *server, const char *servername);
/* Over these connected sockets, which the pair owns from then on. */
void h_pair_start_on(struct h_pair *p, struct tls_config *client,
    struct tls_config *server, const char *servername, int cfd, int sfd);
/* With a server that stays, the caller's. */
void h_pair_join(struct h_pair *p, struct tls_config *client, struct tls *base,
    const char *servername);
/* Runs both handshakes to their ends, whatever these are. */
void h_pair_handshake(struct h_pair *p);
/* The same, where both must succeed. */
#define CHECK_PAIR(p)                                                          \
	do {                                                                   \
		h_pair_handshake(p);                                           \
		CHECK_TLS((p)->client, (p)->crv);                              \
		CHECK_TLS((p)->server, (p)->srv);                              \
	} while (0)
/* All of it, and both must succeed. The default is a pair of rsa. */
void h_pair_open(struct h_pair *p);
/* One byte there and back. */
void h_pair_echo(struct h_pair *p);
void h_pair_free(struct h_pair *p);

/*
 * Calls until done, waiting as the library tells, and fails on an error.
 * They check that errno is 0 after each call.
 */
int h_handshake(struct tls *ctx, int fd); /* 0 or -1 */
void h_write(struct tls *ctx, int fd, const void *buf, size_t len);
void h_read(struct tls *ctx, int fd, void *buf, size_t len);
ssize_t h_read_some(struct tls *ctx, int fd, void *buf, size_t len);
int h_close(struct tls *ctx, int fd); /* 0 or -1 */
/*
 * Waits for what fd needs; fails if rv is no TLS_WANT_*. The descriptor of a
 * blocking connection may be -1.
 */
void h_want(int fd, ssize_t rv);
/*
 * What to wait for after TLS_WANT_*: fd, or the engine's descriptor where
 * goproxy is at work.
 */
int h_wait_fd(struct tls *ctx, int fd);

/* A stream of bytes that both ends can compute; each seed has its own. */
struct h_stream {
	uint64_t seed;
	uint64_t pos; /* bytes so far */
};

void h_stream_fill(struct h_stream *s, void *buf, size_t len);
/* Checks that buf is what comes next. */
void h_stream_check(struct h_stream *s, const void *buf, size_t len);

/* So many bytes each way at once, by an end that does not block. */
struct h_transfer {
	struct tls *ctx;
	int fd;
	struct h_stream in, out;
	uint64_t left_in, left_out;
	short want_in, want_out; /* what the two directions wait for */

	/* What was computed and not yet accepted. */
	uint8_t out_buf[65536];
	size_t out_start, out_len;
};

void h_transfer_init(struct h_transfer *t, struct tls *ctx, int fd,
    int is_server, uint64_t size);
int h_transfer_done(const struct h_transfer *t);
/* What to wait for. */
short h_transfer_events(const struct h_transfer *t);
/*
 * One tls_read and one tls_write at most, for the events that came. Returns 1
 * if it can go on, 0 at the end of the peer's data, and -1 if a call failed.
 */
int h_transfer_step(struct h_transfer *t, short events);

/* Other processes. All that isn't waited for is killed at the end. */
pid_t h_start(int *keep, size_t nkeep, const char *peer, ...)
    __attribute__((__sentinel__)); /* keep[i] becomes descriptor 10 + i */
/* A child whose failed checks end it; it is no subreaper. */
pid_t h_fork(void);
pid_t h_exec(int *keep, size_t nkeep, char *const *argv, char *const *envp);
int h_wait_exit(pid_t pid); /* the status; 128 + signal */
void h_kill(pid_t pid);	    /* and wait */

#define H_KEPT 10

/*
 * A process between two TCP connections that forwards records, and can be
 * told to do worse.
 */
enum h_relay_action {
	H_RELAY_FIN,  /* end both connections */
	H_RELAY_RST,  /* reset both connections */
	H_RELAY_FLIP, /* change one bit and go on */
};

struct h_relay_direction {
	atomic_ullong limit; /* after so many bytes comes the action */
	atomic_int action;
	atomic_int hold;    /* see h_relay_hold */
	atomic_int pending; /* there is something to hold */
	atomic_ullong bytes;
	atomic_int records;
	atomic_int last_type, last_length; /* of the last whole record */
	atomic_int fin;			   /* seen, and passed on */
};

struct h_relay {
	struct h_relay_direction *to_server, *to_client; /* shared memory */
	pid_t pid;
	int control;
};

/* Gives the two ends to use; the caller closes them. */
void h_relay_start(struct h_relay *r, int *cfd, int *sfd);
void h_relay_limit(struct h_relay_direction *d, unsigned long long bytes,
    enum h_relay_action action);
/*
 * Lets so many records through, counted from the first, and no more; -1 ends
 * that. Say it before there are more.
 */
void h_relay_hold(struct h_relay_direction *d, int records);
void h_relay_now(struct h_relay *r, enum h_relay_action action);
void h_relay_stop(struct h_relay *r);

/* What is left behind. */
int h_fds(void); /* open descriptors of this process */
void h_print_fds(void);
/*
 * Helpers of this process and of programs it started that are gone: the
 * test is their subreaper, so they are its descendants.
 */
int h_helpers(void);
void h_wait_no_helpers(int ms);
/* This process's worker or keeper; -1 if there is none, or more than one. */
pid_t h_helper(const char *role);
pid_t h_wait_helper(const char *role, pid_t other_than);
/* Waits until one that ends has ended, and its descriptors are closed. */
void h_wait_gone(pid_t pid);
/* All of that role, at most max; returns how many there are. */
size_t h_helper_list(const char *role, pid_t *pids, size_t max);
/* Stops a process, all of its threads. */
void h_stop(pid_t pid);
/* No child of this process's helpers has ended without being reaped soon. */
void h_wait_no_zombies(int ms);

/* Whether the environment asks for the full counts (TEST_LONG=1). */
int h_long(void);
/* Raises the limit of open files as far as it goes. Returns it. */
int h_raise_nofile(void);

#endif
