/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/socket.h>
#include <sys/types.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "platform.h"
#include "tls_internal.h"
#include "trace.h"

/* When goproxy starts: "early" is when the library is loaded. */
#define START_VARIABLE "LIBTLS_PROXY_START"
/* The directory of goproxy's programs, instead of the installed one. */
#define LIBEXEC_VARIABLE "LIBTLS_PROXY_LIBEXEC"
/* The supervisor decides whether it counts: libtls-proxy(7), Debugging. */
#define KEYLOG_VARIABLE "SSLKEYLOGFILE"

/* Committing thousands of key pairs takes seconds. */
#define COMMIT_TIMEOUT_MS 30000

struct tlsp_config_channel {
	struct tlsp_handle handle;
	enum tlsp_isolation isolation;
	atomic_int refcount;
	int asks;
};

/* A program of goproxy's, opened when the library is loaded. */
struct program {
	const char *name;
	struct tlsp_handle handle;
};

/* The process's connection to goproxy; all of it under mutex. */
static struct {
	pthread_mutex_t mutex;
	struct tlsp_handle control;
	struct program supervisor;
	struct program goproxy;
} proxy = {
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.control = TLSP_HANDLE_NONE,
	.supervisor = { "supervisor", TLSP_HANDLE_NONE },
	.goproxy = { "goproxy", TLSP_HANDLE_NONE },
};

/* NULL where the user has not named one. */
static const char *
libexec_override(void)
{
	const char *dir = secure_getenv(LIBEXEC_VARIABLE);

	return dir == NULL || *dir == '\0' ? NULL : dir;
}

static int
program_path(const struct program *program, char *path, size_t size)
{
	const char *dir = libexec_override();
	int n;

	if (dir == NULL)
		dir = TLSP_LIBEXECDIR;
	n = snprintf(path, size, "%s/%s", dir, program->name);
	if (n < 0 || (size_t)n >= size) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return 0;
}

/* Opens the program unless it is open. -1 with errno. */
static int
program_open(struct program *program)
{
	char path[4096];
	int fd;

	if (tlsp_handle_fd(&program->handle) != -1)
		return 0;
	if (program_path(program, path, sizeof(path)) == -1)
		return -1;
	fd = tlsp_platform_open_program(path);
	if (fd == -1)
		return -1;
	tlsp_handle_set(&program->handle, fd);
	return 0;
}

static void
lock(void)
{
	pthread_mutex_lock(&proxy.mutex);
}

static void
unlock(void)
{
	pthread_mutex_unlock(&proxy.mutex);
}

/* What the user can do about it, as " (...)"; "" where that is not known. */
static void
set_remedy(char *text, size_t size, int errnum, const char *what)
{
	text[0] = '\0';
	/* What is there to be executed, but lacks its interpreter. */
	if (errnum == ENOENT && strcmp(what, "start") == 0)
		errnum = ENOEXEC;
	switch (errnum) {
	case ENOENT:
	case ENOTDIR:
		(void)snprintf(text, size, " (%s)",
		    libexec_override() != NULL
			? "correct or unset " LIBEXEC_VARIABLE
			: "install libtls-proxy, or set " LIBEXEC_VARIABLE);
		break;
	case EACCES:
		(void)snprintf(text, size,
		    " (let user %lu execute it: mode, directories, noexec)",
		    (unsigned long)geteuid());
		break;
	case ELIBBAD:
	case ENOEXEC:
		(void)snprintf(text, size,
		    " (no program of this system: install libtls-proxy again)");
		break;
	/* What a program's own limits and filters give. */
	case EAGAIN:
	case EMFILE:
	case ENOSYS:
	case EPERM:
		(void)snprintf(text, size,
		    " (if the program restricts itself, set " START_VARIABLE
		    "=early)");
		break;
	}
}

static void
set_start_error(struct tls_error *error, int errnum, const char *what,
    const struct program *program)
{
	char path[4096], remedy[128];

	if (program_path(program, path, sizeof(path)) == -1)
		path[0] = '\0';
	set_remedy(remedy, sizeof(remedy), errnum, what);
	tls_error_set(error, 0, errnum, "failed to %s goproxy '%s'%s", what,
	    path, remedy);
}

