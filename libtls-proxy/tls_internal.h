/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/* What the tls_*.c files share. */

#ifndef TLS_INTERNAL_H
#define TLS_INTERNAL_H

#include <sys/stat.h>
#include <sys/time.h>

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

/* All else is hidden, as the library is built with -fvisibility=hidden. */
#pragma GCC visibility push(default)
#include <tls.h>
#include <tls_proxy.h>

/* Exported by libtls, but in no public header. */
void tls_config_skip_private_key_check(struct tls_config *config);
void tls_config_use_fake_private_key(struct tls_config *config);
#pragma GCC visibility pop

#include "channel.h"
#include "proxy.h"

#define TLS_VERIFY_DEPTH_DEFAULT 6

/* ctx->flags */
#define TLS_CLIENT	(1 << 0)
#define TLS_SERVER	(1 << 1)
#define TLS_SERVER_CONN (1 << 2)

/* ctx->state */
#define TLS_EOF_NO_CLOSE_NOTIFY (1 << 0)
#define TLS_CONNECTED		(1 << 1)
#define TLS_HANDSHAKE_COMPLETE	(1 << 2)
#define TLS_HANDSHAKE_FAILED	(1 << 3) /* the error stays as it was set */
#define TLS_EOF			(1 << 4) /* tls_read has returned 0 */
#define TLS_READ_FAILED		(1 << 5) /* ctx->failure says why */
#define TLS_CLOSING		(1 << 6) /* close mark sent, no reply yet */
#define TLS_CLOSED		(1 << 7)
#define TLS_SHUT		(1 << 8) /* close mark sent, perhaps resumed */
#define TLS_RESUMED_EOF		(1 << 9) /* after that the end came */

struct tls_error {
	char *msg; /* owned */
	int code;
	int errno_value;
	int tls; /* unused; keeps LibreSSL's layout, see struct tls */
};

/* One certificate, and the place of its private key in the keeper. */
struct tls_keypair {
	struct tls_keypair *next;
	uint8_t *cert_mem;
	size_t cert_len;
	uint32_t slot;	 /* 0: no key */
	char *key_file;	 /* where the key came from, NULL for memory */
	uint8_t *staple; /* an OCSP response */
	size_t staple_len;
};

struct tls_ticket_key {
	uint32_t revision;
	uint8_t key[TLS_TICKET_KEY_SIZE];
};

#define TLS_TICKET_KEYS_MAX 4

struct tls_config {
	struct tls_error error;
	pthread_mutex_t mutex; /* draft, channel and servers */
	atomic_int refcount;

	struct tls_keypair *keypair; /* the first is always there */
	struct tls_keypair *last_keypair;
	struct tlsp_handle draft; /* holds the keys in the keeper */

	/* What a client committed last, and whether a setter was called since.
	 */
	struct tlsp_config_channel *channel;
	int changed;

	uint8_t *alpn;
	size_t alpn_len;
	uint8_t *ca_mem;
	size_t ca_len;
	int ca_set;    /* else the default file, read when it is needed */
	char *ca_path; /* a directory, where there is no ca_mem */
	int crl_set;
	uint8_t *crl_mem;
	size_t crl_len;
	uint32_t protocols;
	uint16_t *ciphers; /* in the order of preference */
	size_t nciphers;
	uint16_t *groups; /* NULL: what was set has a name that is no group */
	size_t ngroups;
	int prefer_client;
	int verify_cert;
	int verify_name;
	int verify_time;
	int verify_client; /* 0 no, 1 required, 2 optional */
	int verify_depth;
	int require_staple;
	int transport; /* 0: what the environment says */

	uint8_t session_id[TLS_MAX_SESSION_ID_LENGTH];
	int session_lifetime; /* seconds, 0 for no sessions */
	int session_fd;	      /* the application's, -1 for none */
	struct tls_ticket_key ticket_keys[TLS_TICKET_KEYS_MAX];
	size_t nticket_keys; /* the newest first */

	int isolation; /* TLS_ISOLATION_* */

	struct tls *servers; /* contexts that a live change concerns */

	/* Certificates without a key, whose signatures sign_cb makes. */
	int fake_key;	    /* for all, even if there is a key */
	int skip_key_check; /* for those that have none */
	tls_sign_cb sign_cb;
	void *sign_arg;

