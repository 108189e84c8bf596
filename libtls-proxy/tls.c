/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tls_internal.h"
#include "trace.h"

/*
 * How long a call may wait for goproxy to say how a connection ended: a call
 * on a non-blocking descriptor must not hang because the worker is stopped.
 * Where the data channel is gone in both directions the worker may have died;
 * its successor then answers as soon as it runs, within some 10 milliseconds
 * unless workers die one after another.
 */
#define STATUS_LIMIT_MS	     1000
#define STATUS_LIMIT_GONE_MS 250

/* So many a program shall have left before reading on is prepared for. */
#define DESCRIPTOR_RESERVE 16

/* Bounds of the wait for a caller that does not poll, in microseconds. */
#define IDLE_WAIT_MIN 16
#define IDLE_WAIT_MAX 1000

const char *
tls_proxy_version(void)
{
	return TLSP_VERSION;
}

int
tls_init(void)
{
	return 0;
}

/* Errors. */

/* Threads that accept on one server context may fail at the same time. */
static void
error_replace(struct tls_error *error, char *msg, int code, int errnum)
{
	free(__atomic_exchange_n(&error->msg, msg, __ATOMIC_ACQ_REL));
	__atomic_store_n(&error->code, code, __ATOMIC_RELAXED);
	__atomic_store_n(&error->errno_value, errnum, __ATOMIC_RELAXED);
}

void
tls_error_clear(struct tls_error *error)
{
	error_replace(error, NULL, 0, 0);
}

void
tls_error_set(struct tls_error *error, int code, int errnum, const char *fmt,
    ...)
{
	char *msg = NULL, *full = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&msg, fmt, ap) == -1)
		msg = NULL;
	va_end(ap);
	if (msg != NULL && errnum != 0) {
		if (asprintf(&full, "%s: %s", msg, strerror(errnum)) == -1)
			full = NULL;
		free(msg);
		msg = full;
	}
	if (msg != NULL)
		tlsp_trace_text("error", msg);
	error_replace(error, msg, code, errnum);
}

/* The calling thread's error; what the other one's holds may go any time. */
static struct tls_error *
own_error(struct tls *ctx)
{
	const pthread_t self = pthread_self();

	return ctx->writer == self && ctx->reader != self ? &ctx->write_error
							  : &ctx->error;
}

/* A thread whose own calls went well may ask about what another one's met. */
static const struct tls_error *
last_error(struct tls *ctx)
{
	const struct tls_error *own = own_error(ctx);

	return own->msg != NULL		      ? own
	       : ctx->write_error.msg != NULL ? &ctx->write_error
					      : &ctx->error;
}

const char *
tls_error(struct tls *ctx)
{
	return ctx == NULL ? NULL : last_error(ctx)->msg;
}

int
tls_error_code(struct tls *ctx)
{
	return ctx == NULL ? TLS_ERROR_UNKNOWN : last_error(ctx)->code;
}

/* Life of a context. */

struct tls *
tls_new(uint32_t flags)
{
	static const struct tlsp_handle none = TLSP_HANDLE_NONE;
	struct tls *ctx;

	if ((ctx = calloc(1, sizeof(*ctx))) == NULL)
		return NULL;
	ctx->flags = flags;
	ctx->fd_in = ctx->fd_out = ctx->rest = none;
	return ctx;
}

/* Lets go of the configuration and its channel. */
static void
forget_config(struct tls *ctx)
{
	if ((ctx->flags & TLS_SERVER) != 0 && ctx->config != NULL)
		tls_config_remove_server(ctx->config, ctx);
	free(ctx->pairs);
	ctx->pairs = NULL;
	tlsp_config_channel_unref(ctx->channel);
	ctx->channel = NULL;
	tls_config_free(ctx->config);
	ctx->config = NULL;
}

int
tls_configure(struct tls *ctx, struct tls_config *config)
{
	struct tlsp_config_channel *channel;
	const struct tls_keypair **pairs = NULL;

	config = config == NULL ? tls_config_new() : tls_config_ref(config);
	if (config == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
		return -1;
	}
	if ((ctx->flags & TLS_SERVER) == 0) {
		/* A connection that is open needs the channel that it has. */
		tls_config_free(ctx->config);
		ctx->config = config;
		return 0;
	}
	channel =
	    tls_config_commit(config, TLSP_ROLE_SERVER, &pairs, &ctx->error);
	/* A live server goes on with what it had. */
	if (channel == NULL && ctx->channel != NULL) {
		tls_config_free(config);
		return -1;
	}
	forget_config(ctx);
	ctx->config = config;
	ctx->channel = channel;
	ctx->pairs = pairs;
	if (channel == NULL)
		return -1;
	tls_config_add_server(config, ctx);
	return 0;
}

static void
frame_clear(struct tls *ctx)
{
	tlsp_fds_close(ctx->frame_fds, ctx->frame_nfds);
	free(ctx->frame);
	ctx->frame = NULL;
	ctx->frame_len = 0;
	ctx->frame_size = 0;
	ctx->frame_nfds = 0;
}