/* For a goproxy that runs, but is not as it should be. */
static void
set_program_error(struct tls_error *error, const char *text)
{
	char path[4096];

	if (program_path(&proxy.goproxy, path, sizeof(path)) == -1)
		path[0] = '\0';
	tls_error_set(error, 0, 0, "goproxy '%s' %s", path, text);
}

/* What became of SSLKEYLOGFILE: the library prints nothing, but traces. */
static void
trace_keylog(const struct tlsp_note *note)
{
	char text[128];

	switch (note->what) {
	case TLSP_NOTE_NONE:
		return;
	case TLSP_NOTE_KEYLOG_ON:
		(void)snprintf(text, sizeof(text), "is written to");
		break;
	case TLSP_NOTE_KEYLOG_NOT_ALLOWED:
		(void)snprintf(text, sizeof(text),
		    "has no effect, not allowed on this system: %s",
		    strerror(note->errnum));
		break;
	case TLSP_NOTE_KEYLOG_NOT_OPENED:
		(void)snprintf(text, sizeof(text),
		    "has no effect, the file cannot be used: %s",
		    strerror(note->errnum));
		break;
	}
	tlsp_trace_text(KEYLOG_VARIABLE, text);
}

/* Starts goproxy; called with the mutex held. */
static int
start(struct tls_error *error)
{
	struct program *programs[] = { &proxy.supervisor, &proxy.goproxy };
	const char *when = secure_getenv(START_VARIABLE);
	const char *keylog = secure_getenv(KEYLOG_VARIABLE);
	char *variable = NULL;
	struct tlsp_note note;
	int pair[2] = { -1, -1 };
	const char *stage;
	char path[4096];
	size_t i;
	int rv = -1;

	if (when != NULL && *when != '\0' && strcmp(when, "early") != 0) {
		tls_error_set(error, 0, 0,
		    START_VARIABLE " is '%s', want 'early' or nothing", when);
		return -1;
	}
	if (tlsp_trace_problem() != NULL) {
		tls_error_set(error, 0, 0, "%s", tlsp_trace_problem());
		return -1;
	}
	for (i = 0; i < 2; i++) {
		if (program_open(programs[i]) == -1) {
			set_start_error(error, errno, "open", programs[i]);
			return -1;
		}
	}
	if (keylog != NULL && *keylog != '\0' &&
	    asprintf(&variable, KEYLOG_VARIABLE "=%s", keylog) == -1) {
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
		return -1;
	}
	if (tlsp_channel_pair(SOCK_SEQPACKET, pair) == -1) {
		tls_error_set(error, 0, errno,
		    "failed to create goproxy's control channel");
		goto err;
	}
	if (tlsp_platform_spawn(proxy.supervisor.handle.fd,
		proxy.goproxy.handle.fd, pair[1], variable, &note,
		&stage) == -1) {
		set_start_error(error, errno, "start",
		    strcmp(stage, "goproxy") == 0 ? &proxy.goproxy
						  : &proxy.supervisor);
		goto err;
	}
	tlsp_handle_set(&proxy.control, tlsp_fd_move_high(pair[0]));
	pair[0] = -1;
	rv = 0;
	if (program_path(&proxy.goproxy, path, sizeof(path)) == 0)
		tlsp_trace_text("started", path);
	trace_keylog(&note);

err:
	free(variable);
	tlsp_fd_close(&pair[0]);
	tlsp_fd_close(&pair[1]);
	return rv;
}

/*
 * Opens goproxy while the program still can: it may chroot, change its user
 * or give up the file system before it first asks for TLS. For programs that
 * also forbid exec, or whose limits leave goproxy no room, it can be started
 * as well. A failure is reported when goproxy is needed.
 */
__attribute__((constructor)) static void
load(void)
{
	struct tls_error error = { 0 };
	const char *when = secure_getenv(START_VARIABLE);
	int saved = errno;

	tlsp_trace_open();
	(void)program_open(&proxy.supervisor);
	(void)program_open(&proxy.goproxy);
	/* A child must not inherit the mutex locked by another thread. */
	(void)pthread_atfork(lock, unlock, unlock);
	if (when != NULL && strcmp(when, "early") == 0) {
		lock();
		(void)start(&error);
		unlock();
		tls_error_clear(&error);
	}
	errno = saved;
}