	uint32_t requests;   /* what the application decides */
	int request_timeout; /* milliseconds */
};

/* What is known from an OCSP response; -1 and NULL for what is not. */
struct tls_ocsp {
	char *result;
	int response_status;
	int cert_status;
	int crl_reason;
	time_t this_update;
	time_t next_update;
	time_t revocation_time;
};

/* Facts about a finished handshake; strings are NULL where libtls says so. */
struct tls_conninfo {
	char *version;
	char *cipher;
	int cipher_strength;
	char *alpn;
	char *servername;
	int session_resumed;
	int peer_cert;
	char *hash;
	char *subject;
	char *issuer;
	char *common_name;
	time_t notbefore;
	time_t notafter;
	uint8_t *chain;
	size_t chain_len;
	char *names; /* as in ESTABLISHED */
	size_t names_len;
	char *ocsp_url;
	struct tls_ocsp ocsp;
};

struct tls_engine;

struct tls {
	/*
	 * s6-networking reads the state word by its offset, so that the layout
	 * up to there is LibreSSL's.
	 */
	struct tls_config *config;
	void *reserved;
	struct tls_error error;
	uint32_t flags;
	_Atomic uint32_t state;

	/*
	 * Where one thread reads and another one writes, the second has its
	 * errors here. 0 is no thread.
	 */
	struct tls_error write_error;
	_Atomic pthread_t reader; /* called something other than tls_write */
	_Atomic pthread_t writer;

	struct tlsp_config_channel *channel; /* a server's, a connection's */
	struct tls *next_server;	     /* on its configuration\'s list */
	const struct tls_keypair **pairs;    /* a server's, as committed */
	char *servername;		     /* a client's */
	int owns_socket;		     /* made by tls_connect() */

	/*
	 * The application's numbers, which are the same for a socket. Noted,
	 * not owned: they hold the data channel, then while TLS_CLOSING (fd_in)
	 * the reply channel, and in the end the network's descriptors again;
	 * with an engine those from first to last, or none.
	 */
	struct tlsp_handle fd_in;
	struct tlsp_handle fd_out;
	struct tlsp_handle rest; /* data channel after close, for reading on */
	enum tlsp_ending ending; /* of the peer's data when it was closed */
	struct timeval read_timeout; /* which the reply channel does not have */

	struct tls_engine *engine; /* where the network is not goproxy's */

	uint64_t connection;
	struct tls_conninfo *conninfo;
	char *failure;	     /* why the direction from the peer failed */
	char *close_failure; /* why tls_close() did */

	/* The frame that the worker sends first, as far as it has come. */
	uint8_t *frame;
	size_t frame_len;
	size_t frame_size;
	int frame_fds[2];
	size_t frame_nfds;

	struct tls_requests *requests;
	uint64_t request_context; /* this connection there, 0 for none */

	atomic_uint idle_calls; /* in a row that found nothing new */
};

#if UINTPTR_MAX > UINT32_MAX
_Static_assert(offsetof(struct tls, state) == 44, "s6-networking looks there");
#endif

/* Sets the error of an object; errnum, if not 0, is appended as strerror. */
void tls_error_set(struct tls_error *error, int code, int errnum,
    const char *fmt, ...) __attribute__((__format__(__printf__, 4, 5)));
void tls_error_clear(struct tls_error *error);

/* Shorthands: without errno, and with the errno of the failed call. */
#define tls_set_errorx(obj, code, ...)                                         \
	tls_error_set(&(obj)->error, (code), 0, __VA_ARGS__)
#define tls_set_error(obj, code, ...)                                          \
	tls_error_set(&(obj)->error, (code), errno, __VA_ARGS__)

struct tls_config *tls_config_ref(struct tls_config *config);
/* The sum of enum tlsp_verify that a connection starts with. */
uint8_t tls_config_verify_flags(const struct tls_config *config);
/*
 * Commits a snapshot of the configuration for the role. Returns a channel with
 * one reference, or NULL with *error set. pairs may be NULL; *pairs is as from
 * tls_document_pairs().
 */