void
tls_connection_clear(struct tls *ctx)
{
	frame_clear(ctx);
	tls_requests_part(ctx);
	tls_engine_free(ctx);
	tlsp_handle_close(&ctx->rest);
	tls_conninfo_free(ctx->conninfo);
	ctx->conninfo = NULL;
	free(ctx->failure);
	ctx->failure = NULL;
	ctx->ending = TLSP_ENDING_UNKNOWN;
	free(ctx->close_failure);
	ctx->close_failure = NULL;
	ctx->fd_in.fd = ctx->fd_out.fd = -1;
	ctx->owns_socket = 0;
	ctx->idle_calls = 0;
	ctx->state = 0;
}

void
tls_reset(struct tls *ctx)
{
	if (tls_engine_defer(ctx, TLS_DEFERRED_RESET))
		return;
	tls_connection_clear(ctx);
	tls_requests_leave(ctx);
	forget_config(ctx);
	free(ctx->servername);
	ctx->servername = NULL;
	ctx->reader = ctx->writer = 0;
	tls_error_clear(&ctx->error);
	tls_error_clear(&ctx->write_error);
}

void
tls_free(struct tls *ctx)
{
	if (ctx == NULL || tls_engine_defer(ctx, TLS_DEFERRED_FREE))
		return;
	tls_reset(ctx);
	free(ctx);
}

/* Descriptors. */

static int
is_nonblocking(int fd)
{
	int flags = fcntl(fd, F_GETFL);

	return flags != -1 && (flags & O_NONBLOCK) != 0;
}

/*
 * Makes calls on one descriptor block as long as they did on another. A new
 * one has no time-outs yet.
 */
static void
copy_blocking(int from, int to, int is_new)
{
	static const int names[] = { SO_RCVTIMEO, SO_SNDTIMEO };
	struct timeval timeout;
	socklen_t len;
	size_t i;
	int flags;

	flags = fcntl(to, F_GETFL);
	if (flags != -1 && is_nonblocking(from) != ((flags & O_NONBLOCK) != 0))
		(void)fcntl(to, F_SETFL, flags ^ O_NONBLOCK);
	/* Fails for pipes, which have no such options. */
	for (i = 0; i < 2; i++) {
		len = sizeof(timeout);
		if (getsockopt(from, SOL_SOCKET, names[i], &timeout, &len) ==
			0 &&
		    !(is_new && timeout.tv_sec == 0 && timeout.tv_usec == 0))
			(void)setsockopt(to, SOL_SOCKET, names[i], &timeout,
			    len);
	}
}

/* Puts a file on the application's number, which keeps its FD_CLOEXEC. */
static int
replace(int fd, int number)
{
	int flags, rv;

	if ((flags = fcntl(number, F_GETFD)) == -1)
		return -1;
	do
		rv = dup3(fd, number, flags & FD_CLOEXEC ? O_CLOEXEC : 0);
	while (rv == -1 && (errno == EINTR || errno == EBUSY));
	return rv == -1 ? -1 : 0;
}

int
tls_session_fd(struct tls *ctx, int *session_fd)
{
	struct stat sb;

	*session_fd =
	    (ctx->flags & TLS_CLIENT) != 0 ? ctx->config->session_fd : -1;
	return *session_fd == -1
		   ? 0
		   : tls_config_check_session_fd(*session_fd, &sb, &ctx->error);
}

int
tls_open_channel(struct tls *ctx)
{
	struct tlsp_config_channel *channel;

	channel = tlsp_config_channel_open(ctx->channel, &ctx->error);
	if (channel == NULL)
		return -1;
	tlsp_config_channel_unref(ctx->channel);
	ctx->channel = channel;
	return 0;
}

/* Hands the descriptors over to goproxy. */
static int
start_proxy(struct tls *ctx, int fd_read, int fd_write)
{
	struct tlsp_start start = { 0 };
	int in[2] = { -1, -1 }, out[2] = { -1, -1 };
	int fds[6], rv = -1;
	size_t nfds = 0;
	int one = fd_read == fd_write;
	int session_fd, requests_fd = -1;

	if (tls_open_channel(ctx) == -1 ||
	    tls_session_fd(ctx, &session_fd) == -1)
		return -1;
	if (tlsp_channel_pair(SOCK_STREAM, in) == -1 ||
	    (!one && tlsp_channel_pair(SOCK_STREAM, out) == -1)) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN,
		    "failed to create a data channel");
		goto err;
	}
	copy_blocking(fd_read, in[0], 1);
	fds[nfds++] = fd_read;
	if (!one) {
		copy_blocking(fd_write, out[0], 1);
		fds[nfds++] = fd_write;
	}
	fds[nfds++] = in[1];
	if (!one)
		fds[nfds++] = out[1];
	if (session_fd != -1)
		fds[nfds++] = session_fd;
	if (tls_requests_join(ctx, &requests_fd) == -1)
		goto err;
	if (requests_fd != -1)
		fds[nfds++] = requests_fd;

	start.verify = tls_config_verify_flags(ctx->config);
	start.servername = tlsp_string(ctx->servername);
	if (tlsp_connection_start(ctx->channel, TLSP_START, &start, fds, nfds,
		&ctx->error) == -1)
		goto err;
	if (replace(in[0], fd_read) == -1 ||
	    (!one && replace(out[0], fd_write) == -1)) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN,
		    "failed to replace the descriptor");
		goto err;
	}
	tlsp_handle_note(&ctx->fd_in, fd_read);
	if (one)
		ctx->fd_out = ctx->fd_in;
	else
		tlsp_handle_note(&ctx->fd_out, fd_write);
	rv = 0;