/*
 * For dlclose(3). The end of a program must not wait for what one of its
 * threads holds.
 */
__attribute__((destructor)) static void
unload(void)
{
	if (pthread_mutex_trylock(&proxy.mutex) != 0)
		return;
	tlsp_handle_close(&proxy.control);
	tlsp_handle_close(&proxy.supervisor.handle);
	tlsp_handle_close(&proxy.goproxy.handle);
	tlsp_trace_close();
	unlock();
}

/* Whether the other end of the socket is still there. */
static int
peer_alive(int fd)
{
	return fd != -1 && (tlsp_wait(fd, 0, tlsp_deadline_in(0)) &
			       (POLLHUP | POLLERR)) == 0;
}

/*
 * Sends a message without the reader's help: the other end is gone for good
 * where errno is EPIPE, ECONNRESET or EBADF.
 */
static int
send_message(int fd, unsigned int number, const void *message, const int *fds,
    size_t nfds)
{
	uint8_t buf[4096];
	size_t len;
	int rv;

	len = tlsp_wire_encode(buf, sizeof(buf), number, message);
	if (len == 0 || len > sizeof(buf)) {
		errno = EMSGSIZE;
		return -1;
	}
	rv = tlsp_channel_send(fd, buf, len, fds, nfds,
	    tlsp_deadline_in(TLSP_SEND_TIMEOUT));
	tlsp_trace_sent(fd, number, message, len, nfds, rv);
	tls_wipe(buf, len); /* it may have been a password */
	return rv;
}

/* Why there is no answer, as errno has it; NULL for trouble on this side. */
static const char *
answer_text(void)
{
	if (errno == ETIMEDOUT)
		return TLSP_NO_ANSWER;
	if (errno == EPIPE || errno == ECONNRESET || errno == EBADF)
		return "goproxy has ended unexpectedly";
	return NULL;
}

static void
set_answer_error(struct tls_error *error)
{
	const char *text = answer_text();

	if (text != NULL)
		tls_error_set(error, 0, 0, "%s", text);
	else
		tls_error_set(error, 0, errno, "failed to reach goproxy");
}

/*
 * Sends a request with descriptors and, as the last of them, a reply channel,
 * and waits for the reply. Returns 0, or -1 with errno as
 * tlsp_channel_reply().
 */
static int
request(int fd, unsigned int number, const void *message, const int *fds,
    size_t nfds, void *reply, uint8_t *buf, size_t size, int timeout)
{
	int all[TLSP_WIRE_FDS_MAX];
	int pair[2] = { -1, -1 };
	unsigned int version;
	int rv = -1;

	if (tlsp_channel_pair(SOCK_SEQPACKET, pair) == -1)
		return -1;
	if (nfds > 0)
		memcpy(all, fds, nfds * sizeof(*fds));
	all[nfds] = pair[1];
	if (send_message(fd, number, message, all, nfds + 1) == -1)
		goto err;
	/* Where goproxy dies the channel ends instead. */
	tlsp_fd_close(&pair[1]);
	rv = tlsp_channel_reply(pair[0], number | 0x80, reply, buf, size,
	    &version, tlsp_deadline_in(timeout));

err:
	tlsp_fd_close(&pair[0]);
	tlsp_fd_close(&pair[1]);
	return rv;
}

/* As request(), and sets *error. */
static int
ask(int fd, unsigned int number, const void *message, const int *fds,
    size_t nfds, void *reply, uint8_t *buf, size_t size, int timeout,
    struct tls_error *error)
{
	int rv;

	rv = request(fd, number, message, fds, nfds, reply, buf, size, timeout);
	if (rv == -1)
		set_answer_error(error);
	return rv;
}