struct tlsp_config_channel *tls_config_commit(struct tls_config *config,
    enum tlsp_role role, const struct tls_keypair ***pairs,
    struct tls_error *error);

/* Whether it still is a file; the application may have closed it. */
int tls_config_check_session_fd(int session_fd, struct stat *sb,
    struct tls_error *error);
/* Sets the error and returns -1. */
int tls_config_set_oom(struct tls_config *config);

/*
 * What follows takes a keypair that is or will be one of the configuration's,
 * and sets the configuration's error where it fails.
 */
struct tls_keypair *tls_keypair_new(void);
void tls_keypair_free(struct tls_keypair *keypair);
void tls_keypair_drop_key(struct tls_config *config,
    struct tls_keypair *keypair);
int tls_keypair_set_cert_file(struct tls_config *config,
    struct tls_keypair *keypair, const char *file);
int tls_keypair_set_cert_mem(struct tls_config *config,
    struct tls_keypair *keypair, const uint8_t *cert, size_t len);
int tls_keypair_set_key_file(struct tls_config *config,
    struct tls_keypair *keypair, const char *file);
int tls_keypair_set_key_mem(struct tls_config *config,
    struct tls_keypair *keypair, const uint8_t *key, size_t len);
int tls_keypair_set_staple_file(struct tls_config *config,
    struct tls_keypair *keypair, const char *file);
int tls_keypair_set_staple_mem(struct tls_config *config,
    struct tls_keypair *keypair, const uint8_t *staple, size_t len);
/* All at once; key and staple may be NULL. */
int tls_keypair_set_files(struct tls_config *config,
    struct tls_keypair *keypair, const char *cert_file, const char *key_file,
    const char *staple_file);
int tls_keypair_set_mems(struct tls_config *config, struct tls_keypair *keypair,
    const uint8_t *cert, size_t cert_len, const uint8_t *key, size_t key_len,
    const uint8_t *staple, size_t staple_len);
/* Appends the keypair where it could be set up (rv 0), else frees it. */
int tls_keypair_append(struct tls_config *config, struct tls_keypair *keypair,
    int rv);
/*
 * Opens a draft, which holds the keys that were set before, unless there is
 * one. The key of the keypair except, if any, is about to be replaced.
 */
int tls_keypair_ensure_draft(struct tls_config *config,
    struct tls_keypair *except, struct tls_error *error);

/*
 * Puts a server context on the list of those that its configuration's live
 * changes concern, or takes it off.
 */
void tls_config_add_server(struct tls_config *config, struct tls *ctx);
void tls_config_remove_server(struct tls_config *config, struct tls *ctx);
/* Tells the servers of the configuration its staples and ticket keys. */
int tls_config_update_servers(struct tls_config *config);

/*
 * The keypairs that a document made now would have, in its order, with NULL at
 * the end. The list is the caller's; NULL without memory.
 */
const struct tls_keypair **tls_document_pairs(const struct tls_config *config);
/*
 * The documents of goproxy-protocol(7): a configuration's, and an update's for
 * one with these pairs. *buf is the caller's. Return 0, or -1 with *error set.
 */
int tls_document_new(const struct tls_config *config, enum tlsp_role role,
    const struct tls_keypair *const *pairs, uint8_t **buf, size_t *len,
    struct tls_error *error);
int tls_document_new_update(const struct tls_config *config,
    const struct tls_keypair *const *pairs, uint8_t **buf, size_t *len,
    struct tls_error *error);

void tls_ocsp_init(struct tls_ocsp *ocsp);
void tls_ocsp_clear(struct tls_ocsp *ocsp);

/*
 * Gives the private key in key_fd to the keeper for one connection of goproxy's
 * configuration id.
 */
int tls_config_attach_key(struct tls_config *config, uint32_t id, int cert_fd,
    int key_fd, uint32_t *slot, struct tls_error *error);

/*
 * Requests, where the configuration has some. A connection inherits those of
 * its server (0, or -1 with the server's error), and joins them when it
 * starts: *fd is for START or ENGINE then, and the caller's, or -1. 0, or -1
 * with the error set.
 */