err:
	tlsp_fd_close(&in[0]);
	tlsp_fd_close(&in[1]);
	tlsp_fd_close(&out[0]);
	tlsp_fd_close(&out[1]);
	tlsp_fd_close(&requests_fd);
	return rv;
}

/* goproxy takes stream sockets and pipes, these in their direction alone. */
static int
for_goproxy(int fd, int wrong_mode)
{
	struct stat sb;
	int type;
	socklen_t len = sizeof(type);

	if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0)
		return type == SOCK_STREAM;
	return fstat(fd, &sb) == 0 && S_ISFIFO(sb.st_mode) &&
	       (fcntl(fd, F_GETFL) & O_ACCMODE) != wrong_mode;
}

int
tls_start(struct tls *ctx, int fd_read, int fd_write)
{
	int transport, rv;

	tls_connection_clear(ctx);
	if (fcntl(fd_read, F_GETFD) == -1 ||
	    (fd_write != fd_read && fcntl(fd_write, F_GETFD) == -1)) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN,
		    "invalid file descriptors");
		return -1;
	}
	if ((transport = tls_transport(ctx)) == -1)
		return -1;
	if (!for_goproxy(fd_read, O_WRONLY) || !for_goproxy(fd_write, O_RDONLY))
		transport = TLS_TRANSPORT_APP;
	rv = transport == TLS_TRANSPORT_APP
		 ? tls_transport_start(ctx, fd_read, fd_write)
		 : start_proxy(ctx, fd_read, fd_write);
	if (rv == 0)
		ctx->state |= TLS_CONNECTED;
	return rv;
}

/*
 * Gives the application's numbers the network's descriptors back, as far as
 * they still are our channel. Takes fds over.
 */
static void
restore_network(struct tls *ctx, int *fds, size_t nfds)
{
	struct tlsp_handle *numbers[] = { &ctx->fd_in, &ctx->fd_out };
	const size_t wanted = ctx->fd_in.fd == ctx->fd_out.fd ? 1 : 2;
	size_t i;
	int number;

	for (i = 0; i < wanted && i < nfds; i++) {
		number = tlsp_handle_fd(numbers[i]);
		if (number == -1)
			continue;
		copy_blocking(number, fds[i], 0);
		if (replace(fds[i], number) == 0)
			tlsp_handle_note(numbers[i], number);
	}
	if (wanted == 1)
		ctx->fd_out = ctx->fd_in;
	tlsp_fds_close(fds, nfds);
}

/* Calls. */

/*
 * A caller that asks again and again instead of polling would keep the
 * processor from the worker that it waits for: from the second fruitless call
 * in a row on it waits a little. Returns 1 if there may be news, and leaves
 * errno alone.
 */
static int
idle(struct tls *ctx, int fd, short events)
{
	struct pollfd pfd = { .fd = fd, .events = events };
	struct timespec ts = { 0, 0 };
	unsigned int n = ctx->idle_calls++;
	int saved = errno, ready;

	if (n == 0)
		return 0;
	ts.tv_nsec =
	    n > 6 ? IDLE_WAIT_MAX * 1000L : (IDLE_WAIT_MIN << (n - 1)) * 1000L;
	ready = ppoll(&pfd, 1, &ts, NULL);
	errno = saved;
	return ready == 1;
}

static int
would_block(int errnum)
{
	return errnum == EAGAIN || errnum == EWOULDBLOCK;
}

/*
 * Asks the worker how the connection ended. *error says why a direction
 * failed, if one did.
 */
static enum tlsp_ending
ask_ending(struct tls *ctx, int gone, struct tls_error *error)
{
	return tlsp_connection_status(ctx->channel, ctx->connection,
	    gone ? STATUS_LIMIT_GONE_MS : STATUS_LIMIT_MS, error);
}

/* Whether both directions of a data channel are over, or its other end is. */
static int
is_over(int fd)
{
	return (tlsp_wait(fd, 0, tlsp_deadline_in(0)) & POLLHUP) != 0;
}

int
tls_set_failure(struct tls_error *error, const char *operation,
    const char *failure)
{
	tls_error_set(error, TLS_ERROR_UNKNOWN, 0, "%s failed: %s", operation,
	    failure == NULL ? "out of memory" : failure);
	return -1;
}

/* Reading has come to its end: 0 for an end of file, else -1. */
static int
read_ended(struct tls *ctx, int fd)
{
	struct tls_error error = { 0 };

	/*
	 * While the other direction is open this is the peer's own end, and
	 * whether with close_notify is what tls_close() will tell: a worker
	 * that computes for others is slow to answer.
	 */
	if (!is_over(fd)) {
		ctx->state |= TLS_EOF;
		return 0;
	}
	switch (ask_ending(ctx, 1, &error)) {
	case TLSP_ENDING_CLOSE_NOTIFY:
		ctx->state |= TLS_EOF;
		break;
	case TLSP_ENDING_OPEN: /* the application's own shutdown(2) */
	case TLSP_ENDING_EOF:
		ctx->state |= TLS_EOF | TLS_EOF_NO_CLOSE_NOTIFY;
		break;
	case TLSP_ENDING_FAILED:
	case TLSP_ENDING_UNKNOWN:
		ctx->state |= TLS_READ_FAILED;
		ctx->failure = error.msg; /* which is ours now */
		return tls_set_failure(&ctx->error, "read", ctx->failure);
	}
	tls_error_clear(&error);
	return 0;
}