/* Returns -1 with *error set where the reply has an error. */
static int
set_reply_error(struct tls_error *error, const struct tlsp_string *text)
{
	if (text->len == 0)
		return 0;
	tls_error_set(error, 0, 0, "%.*s", (int)text->len,
	    (const char *)text->data);
	return -1;
}

/* The control channel, of a goproxy that is started if there is none. */
static int
control(struct tlsp_handle *handle, struct tls_error *error)
{
	int rv = 0;

	lock();
	if (!peer_alive(tlsp_handle_fd(&proxy.control))) {
		tlsp_handle_close(&proxy.control);
		rv = start(error);
	}
	*handle = proxy.control;
	unlock();
	return rv;
}

int
tlsp_info(struct tlsp_info_reply *reply, uint8_t buf[TLSP_REPLY_MAX],
    const char **errstr)
{
	struct tlsp_info info = { 0 };
	struct tlsp_handle handle;

	lock();
	handle = proxy.control;
	unlock();
	if (!peer_alive(tlsp_handle_fd(&handle))) {
		*errstr = "goproxy is not running";
		return -1;
	}
	if (request(handle.fd, TLSP_INFO, &info, NULL, 0, reply, buf,
		TLSP_REPLY_MAX, TLSP_ANSWER_TIMEOUT) == -1) {
		if ((*errstr = answer_text()) == NULL)
			*errstr = "failed to reach goproxy";
		return -1;
	}
	return 0;
}

/* Forgets a goproxy that has died, unless another thread has replaced it. */
static void
forget_control(const struct tlsp_handle *handle)
{
	lock();
	if (proxy.control.dev == handle->dev &&
	    proxy.control.ino == handle->ino)
		tlsp_handle_close(&proxy.control);
	unlock();
}

/* Opens a draft. Returns 0, -1 with *error set, or 1 if goproxy has died. */
static int
hello(struct tlsp_handle *draft, struct tls_error *error)
{
	struct tlsp_hello message = { 0 };
	struct tlsp_hello_reply reply;
	struct tlsp_handle handle;
	uint8_t buf[TLSP_REPLY_MAX];
	int pair[2] = { -1, -1 };
	unsigned int version = 0;
	int rv = -1;

	if (control(&handle, error) == -1)
		return -1;
	if (tlsp_channel_pair(SOCK_SEQPACKET, pair) == -1) {
		tls_error_set(error, 0, errno,
		    "failed to create a channel to goproxy");
		return -1;
	}
	rv = send_message(handle.fd, TLSP_HELLO, &message, &pair[1], 1);
	if (rv == 0) {
		tlsp_fd_close(&pair[1]);
		rv = tlsp_channel_reply(pair[0], TLSP_HELLO_REPLY, &reply, buf,
		    sizeof(buf), &version,
		    tlsp_deadline_in(TLSP_ANSWER_TIMEOUT));
	}
	if (rv == 0) {
		tlsp_handle_set(draft, tlsp_fd_move_high(pair[0]));
		pair[0] = -1;
	} else if (errno == EPIPE || errno == ECONNRESET) {
		/* The control channel may seem alive for a moment yet. */
		forget_control(&handle);
		rv = 1;
	} else if (version != 0 && version != TLSP_WIRE_VERSION) {
		char text[256];

		/* It is of no use to this library. */
		forget_control(&handle);
		(void)snprintf(text, sizeof(text),
		    "speaks protocol version %u, but the library (libtls-proxy "
		    "%s) version %u: install both from one release",
		    version, TLSP_VERSION, TLSP_WIRE_VERSION);
		set_program_error(error, text);
	} else
		set_answer_error(error);
	tlsp_fd_close(&pair[0]);
	tlsp_fd_close(&pair[1]);
	return rv;
}

int
tlsp_draft_open(struct tlsp_handle *draft, struct tls_error *error)
{
	int rv;

	if ((rv = hello(draft, error)) == 1 &&
	    (rv = hello(draft, error)) == 1) {
		set_program_error(error,
		    "ends as soon as it starts: run it with --self-test");
		rv = -1;
	}
	return rv;
}

int
tlsp_draft_alive(const struct tlsp_handle *draft)
{
	return peer_alive(tlsp_handle_fd(draft));
}