int tls_requests_inherit(struct tls *conn, struct tls *server);
int tls_requests_join(struct tls *ctx, int *fd);
/* Joins whatever the configuration has. The caller's descriptor, or -1. */
int tls_requests_enter(struct tls *ctx);
/* Ends a connection's part in them, and a context's. */
void tls_requests_part(struct tls *ctx);
void tls_requests_leave(struct tls *ctx);

struct tls *tls_new(uint32_t flags);
/* Starts a connection; on failure the descriptors are untouched. */
int tls_start(struct tls *ctx, int fd_read, int fd_write);
/* Forgets the connection; its descriptors are the application's. */
void tls_connection_clear(struct tls *ctx);
/* Gives a connection that starts the channel that it starts on. */
int tls_open_channel(struct tls *ctx);
/* The session file of a connection that starts, -1 if it has none. */
int tls_session_fd(struct tls *ctx, int *session_fd);
/*
 * Acts on a message that came before the handshake was over, with frame_fds,
 * on either kind of connection. Returns 0 when the handshake has succeeded, 1
 * when there is more to come, or -1 with the error set.
 */
int tls_frame(struct tls *ctx, const uint8_t *message, size_t len);
/* Sets the error "operation failed: failure" and returns -1. */
int tls_set_failure(struct tls_error *error, const char *operation,
    const char *failure);

/*
 * A connection whose network the library or the application has: records go
 * through callbacks, and through an engine in goproxy's worker. The calls
 * return as those of tls.h that they serve.
 */
int tls_engine_start(struct tls *ctx, tls_read_cb read_cb,
    tls_write_cb write_cb, void *cb_arg);
/* As tls_engine_start() for what tls_transport.c does itself. */
int tls_engine_start_own(struct tls *ctx, tls_read_cb read_cb,
    tls_write_cb write_cb, void *cb_arg);
int tls_engine_handshake(struct tls *ctx);
ssize_t tls_engine_read(struct tls *ctx, void *buf, size_t len);
ssize_t tls_engine_write(struct tls *ctx, const void *buf, size_t len);
int tls_engine_close(struct tls *ctx);
void tls_engine_free(struct tls *ctx);
/* Where the messages to the engine go. */
int tls_engine_channel(const struct tls *ctx);
/* Whether writing has failed with this number. */
int tls_engine_write_failed(const struct tls *ctx, int errnum);

/* While a callback runs: sets an error and returns -1, else 0. */
int tls_engine_refuse(struct tls *ctx);
/* While a callback runs: has it done when the call ends, and returns 1. */
enum tls_deferred {
	TLS_DEFERRED_NONE,
	TLS_DEFERRED_RESET,
	TLS_DEFERRED_FREE,
};
int tls_engine_defer(struct tls *ctx, enum tls_deferred what);
/* Does it: -1 if there was something to do. */
int tls_engine_leave(struct tls *ctx);

/* How the configuration has descriptors used, or -1 with the error set. */
int tls_transport(struct tls *ctx);
/* Starts a connection whose records the library reads and writes itself. */
int tls_transport_start(struct tls *ctx, int fd_read, int fd_write);

struct tls_conninfo *tls_conninfo_new(const struct tlsp_established *facts);
void tls_conninfo_free(struct tls_conninfo *info);

/* Splits "host:port", "[v6]:port"; *host and *port are the caller's. */
int tls_host_port(const char *hostport, char **host, char **port);
/*
 * Which of the words an environment variable is, the list of which ends with
 * NULL; the first where the variable is not set, or empty. -1 is an error.
 */
int tls_env_word(const char *variable, const char *const *words,
    struct tls_error *error);
int tls_set_string(char **dst, const char *src);
int tls_set_mem(uint8_t **dst, size_t *dst_len, const void *src, size_t len);
void tls_wipe(void *buf, size_t len);
/*
 * Reads a whole file of the kind (for the error text) into memory from
 * malloc(3). Returns 0, or -1 with *error set.
 */
int tls_read_file(const char *filename, const char *kind, uint8_t **buf,
    size_t *len, struct tls_error *error);
/* Reads a descriptor up to its end; -1 with errno. */
int tls_read_fd(int fd, uint8_t **buf, size_t *len);
int tls_open_file(const char *filename, const char *kind,
    struct tls_error *error);

#endif