/*
 * Sending on fd gave an error. Leaves the reading side alone, which may still
 * have data. Returns -1.
 */
static int
send_failed(struct tls *ctx, const char *operation, int fd)
{
	struct tls_error error = { 0 };
	int saved = errno;

	if (saved == EPIPE || saved == ECONNRESET)
		(void)ask_ending(ctx, is_over(fd), &error);
	if (error.msg != NULL)
		tls_set_failure(own_error(ctx), operation, error.msg);
	else
		tls_error_set(own_error(ctx), TLS_ERROR_UNKNOWN, saved,
		    "%s failed", operation);
	tls_error_clear(&error);
	return -1;
}

static int
set_malformed(struct tls *ctx)
{
	tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
	    "handshake failed: malformed message from goproxy");
	return -1;
}

/*
 * Reads the frame that the worker sends first, and no byte after it. Returns 0
 * when it is complete.
 */
static int
frame_read(struct tls *ctx)
{
	size_t wanted = 4, nfds;
	uint8_t *bigger;
	ssize_t n;

	for (;;) {
		if (ctx->frame_len >= 4) {
			wanted = tlsp_get_u32(ctx->frame);
			if (wanted > TLSP_WIRE_FRAME_MAX)
				return set_malformed(ctx);
			wanted += 4;
		}
		if (ctx->frame_len == wanted)
			return 0;
		if (wanted > ctx->frame_size) {
			bigger = realloc(ctx->frame, wanted);
			if (bigger == NULL) {
				tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY,
				    "out of memory");
				return -1;
			}
			ctx->frame = bigger;
			ctx->frame_size = wanted;
		}
		nfds = 2 - ctx->frame_nfds;
		n = tlsp_channel_recv(ctx->fd_in.fd,
		    ctx->frame + ctx->frame_len, wanted - ctx->frame_len,
		    ctx->frame_fds + ctx->frame_nfds, &nfds, 0);
		if (n == -1 && errno == EPROTO)
			return set_malformed(ctx);
		if (n == -1 && errno == EINTR)
			return TLS_WANT_POLLIN;
		if (n == -1 && would_block(errno)) {
			if (idle(ctx, ctx->fd_in.fd, POLLIN))
				continue;
			return TLS_WANT_POLLIN;
		}
		if (n == -1 && errno != ECONNRESET) {
			tls_set_error(ctx, TLS_ERROR_UNKNOWN,
			    "handshake failed");
			return -1;
		}
		if (n <= 0) {
			tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
			    "handshake failed: %s", TLSP_WORKER_ENDED);
			return -1;
		}
		ctx->idle_calls = 0;
		ctx->frame_len += (size_t)n;
		ctx->frame_nfds += nfds;
	}
}

static int
established(struct tls *ctx, const struct tlsp_established *facts)
{
	if ((ctx->conninfo = tls_conninfo_new(facts)) == NULL)
		goto err;
	/* A client knows its peer by the name that it asked for. */
	if (ctx->servername != NULL &&
	    tls_set_string(&ctx->conninfo->servername, ctx->servername) == -1)
		goto err;
	ctx->connection = facts->connection;
	return 0;

err:
	tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
	return -1;
}

/* Has the application sign, and sends the worker what it says. */
static int
sign_callback(struct tls *ctx, const struct tlsp_sign_callback *question)
{
	struct tlsp_sign_callback_reply reply = { 0 };
	const struct tls_config *config = ctx->config;
	uint8_t *signature = NULL, *frame = NULL;
	size_t len = 0, frame_len;
	char *hash;
	int fd, rv = -1;

	hash = strndup(question->hash.data, question->hash.len);
	if (hash == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
		return -1;
	}
	/* Without an answer the worker says why the handshake failed. */
	if (config->sign_cb != NULL &&
	    config->sign_cb(config->sign_arg, hash, question->input.data,
		question->input.len, question->padding, &signature,
		&len) == 0 &&
	    len <= TLSP_WIRE_MESSAGE_MAX / 2) {
		reply.signature.data = signature;
		reply.signature.len = signature == NULL ? 0 : len;
	}
	frame_len = tlsp_wire_encode(NULL, 0, TLSP_SIGN_CALLBACK_REPLY, &reply);
	if ((frame = malloc(4 + frame_len)) == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
		goto err;
	}
	tlsp_put_u32(frame, (uint32_t)frame_len);
	tlsp_wire_encode(frame + 4, frame_len, TLSP_SIGN_CALLBACK_REPLY,
	    &reply);
	fd = ctx->engine != NULL ? tls_engine_channel(ctx) : ctx->fd_in.fd;
	/* The worker has read all that was sent before: there is room. */
	rv = tlsp_channel_send(fd, frame, 4 + frame_len, NULL, 0,
	    tlsp_deadline_in(0));
	tlsp_trace_sent(fd, TLSP_SIGN_CALLBACK_REPLY, &reply, frame_len, 0, rv);
	if (rv == -1)
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "handshake failed");