int
tlsp_draft_add_key(const struct tlsp_handle *draft, int key_fd, uint32_t *slot,
    struct tls_error *error)
{
	struct tlsp_add_key add_key = { 0 };
	struct tlsp_add_key_reply reply;
	uint8_t buf[TLSP_REPLY_MAX];

	if (ask(tlsp_handle_fd(draft), TLSP_ADD_KEY, &add_key, &key_fd, 1,
		&reply, buf, sizeof(buf), TLSP_ANSWER_TIMEOUT, error) == -1 ||
	    set_reply_error(error, &reply.error) == -1)
		return -1;
	*slot = reply.slot;
	return 0;
}

int
tlsp_draft_check_cert(const struct tlsp_handle *draft, int cert_fd,
    struct tls_error *error)
{
	struct tlsp_check_cert check_cert = { 0 };
	struct tlsp_check_cert_reply reply;
	uint8_t buf[TLSP_REPLY_MAX];

	if (ask(tlsp_handle_fd(draft), TLSP_CHECK_CERT, &check_cert, &cert_fd,
		1, &reply, buf, sizeof(buf), TLSP_ANSWER_TIMEOUT, error) == -1)
		return -1;
	return set_reply_error(error, &reply.error);
}

int
tlsp_draft_decrypt_key(const struct tlsp_handle *draft, int key_fd,
    const char *password, uint8_t **key, size_t *len, struct tls_error *error)
{
	struct tlsp_decrypt_key decrypt_key = { tlsp_string(password), 0 };
	struct tlsp_decrypt_key_reply reply;
	uint8_t *buf;
	int rv = -1;

	if ((buf = malloc(TLSP_WIRE_MESSAGE_MAX)) == NULL) {
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
		return -1;
	}
	if (ask(tlsp_handle_fd(draft), TLSP_DECRYPT_KEY, &decrypt_key, &key_fd,
		1, &reply, buf, TLSP_WIRE_MESSAGE_MAX, TLSP_ANSWER_TIMEOUT,
		error) == -1 ||
	    set_reply_error(error, &reply.error) == -1)
		goto err;
	*key = NULL;
	rv = tls_set_mem(key, len, reply.key.data, reply.key.len);

err:
	tls_wipe(buf, TLSP_WIRE_MESSAGE_MAX);
	free(buf);
	return rv;
}

int
tlsp_draft_add_signer(const struct tlsp_handle *draft, int cert_fd, int key_fd,
    char **hash, uint32_t *slot, struct tls_error *error)
{
	struct tlsp_add_signer add_signer = { 0 };
	struct tlsp_add_signer_reply reply;
	const int fds[] = { cert_fd, key_fd };
	uint8_t buf[TLSP_REPLY_MAX];

	if (ask(tlsp_handle_fd(draft), TLSP_ADD_SIGNER, &add_signer, fds, 2,
		&reply, buf, sizeof(buf), TLSP_ANSWER_TIMEOUT, error) == -1 ||
	    set_reply_error(error, &reply.error) == -1)
		return -1;
	if ((*hash = strndup(reply.hash.data, reply.hash.len)) == NULL) {
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
		return -1;
	}
	*slot = reply.slot;
	return 0;
}

int
tlsp_draft_sign_raw(const struct tlsp_handle *draft,
    const struct tlsp_sign_raw *sign_raw, uint8_t **signature, size_t *len,
    struct tls_error *error)
{
	struct tlsp_sign_raw_reply reply;
	uint8_t buf[TLSP_REPLY_MAX];

	if (ask(tlsp_handle_fd(draft), TLSP_SIGN_RAW, sign_raw, NULL, 0, &reply,
		buf, sizeof(buf), TLSP_ANSWER_TIMEOUT, error) == -1 ||
	    set_reply_error(error, &reply.error) == -1)
		return -1;
	*signature = NULL;
	if (tls_set_mem(signature, len, reply.signature.data,
		reply.signature.len) == -1) {
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
		return -1;
	}
	return 0;
}