err:
	free(hash);
	free(signature);
	free(frame);
	return rv;
}

static int
failed(struct tls *ctx, const struct tlsp_failed *message)
{
	/* The network's descriptors come back, if goproxy had them. */
	if ((ctx->frame_nfds > 0) != (ctx->engine == NULL))
		return set_malformed(ctx);
	tls_set_errorx(ctx, TLS_ERROR_UNKNOWN, "%.*s", (int)message->error.len,
	    (const char *)message->error.data);
	restore_network(ctx, ctx->frame_fds, ctx->frame_nfds);
	ctx->frame_nfds = 0;
	return -1;
}

int
tls_frame(struct tls *ctx, const uint8_t *message, size_t len)
{
	union {
		struct tlsp_established established;
		struct tlsp_sign_callback sign_callback;
		struct tlsp_failed failed;
	} m;
	unsigned int version, number;

	if (tlsp_wire_header(message, len, &version, &number) == -1)
		return set_malformed(ctx);
	switch (number) {
	case TLSP_ESTABLISHED:
		if (tlsp_wire_decode(message, len, ctx->frame_nfds, number,
			&m.established) == 0)
			return established(ctx, &m.established);
		break;
	case TLSP_SIGN_CALLBACK:
		if (tlsp_wire_decode(message, len, ctx->frame_nfds, number,
			&m.sign_callback) == 0)
			return sign_callback(ctx, &m.sign_callback) == -1 ? -1
									  : 1;
		break;
	case TLSP_FAILED:
		if (tlsp_wire_decode(message, len, ctx->frame_nfds, number,
			&m.failed) == 0)
			return failed(ctx, &m.failed);
		break;
	}
	return set_malformed(ctx);
}

static int
handshake(struct tls *ctx)
{
	int rv;

	if ((ctx->flags & (TLS_CLIENT | TLS_SERVER_CONN)) == 0) {
		tls_set_errorx(ctx, TLS_ERROR_INVALID_CONTEXT,
		    "invalid operation for context");
		return -1;
	}
	if ((ctx->state & TLS_CONNECTED) == 0) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN, "context not connected");
		return -1;
	}
	if ((ctx->state & TLS_HANDSHAKE_COMPLETE) != 0) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "handshake already completed");
		return -1;
	}
	if ((ctx->state & TLS_HANDSHAKE_FAILED) != 0)
		return -1; /* with the error that is still there */
	if (ctx->engine != NULL)
		rv = tls_engine_handshake(ctx);
	else {
		while ((rv = frame_read(ctx)) == 0 &&
		       (rv = tls_frame(ctx, ctx->frame + 4,
			    ctx->frame_len - 4)) == 1)
			frame_clear(ctx);
	}
	if (rv == 0)
		ctx->state |= TLS_HANDSHAKE_COMPLETE;
	if (rv == -1)
		ctx->state |= TLS_HANDSHAKE_FAILED;
	if (rv == 0 || rv == -1) {
		frame_clear(ctx);
		tls_requests_part(ctx);
	}
	return rv;
}

/*
 * Begins a call of the thread whose is tls_error(). Fails where it is made by
 * a callback of the same connection.
 */
static int
enter(struct tls *ctx, _Atomic pthread_t *thread)
{
	*thread = pthread_self();
	/* A failed handshake's error is the one that every later call gives. */
	if ((ctx->state & TLS_HANDSHAKE_FAILED) == 0) {
		tls_error_clear(own_error(ctx));
		if (ctx->reader == ctx->writer)
			tls_error_clear(&ctx->write_error);
	}
	return tls_engine_refuse(ctx);
}

/* Ends it; the context may be gone then. */
static ssize_t
leave(struct tls *ctx, ssize_t rv)
{
	if (tls_engine_leave(ctx) == -1)
		rv = -1;
	errno = 0;
	return rv;
}

int
tls_handshake(struct tls *ctx)
{
	int rv;

	if ((rv = enter(ctx, &ctx->reader)) == 0)
		rv = handshake(ctx);
	return (int)leave(ctx, rv);
}

/* Sends the close mark with the reply channel's end. */
static int
send_close_mark(struct tls *ctx, int number, int reply)
{
	const uint8_t mark = TLSP_CLOSE;

	do {
		if (tlsp_channel_send(number, &mark, sizeof(mark), &reply, 1,
			TLSP_DEADLINE_OWN) == 0) {
			tlsp_trace_sent(number, TLSP_CLOSE, NULL, sizeof(mark),
			    1, 0);
			ctx->idle_calls = 0;
			return 0;
		}
		if (errno == EINTR)
			return TLS_WANT_POLLOUT;
	} while (would_block(errno) && idle(ctx, number, POLLOUT));
	if (would_block(errno))
		return TLS_WANT_POLLOUT;
	return send_failed(ctx, "shutdown", number);
}

/*
 * Sends the close mark and puts the reply channel on the application's number,
 * which so becomes readable when the worker has written out everything.
 */
static int
close_begin(struct tls *ctx)
{
	int pair[2] = { -1, -1 };
	int rest = -1, number, rv = -1;
	struct timeval timeout;
	socklen_t len = sizeof(timeout);

	number = tlsp_handle_fd(
	    (ctx->state & TLS_SHUT) != 0 ? &ctx->fd_in : &ctx->fd_out);
	if (number == -1) {
		errno = EBADF;
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "shutdown failed");
		return -1;
	}
	if (tlsp_channel_pair(SOCK_SEQPACKET, pair) == -1) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "shutdown failed");
		goto err;
	}
	if ((rv = send_close_mark(ctx, number, pair[1])) != 0)
		goto err;
	tlsp_fd_close(&pair[1]);
	/*
	 * The application waits on the number that it reads from. What is
	 * duplicated gets the number just closed: a program at its limit needs
	 * no more descriptors to close a connection than it took to open it.
	 */
	if (tlsp_handle_fd(&ctx->fd_in) == -1)
		ctx->fd_in = ctx->fd_out;
	else
		rest = fcntl(ctx->fd_in.fd, F_DUPFD_CLOEXEC, 3);
	copy_blocking(number, pair[0], 1);
	/* To the application this wait is one for a write. */
	if (getsockopt(number, SOL_SOCKET, SO_SNDTIMEO, &timeout, &len) == 0)
		(void)setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout,
		    len);
	len = sizeof(ctx->read_timeout);
	(void)getsockopt(ctx->fd_in.fd, SOL_SOCKET, SO_RCVTIMEO,
	    &ctx->read_timeout, &len);
	if (replace(pair[0], ctx->fd_in.fd) == -1) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "shutdown failed");
		rv = -1;
		goto err;
	}
	number = ctx->fd_in.fd;
	if (ctx->fd_out.fd == number)
		tlsp_handle_note(&ctx->fd_out, number);
	tlsp_handle_note(&ctx->fd_in, number);
	tlsp_handle_set(&ctx->rest, tlsp_fd_move_high(rest));
	rest = -1;
	ctx->state |= TLS_CLOSING | TLS_SHUT;

err:
	tlsp_fd_close(&rest);
	tlsp_fd_close(&pair[0]);
	tlsp_fd_close(&pair[1]);
	return rv;
}

/*
 * Whether this descriptor, which just got the lowest number that was free, was
 * one of the program's last.
 */
static int
is_one_of_the_last(int fd)
{
	struct rlimit limit;

	return getrlimit(RLIMIT_NOFILE, &limit) == 0 &&
	       (rlim_t)fd + DESCRIPTOR_RESERVE >= limit.rlim_cur;
}

/* Ends the data channel after tls_close(), unless something is in it. */
static void
drop_rest(struct tls *ctx)
{
	int unread;

	if (ctx->rest.fd == -1 ||
	    ioctl(ctx->rest.fd, FIONREAD, &unread) == -1 || unread == 0)
		tlsp_handle_close(&ctx->rest);
}

/* Waits for the worker's reply to the close mark. */
static int
close_finish(struct tls *ctx)
{
	struct tlsp_close_reply reply;
	uint8_t buf[TLSP_REPLY_MAX];
	int number = tlsp_handle_fd(&ctx->fd_in);
	int fds[2];
	size_t nfds;
	ssize_t n;

	if (number == -1) {
		errno = EBADF;
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "shutdown failed");
		return -1;
	}
	do {
		nfds = 2;
		n = tlsp_channel_recv(number, buf, sizeof(buf), fds, &nfds, 0);
		if (n == -1 && errno == EINTR)
			return TLS_WANT_POLLIN;
	} while (n == -1 && would_block(errno) && idle(ctx, number, POLLIN));
	if (n == -1 && would_block(errno))
		return TLS_WANT_POLLIN;
	ctx->state |= TLS_CLOSED;
	ctx->state &= ~(uint32_t)TLS_CLOSING;
	if (n == -1 && errno != EPROTO && errno != ECONNRESET) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "shutdown failed");
		return -1;
	}
	if (n == 0 || (n == -1 && errno == ECONNRESET)) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN, "shutdown failed: %s",
		    TLSP_WORKER_ENDED);
		return -1;
	}
	if (n == -1 || tlsp_wire_decode(buf, (size_t)n, nfds, TLSP_CLOSE_REPLY,
			   &reply) == -1) {
		tlsp_fds_close(fds, n == -1 ? 0 : nfds);
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "shutdown failed: malformed message from goproxy");
		return -1;
	}
	ctx->ending = (enum tlsp_ending)reply.ending;
	if (ctx->ending != TLSP_ENDING_OPEN || is_one_of_the_last(fds[0]))
		drop_rest(ctx);
	(void)setsockopt(number, SOL_SOCKET, SO_RCVTIMEO, &ctx->read_timeout,
	    sizeof(ctx->read_timeout));
	restore_network(ctx, fds, nfds);
	if ((ctx->state & TLS_EOF) != 0 &&
	    ctx->ending != TLSP_ENDING_CLOSE_NOTIFY)
		ctx->state |= TLS_EOF_NO_CLOSE_NOTIFY;
	if (reply.error.len > 0) {
		free(ctx->failure);
		ctx->failure = strndup(reply.error.data, reply.error.len);
		return tls_set_failure(&ctx->error, "shutdown", ctx->failure);
	}
	return 0;
}