int
tlsp_draft_attach_key(const struct tlsp_handle *draft, uint32_t config,
    int cert_fd, int key_fd, uint32_t *slot, struct tls_error *error)
{
	struct tlsp_attach_key attach_key = { .config = config };
	struct tlsp_attach_key_reply reply;
	const int fds[] = { cert_fd, key_fd };
	uint8_t buf[TLSP_REPLY_MAX];

	if (ask(tlsp_handle_fd(draft), TLSP_ATTACH_KEY, &attach_key, fds, 2,
		&reply, buf, sizeof(buf), TLSP_ANSWER_TIMEOUT, error) == -1 ||
	    set_reply_error(error, &reply.error) == -1)
		return -1;
	*slot = reply.slot;
	return 0;
}

void
tlsp_draft_drop_key(const struct tlsp_handle *draft, uint32_t slot)
{
	struct tlsp_drop_key drop_key = { .slot = slot };
	int fd = tlsp_handle_fd(draft);

	/* Where this fails the keeper has gone, and the key with it. */
	if (fd != -1)
		(void)send_message(fd, TLSP_DROP_KEY, &drop_key, NULL, 0);
}

/* Takes fd over once there is a channel. */
static struct tlsp_config_channel *
config_channel_new(int fd, enum tlsp_isolation isolation, int asks,
    struct tls_error *error)
{
	struct tlsp_config_channel *channel;

	channel = calloc(1, sizeof(*channel));
	if (channel == NULL) {
		tls_error_set(error, TLS_ERROR_OUT_OF_MEMORY, 0,
		    "out of memory");
		return NULL;
	}
	tlsp_handle_set(&channel->handle, tlsp_fd_move_high(fd));
	channel->isolation = isolation;
	channel->asks = asks;
	channel->refcount = 1;
	return channel;
}

struct tlsp_config_channel *
tlsp_draft_commit(const struct tlsp_handle *draft, const uint8_t *document,
    size_t len, enum tlsp_isolation isolation, int asks,
    struct tls_error *error)
{
	struct tlsp_config_channel *channel = NULL;
	struct tlsp_commit commit = { .isolation = (uint8_t)isolation };
	struct tlsp_commit_reply reply;
	uint8_t buf[TLSP_REPLY_MAX];
	int pair[2] = { -1, -1 };
	int fds[2] = { -1, -1 };
	unsigned int version;

	if ((fds[0] = tlsp_memory_fd(document, len)) == -1 ||
	    tlsp_channel_pair(SOCK_SEQPACKET, pair) == -1) {
		tls_error_set(error, 0, errno,
		    "failed to create a channel to goproxy");
		goto err;
	}
	fds[1] = pair[1];
	if (send_message(tlsp_handle_fd(draft), TLSP_COMMIT, &commit, fds, 2) ==
	    -1) {
		set_answer_error(error);
		goto err;
	}
	tlsp_fd_close(&fds[0]);
	tlsp_fd_close(&pair[1]);
	if (tlsp_channel_reply(pair[0], TLSP_COMMIT_REPLY, &reply, buf,
		sizeof(buf), &version,
		tlsp_deadline_in(COMMIT_TIMEOUT_MS)) == -1) {
		set_answer_error(error);
		goto err;
	}
	if (set_reply_error(error, &reply.error) == -1)
		goto err;
	channel = config_channel_new(pair[0], isolation, asks, error);
	if (channel != NULL)
		pair[0] = -1;

err:
	tlsp_fd_close(&fds[0]);
	tlsp_fd_close(&pair[0]);
	tlsp_fd_close(&pair[1]);
	return channel;
}

struct tlsp_config_channel *
tlsp_config_channel_open(struct tlsp_config_channel *channel,
    struct tls_error *error)
{
	struct tlsp_config_channel *opened = NULL;
	struct tlsp_open message = { 0 };
	int pair[2] = { -1, -1 };