/* What a second tls_close() is to say as well. */
static int
note_close(struct tls *ctx, int rv)
{
	/* Without memory for it that one succeeds. */
	if (rv == -1 && (ctx->state & TLS_CLOSED) != 0)
		(void)tls_set_string(&ctx->close_failure, ctx->error.msg);
	return rv;
}

/* Gives the worker the network again after tls_close(), to read on. */
static int
resume(struct tls *ctx)
{
	const uint8_t mark = TLSP_RESUME;
	const int rest = tlsp_handle_fd(&ctx->rest);
	const int fds[2] = { tlsp_handle_fd(&ctx->fd_in),
		tlsp_handle_fd(&ctx->fd_out) };
	const size_t nfds = ctx->fd_in.fd == ctx->fd_out.fd ? 1 : 2;

	if (rest == -1 || fds[0] == -1 || fds[1] == -1) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "read failed: connection is closed");
		return -1;
	}
	if (tlsp_channel_send(rest, &mark, sizeof(mark), fds, nfds,
		tlsp_deadline_in(0)) == -1)
		return send_failed(ctx, "read", rest);
	tlsp_trace_sent(rest, TLSP_RESUME, NULL, sizeof(mark), nfds, 0);
	copy_blocking(fds[0], rest, 0);
	if (replace(rest, fds[0]) == -1) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "read failed");
		return -1;
	}
	tlsp_handle_note(&ctx->fd_in, fds[0]);
	if (nfds == 1)
		ctx->fd_out = ctx->fd_in;
	tlsp_handle_close(&ctx->rest);
	ctx->state &= ~(uint32_t)TLS_CLOSED;
	return 0;
}

static ssize_t read_closed(struct tls *ctx, void *buf, size_t buflen);

static ssize_t
read_open(struct tls *ctx, void *buf, size_t buflen)
{
	int fd = ctx->fd_in.fd, rv;
	ssize_t n;

	do {
		n = recv(fd, buf, buflen, 0);
		if (n > 0) {
			ctx->idle_calls = 0;
			return n;
		}
		if (n == -1 && errno == EINTR)
			return TLS_WANT_POLLIN;
	} while (n == -1 && would_block(errno) && idle(ctx, fd, POLLIN));
	if (n == -1 && would_block(errno))
		return TLS_WANT_POLLIN;
	if (n == -1 && errno != ECONNRESET) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "read failed");
		return -1;
	}
	if ((ctx->state & TLS_SHUT) == 0 || is_over(fd))
		return read_ended(ctx, fd);
	/* Nothing is left to do, and the network comes back. */
	ctx->state |= TLS_RESUMED_EOF;
	rv = close_begin(ctx);
	return rv == 0 ? read_closed(ctx, buf, buflen) : rv;
}

/* Reads what the worker sent before it had done what tls_close() asks for. */
static ssize_t
read_rest(struct tls *ctx, void *buf, size_t buflen)
{
	const int rest = tlsp_handle_fd(&ctx->rest);

	return rest == -1 ? -1 : recv(rest, buf, buflen, MSG_DONTWAIT);
}

/*
 * After tls_close() first comes what had arrived before. Then the network goes
 * to the worker once more, unless the peer's data has come to its end.
 */
static ssize_t
read_closed(struct tls *ctx, void *buf, size_t buflen)
{
	ssize_t n;

	if ((n = read_rest(ctx, buf, buflen)) > 0)
		return n;
	if ((ctx->state & TLS_CLOSING) != 0) {
		n = note_close(ctx, close_finish(ctx));
		if (n != 0 && n != -1)
			return n;
		/* That something written was lost is for tls_close() to say. */
		tls_error_clear(&ctx->error);
		/* More may have come while that waited. */
		if ((n = read_rest(ctx, buf, buflen)) > 0)
			return n;
	}
	switch (ctx->ending) {
	case TLSP_ENDING_OPEN:
		if ((ctx->state & TLS_RESUMED_EOF) == 0)
			return resume(ctx) == -1 ? -1
						 : read_open(ctx, buf, buflen);
		/* The application's own shutdown(2). */
		ctx->state |= TLS_EOF | TLS_EOF_NO_CLOSE_NOTIFY;
		return 0;
	case TLSP_ENDING_CLOSE_NOTIFY:
		ctx->state |= TLS_EOF;
		return 0;
	case TLSP_ENDING_EOF:
		ctx->state |= TLS_EOF | TLS_EOF_NO_CLOSE_NOTIFY;
		return 0;
	default:
		ctx->state |= TLS_READ_FAILED;
		if (ctx->failure == NULL)
			ctx->failure = strdup(TLSP_WORKER_ENDED);
		return tls_set_failure(&ctx->error, "read", ctx->failure);
	}
}

static ssize_t
read_data(struct tls *ctx, void *buf, size_t buflen)
{
	if (buflen > INT_MAX) {
		tls_set_errorx(ctx, TLS_ERROR_INVALID_ARGUMENT,
		    "buflen too long");
		return -1;
	}
	if (ctx->engine != NULL)
		return tls_engine_read(ctx, buf, buflen);
	if ((ctx->state & TLS_READ_FAILED) != 0)
		return tls_set_failure(&ctx->error, "read", ctx->failure);
	if ((ctx->state & TLS_EOF) != 0 || buflen == 0)
		return 0;
	if ((ctx->state & (TLS_CLOSING | TLS_CLOSED)) != 0)
		return read_closed(ctx, buf, buflen);
	return read_open(ctx, buf, buflen);
}

ssize_t
tls_read(struct tls *ctx, void *buf, size_t buflen)
{
	ssize_t rv;

	rv = enter(ctx, &ctx->reader);
	if (rv == 0 && (ctx->state & TLS_HANDSHAKE_COMPLETE) == 0)
		rv = handshake(ctx);
	if (rv == 0)
		rv = read_data(ctx, buf, buflen);
	return leave(ctx, rv);
}

static ssize_t
write_data(struct tls *ctx, const void *buf, size_t buflen)
{
	int fd = ctx->fd_out.fd;
	ssize_t n;

	if (buflen > INT_MAX) {
		tls_error_set(own_error(ctx), TLS_ERROR_INVALID_ARGUMENT, 0,
		    "buflen too long");
		return -1;
	}
	if ((ctx->state & (TLS_CLOSING | TLS_CLOSED | TLS_SHUT)) != 0) {
		tls_error_set(own_error(ctx), TLS_ERROR_UNKNOWN, 0,
		    "write failed: error:1404C0CF:SSL routines:ST_OK:"
		    "protocol is shutdown");
		return -1;
	}
	if (buflen == 0)
		return 0;
	if (ctx->engine != NULL)
		return tls_engine_write(ctx, buf, buflen);
	do {
		n = send(fd, buf, buflen, MSG_NOSIGNAL);
		if (n > 0) {
			ctx->idle_calls = 0;
			return n;
		}
		if (n == -1 && errno == EINTR)
			return TLS_WANT_POLLOUT;
	} while (n == -1 && would_block(errno) && idle(ctx, fd, POLLOUT));
	if (would_block(errno))
		return TLS_WANT_POLLOUT;
	return send_failed(ctx, "write", fd);
}

ssize_t
tls_write(struct tls *ctx, const void *buf, size_t buflen)
{
	const int established = (ctx->state & TLS_HANDSHAKE_COMPLETE) != 0;
	ssize_t rv;

	/* A handshake is the business of one thread. */
	rv = enter(ctx, established ? &ctx->writer : &ctx->reader);
	if (rv == 0 && !established)
		rv = handshake(ctx);
	if (rv == 0)
		rv = write_data(ctx, buf, buflen);
	return leave(ctx, rv);
}

/* Ends the socket that tls_connect() made. */
static int
close_owned_socket(struct tls *ctx)
{
	int number = tlsp_handle_fd(&ctx->fd_in);
	int rv = 0;

	ctx->owns_socket = 0;
	if (number == -1)
		return 0;
	if (shutdown(number, SHUT_RDWR) == -1 && errno != ENOTCONN &&
	    errno != ECONNRESET) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "shutdown");
		rv = -1;
	}
	if (close(number) == -1) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN, "close");
		rv = -1;
	}
	ctx->fd_in.fd = ctx->fd_out.fd = -1;
	drop_rest(ctx);
	tls_engine_free(ctx);
	return rv;
}

static int
close_connection(struct tls *ctx)
{
	int rv = 0;

	if ((ctx->flags & (TLS_CLIENT | TLS_SERVER_CONN)) == 0) {
		tls_set_errorx(ctx, TLS_ERROR_INVALID_CONTEXT,
		    "invalid operation for context");
		return -1;
	}
	if ((ctx->state & TLS_HANDSHAKE_COMPLETE) != 0 &&
	    (ctx->state & TLS_CLOSED) == 0) {
		if (ctx->engine != NULL)
			rv = tls_engine_close(ctx);
		else if ((ctx->state & TLS_CLOSING) != 0 ||
			 (rv = close_begin(ctx)) == 0)
			rv = close_finish(ctx);
		if (note_close(ctx, rv) == TLS_WANT_POLLIN ||
		    rv == TLS_WANT_POLLOUT)
			return rv;
	} else if (ctx->engine != NULL &&
		   (ctx->state & TLS_HANDSHAKE_FAILED) != 0) {
		if ((rv = tls_engine_close(ctx)) != 0)
			return rv;
	} else if (ctx->close_failure != NULL) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN, "%s",
		    ctx->close_failure);
		rv = -1;
	}
	if (ctx->owns_socket && close_owned_socket(ctx) == -1)
		rv = -1;
	if (rv == 0 && (ctx->state & TLS_EOF_NO_CLOSE_NOTIFY) != 0) {
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "EOF without close notify");
		rv = -1;
	}
	return rv;
}

int
tls_close(struct tls *ctx)
{
	int rv;

	if ((rv = enter(ctx, &ctx->reader)) == 0)
		rv = close_connection(ctx);
	return (int)leave(ctx, rv);
}