	if (channel->isolation != TLSP_ISOLATION_CONNECTION) {
		tlsp_config_channel_ref(channel);
		return channel;
	}
	if (tlsp_channel_pair(SOCK_SEQPACKET, pair) == -1) {
		tls_error_set(error, 0, errno,
		    "failed to create a channel to goproxy");
		return NULL;
	}
	if (send_message(tlsp_handle_fd(&channel->handle), TLSP_OPEN, &message,
		&pair[1], 1) == -1)
		set_answer_error(error);
	else
		/* Nobody opens others on it. */
		opened = config_channel_new(pair[0], TLSP_ISOLATION_CONFIG,
		    channel->asks, error);
	if (opened != NULL)
		pair[0] = -1;
	tlsp_fd_close(&pair[0]);
	tlsp_fd_close(&pair[1]);
	return opened;
}

int
tlsp_config_channel_update(const struct tlsp_config_channel *channel,
    const uint8_t *document, size_t len, struct tls_error *error)
{
	struct tlsp_update update = { 0 };
	int fd, rv;

	if ((fd = tlsp_memory_fd(document, len)) == -1) {
		tls_error_set(error, 0, errno,
		    "failed to create a channel to goproxy");
		return -1;
	}
	rv = send_message(tlsp_handle_fd(&channel->handle), TLSP_UPDATE,
	    &update, &fd, 1);
	if (rv == -1)
		set_answer_error(error);
	tlsp_fd_close(&fd);
	return rv;
}

int
tlsp_memory_fd(const void *buf, size_t len)
{
	return tlsp_platform_memory_fd(buf, len);
}

void
tlsp_config_channel_ref(struct tlsp_config_channel *channel)
{
	atomic_fetch_add(&channel->refcount, 1);
}

void
tlsp_config_channel_unref(struct tlsp_config_channel *channel)
{
	if (channel == NULL || atomic_fetch_sub(&channel->refcount, 1) > 1)
		return;
	tlsp_handle_close(&channel->handle);
	free(channel);
}

int
tlsp_config_channel_asks(const struct tlsp_config_channel *channel)
{
	return channel->asks;
}

int
tlsp_config_channel_alive(const struct tlsp_config_channel *channel)
{
	return peer_alive(tlsp_handle_fd(&channel->handle));
}

int
tlsp_connection_start(const struct tlsp_config_channel *channel,
    unsigned int number, const void *message, const int *fds, size_t nfds,
    struct tls_error *error)
{
	if (send_message(tlsp_handle_fd(&channel->handle), number, message, fds,
		nfds) == -1) {
		set_answer_error(error);
		return -1;
	}
	return 0;
}

enum tlsp_ending
tlsp_connection_status(const struct tlsp_config_channel *channel,
    uint64_t connection, int limit_ms, struct tls_error *error)
{
	struct tlsp_status status = { .connection = connection };
	struct tlsp_status_reply reply;
	uint8_t buf[TLSP_REPLY_MAX];

	tls_error_clear(error);
	if (ask(tlsp_handle_fd(&channel->handle), TLSP_STATUS, &status, NULL, 0,
		&reply, buf, sizeof(buf), limit_ms, error) == -1)
		return TLSP_ENDING_UNKNOWN;
	(void)set_reply_error(error, &reply.error);
	if (reply.ending == TLSP_ENDING_UNKNOWN ||
	    reply.ending > TLSP_ENDING_FAILED) {
		/* Another worker has answered. */
		tls_error_set(error, 0, 0, TLSP_WORKER_ENDED);
		return TLSP_ENDING_UNKNOWN;
	}
	return (enum tlsp_ending)reply.ending;
}

int
tlsp_connection_ocsp(const struct tlsp_config_channel *channel,
    uint64_t connection, const void *response, size_t len,
    struct tlsp_ocsp_reply *reply, uint8_t buf[TLSP_REPLY_MAX],
    struct tls_error *error)
{
	struct tlsp_ocsp ocsp = { .connection = connection };
	int fd, rv;

	if ((fd = tlsp_memory_fd(response, len)) == -1) {
		tls_error_set(error, 0, errno,
		    "failed to create a channel to goproxy");
		return -1;
	}
	rv = ask(tlsp_handle_fd(&channel->handle), TLSP_OCSP, &ocsp, &fd, 1,
	    reply, buf, TLSP_REPLY_MAX, TLSP_ANSWER_TIMEOUT, error);
	tlsp_fd_close(&fd);
	return rv;
}
