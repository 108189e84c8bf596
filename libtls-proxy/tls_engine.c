/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * A connection whose network is not goproxy's. The library reads whole records
 * through one callback and writes records through the other; an engine in the
 * worker turns them into plaintext and back. Each request is answered before
 * the next one is sent, so that only callbacks say TLS_WANT_*, or an answer
 * that a caller does not want to wait for.
 */

#include <sys/socket.h>
#include <sys/time.h>

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "tls_internal.h"
#include "trace.h"

/* A record is a header (type, version, length) and a body of that length. */
#define HEADER_SIZE 5
#define BODY_MAX    (16384 + 2048)
#define TYPE_FIRST  20
#define TYPE_LAST   24
#define VERSION_MAX 0x0f /* the first byte of it */

/* What comes at once: a chunk as records, and the answer. */
#define RECEIVE_SIZE (TLSP_WIRE_CHUNK_MAX + 4096)
/* From this size on data are not copied. */
#define TAKE_MIN 4096
/* What may wait to be written while reading goes on. */
#define OUTPUT_LIMIT (2 * TLSP_WIRE_CHUNK_MAX)
/* What may come for a request: more than the longest flight of a handshake. */
#define ANSWER_MAX (4 * TLSP_WIRE_FRAME_MAX)

/* Bytes in memory of their own, without those that were used already. */
struct chunk {
	uint8_t *mem; /* owned */
	size_t size;
	size_t at;
	size_t len;
};

struct tls_engine {
	struct tlsp_handle channel; /* the data channel, which is ours */
	tls_read_cb read_cb;
	tls_write_cb write_cb;
	void *cb_arg;
	int own;      /* the callbacks are the library's */
	int nonblock; /* does not wait for the engine */
	int asks;     /* the handshake may wait for the application */

	int calling; /* a callback runs */
	enum tls_deferred deferred;
	const char *dead; /* why nothing works any more; static */

	unsigned int asked; /* the request that is not answered, or 0 */
	size_t answered;    /* bytes that came for it */
	int established;
	struct chunk frames;	/* received, and not acted on */
	struct chunk plaintext; /* for tls_read() */
	struct chunk output;	/* for the write callback */
	size_t owed;		/* what tls_write() is to return */

	/* The record that is being read. */
	uint8_t header[HEADER_SIZE];
	uint8_t *body;
	size_t have; /* of header and body */
	uint8_t end; /* enum tlsp_input_end */

	int errnum; /* of a callback that failed */
	int write_failed;
	int write_errnum;
	char *write_failure; /* the text, once the engine has told it */
};

/* Chunks. */

static void
chunk_clear(struct chunk *c)
{
	free(c->mem);
	memset(c, 0, sizeof(*c));
}

static void
chunk_use(struct chunk *c, size_t n)
{
	c->at += n;
	c->len -= n;
	if (c->len == 0)
		chunk_clear(c);
}

/* Makes room for so many bytes after those that are there. */
static int
chunk_reserve(struct chunk *c, size_t more)
{
	uint8_t *mem;

	if (c->size - c->at - c->len >= more)
		return 0;
	if ((mem = malloc(c->len + more)) == NULL)
		return -1;
	if (c->len > 0)
		memcpy(mem, c->mem + c->at, c->len);
	free(c->mem);
	c->mem = mem;
	c->size = c->len + more;
	c->at = 0;
	return 0;
}

/*
 * Appends data of the first frame. Large data stay where they are: the chunk
 * takes the memory over, and what follows the frame moves. Returns 0, or -1
 * without memory.
 */
static int
chunk_take(struct chunk *c, struct chunk *frames, const struct tlsp_string *s,
    size_t frame)
{
	struct chunk rest = { 0 };

	if (s->len == 0)
		return 0;
	if (c->len > 0 || s->len < TAKE_MIN) {
		if (chunk_reserve(c, s->len) == -1)
			return -1;
		memcpy(c->mem + c->at + c->len, s->data, s->len);
		c->len += s->len;
		return 0;
	}
	rest.len = frames->len - frame;
	if (rest.len > 0) {
		rest.size = rest.len;
		if ((rest.mem = malloc(rest.size)) == NULL)
			return -1;
		memcpy(rest.mem, frames->mem + frames->at + frame, rest.len);
	}
	free(c->mem);
	*c = *frames;
	c->at = (size_t)((const uint8_t *)s->data - c->mem);
	c->len = s->len;
	*frames = rest;
	return 0;
}

/* Life. */

static int
start(struct tls *ctx, tls_read_cb read_cb, tls_write_cb write_cb, void *cb_arg,
    int own)
{
	static const struct timeval timeout = { TLSP_ANSWER_TIMEOUT / 1000, 0 };
	struct tlsp_engine message = { 0 };
	struct tls_engine *e = NULL;
	int pair[2] = { -1, -1 }, fds[3];
	size_t nfds = 0;
	int session_fd, requests_fd = -1;

	if (tls_open_channel(ctx) == -1 ||
	    tls_session_fd(ctx, &session_fd) == -1)
		return -1;
	if ((e = calloc(1, sizeof(*e))) == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_OUT_OF_MEMORY, "out of memory");
		return -1;
	}
	if (tlsp_channel_pair(SOCK_STREAM, pair) == -1 ||
	    setsockopt(pair[0], SOL_SOCKET, SO_RCVTIMEO, &timeout,
		sizeof(timeout)) == -1) {
		tls_set_error(ctx, TLS_ERROR_UNKNOWN,
		    "failed to create a data channel");
		goto err;
	}
	fds[nfds++] = pair[1];
	if (session_fd != -1)
		fds[nfds++] = session_fd;
	if (tls_requests_join(ctx, &requests_fd) == -1)
		goto err;
	if (requests_fd != -1)
		fds[nfds++] = requests_fd;
	message.verify = tls_config_verify_flags(ctx->config);
	message.servername = tlsp_string(ctx->servername);
	if (tlsp_connection_start(ctx->channel, TLSP_ENGINE, &message, fds,
		nfds, &ctx->error) == -1)
		goto err;
	tlsp_fd_close(&pair[1]);
	tlsp_handle_set(&e->channel, tlsp_fd_move_high(pair[0]));
	e->asked = TLSP_ENGINE;
	e->read_cb = read_cb;
	e->write_cb = write_cb;
	e->cb_arg = cb_arg;
	e->own = own;
	e->asks = requests_fd != -1;
	tlsp_fd_close(&requests_fd);
	ctx->engine = e;
	return 0;

err:
	tlsp_fd_close(&pair[0]);
	tlsp_fd_close(&pair[1]);
	tlsp_fd_close(&requests_fd);
	free(e);
	return -1;
}

int
tls_engine_start(struct tls *ctx, tls_read_cb read_cb, tls_write_cb write_cb,
    void *cb_arg)
{
	tls_connection_clear(ctx);
	if (read_cb == NULL || write_cb == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_INVALID_ARGUMENT,
		    "no callbacks specified");
		return -1;
	}
	if (start(ctx, read_cb, write_cb, cb_arg, 0) == -1)
		return -1;
	ctx->state |= TLS_CONNECTED;
	return 0;
}

int
tls_engine_start_own(struct tls *ctx, tls_read_cb read_cb,
    tls_write_cb write_cb, void *cb_arg)
{
	return start(ctx, read_cb, write_cb, cb_arg, 1);
}

static void
record_clear(struct tls_engine *e)
{
	free(e->body);
	e->body = NULL;
	e->have = 0;
	e->end = TLSP_INPUT_RECORD;
}

void
tls_engine_free(struct tls *ctx)
{
	struct tls_engine *e = ctx->engine;

	if (e == NULL)
		return;
	tlsp_handle_close(&e->channel);
	chunk_clear(&e->frames);
	chunk_clear(&e->plaintext);
	chunk_clear(&e->output);
	record_clear(e);
	free(e->write_failure);
	free(e);
	ctx->engine = NULL;
}

/* Ends the engine. Returns -1. */
static int
die(struct tls_engine *e, const char *why)
{
	tlsp_handle_close(&e->channel);
	chunk_clear(&e->frames);
	chunk_clear(&e->output);
	e->asked = 0;
	e->dead = why;
	return -1;
}

/* Callbacks. */

int
tls_engine_refuse(struct tls *ctx)
{
	if (ctx->engine == NULL || !ctx->engine->calling)
		return 0;
	tls_set_errorx(ctx, TLS_ERROR_INVALID_CONTEXT,
	    "invalid operation in a callback of the same connection");
	return -1;
}

int
tls_engine_defer(struct tls *ctx, enum tls_deferred what)
{
	if (ctx->engine == NULL || !ctx->engine->calling)
		return 0;
	if (ctx->engine->deferred < what)
		ctx->engine->deferred = what;
	return 1;
}

int
tls_engine_leave(struct tls *ctx)
{
	enum tls_deferred what;

	/* A callback that made this call goes on. */
	if (ctx->engine == NULL || ctx->engine->calling)
		return 0;
	what = ctx->engine->deferred;
	ctx->engine->deferred = TLS_DEFERRED_NONE;
	switch (what) {
	case TLS_DEFERRED_NONE:
		return 0;
	case TLS_DEFERRED_RESET:
		tls_reset(ctx);
		tls_set_errorx(ctx, TLS_ERROR_UNKNOWN,
		    "a callback has reset the connection");
		break;
	case TLS_DEFERRED_FREE:
		tls_free(ctx);
		break;
	}
	return -1;
}

static int
is_want(ssize_t rv)
{
	return rv == TLS_WANT_POLLIN || rv == TLS_WANT_POLLOUT;
}

/*
 * What a callback has returned: a number of bytes up to len, TLS_WANT_*, or -1
 * with errnum set, or the engine dead.
 */
static ssize_t
check_callback(struct tls_engine *e, ssize_t rv, size_t len, int errnum)
{
	if (e->deferred != TLS_DEFERRED_NONE)
		return die(e, "a callback has freed the connection");
	if (rv == -1) {
		e->errnum = errnum;
		return -1;
	}
	if (is_want(rv))
		return rv;
	if (rv < 0)
		return die(e, "a callback returned what has no meaning");
	if ((size_t)rv > len)
		return die(e, "a callback returned more than there was");
	return rv;
}

/* Calls one of the two, whose calls may leave an error that nobody reads. */
static ssize_t
call(struct tls *ctx, void *in, const void *out, size_t len)
{
	struct tls_engine *e = ctx->engine;
	struct tls_error saved = ctx->error;
	ssize_t rv;
	int errnum;

	memset(&ctx->error, 0, sizeof(ctx->error));
	e->calling = !e->own;
	errno = 0;
	if (in != NULL)
		rv = e->read_cb(ctx, in, len, e->cb_arg);
	else
		rv = e->write_cb(ctx, out, len, e->cb_arg);
	errnum = errno;
	e->calling = 0;
	tls_error_clear(&ctx->error);
	ctx->error = saved;
	return check_callback(e, rv, len, errnum);
}

/*
 * Writes what waits for it. Returns 0 when all of it has gone, TLS_WANT_*, or
 * -1 where writing has failed.
 */
static int
flush(struct tls *ctx)
{
	struct tls_engine *e = ctx->engine;
	ssize_t n;

	while (e->output.len > 0) {
		n = call(ctx, NULL, e->output.mem + e->output.at,
		    e->output.len);
		if (is_want(n))
			return (int)n;
		if (n == 0)
			n = die(e, "a callback wrote nothing");
		if (n == -1) {
			e->write_failed = 1;
			e->write_errnum = e->errnum;
			chunk_clear(&e->output);
			return -1;
		}
		chunk_use(&e->output, (size_t)n);
	}
	return e->write_failed ? -1 : 0;
}

int
tls_engine_write_failed(const struct tls *ctx, int errnum)
{
	return ctx->engine->write_failed && ctx->engine->write_errnum == errnum;
}

/*
 * How much there is of the record in the end. The body of what is no record
 * may never come: its header is enough for the engine.
 */
static size_t
record_size(const struct tls_engine *e)
{
	size_t len = (size_t)e->header[3] << 8 | e->header[4];

	if (e->have < HEADER_SIZE || e->header[0] < TYPE_FIRST ||
	    e->header[0] > TYPE_LAST || e->header[1] > VERSION_MAX ||
	    len > BODY_MAX)
		return HEADER_SIZE;
	return HEADER_SIZE + len;
}

/*
 * Reads up to the end of a record and no further. Returns 0 when there is
 * something to tell the engine, TLS_WANT_*, or -1 where the engine is dead.
 */
static int
read_record(struct tls *ctx)
{
	struct tls_engine *e = ctx->engine;
	uint8_t *to;
	size_t size;
	ssize_t n;

	while (e->have < (size = record_size(e)) || e->have < HEADER_SIZE) {
		if (e->have < HEADER_SIZE)
			to = e->header + e->have;
		else {
			if (e->body == NULL &&
			    (e->body = malloc(size - HEADER_SIZE)) == NULL)
				return die(e, "out of memory");
			to = e->body + e->have - HEADER_SIZE;
		}
		n = call(ctx, to, NULL, size - e->have);
		if (is_want(n)) {
			/* It may never come to the engine's attention. */
			if (tlsp_wait(e->channel.fd, 0, tlsp_deadline_in(0)) &
			    POLLHUP)
				return die(e, TLSP_WORKER_ENDED);
			return (int)n;
		}
		if (n == -1 && e->dead != NULL)
			return -1;
		if (n <= 0) {
			record_clear(e);
			e->end = n == 0 ? TLSP_INPUT_EOF : TLSP_INPUT_FAILED;
			return 0;
		}
		e->have += (size_t)n;
	}
	return 0;
}

/* Requests and answers. */

/* Sends a request whose last field, if it is bytes, is in parts. */
static int
ask(struct tls_engine *e, unsigned int number, const void *message,
    struct iovec *parts, size_t nparts)
{
	uint8_t head[64];
	struct iovec iov[3] = { { .iov_base = head } };
	size_t len, data = 0, i;
	int fd, rv;

	for (i = 0; i < nparts; i++) {
		iov[i + 1] = parts[i];
		data += parts[i].iov_len;
	}
	len = tlsp_wire_encode(head + 4, sizeof(head) - 4, number, message);
	tlsp_put_u32(head, (uint32_t)(len + data));
	if (data > 0)
		tlsp_put_u32(head + len, (uint32_t)data);
	iov[0].iov_len = 4 + len;
	if ((fd = tlsp_handle_fd(&e->channel)) == -1)
		return die(e, "the channel to goproxy was closed");
	rv = tlsp_channel_send_parts(fd, iov, nparts + 1,
	    tlsp_deadline_in(TLSP_SEND_TIMEOUT));
	tlsp_trace_sent(fd, number, message, len + data, 0, rv);
	if (rv == -1)
		return die(e,
		    errno == ETIMEDOUT ? TLSP_NO_ANSWER : TLSP_WORKER_ENDED);
	e->asked = number;
	e->answered = 0;
	return 0;
}

/* Tells the engine what read_record() has found. */
static int
ask_input(struct tls_engine *e)
{
	struct tlsp_input input = { .end = e->end };
	struct iovec parts[2] = {
		{ .iov_base = e->header, .iov_len = HEADER_SIZE },
		{ .iov_base = e->body },
	};
	int rv;

	if (e->end == TLSP_INPUT_FAILED)
		input.errnum = (uint32_t)e->errnum;
	if (e->body != NULL)
		parts[1].iov_len = e->have - HEADER_SIZE;
	rv = ask(e, TLSP_INPUT, &input, parts,
	    e->end == TLSP_INPUT_RECORD ? 2 : 0);
	record_clear(e);
	return rv;
}

/*
 * Waits until the first frame is complete, whose length without its header is
 * *len. Returns 0, TLS_WANT_POLLIN, or -1 where the engine is dead.
 */
static int
receive(struct tls_engine *e, tlsp_deadline deadline, size_t *len)
{
	struct chunk *in = &e->frames;
	size_t wanted = 4, room, none;
	ssize_t n;
	/* Who waits for the engine must not wait for his own answer. */
	int nonblock = e->nonblock || (e->asks && !e->established);

	for (;;) {
		if (in->len >= 4) {
			*len = tlsp_get_u32(in->mem + in->at);
			if (*len > TLSP_WIRE_FRAME_MAX)
				goto malformed;
			wanted = 4 + *len;
		}
		if (in->len >= wanted)
			return 0;
		room = wanted > RECEIVE_SIZE ? wanted : RECEIVE_SIZE;
		if (chunk_reserve(in, room - in->len) == -1)
			return die(e, "out of memory");
		none = 0;
		n = tlsp_channel_recv(e->channel.fd, in->mem + in->at + in->len,
		    in->size - in->at - in->len, NULL, &none,
		    nonblock ? MSG_DONTWAIT : 0);
		if (n == 0 || (n == -1 && errno == ECONNRESET))
			return die(e, TLSP_WORKER_ENDED);
		if (n == -1 && errno == EPROTO)
			goto malformed;
		if (n == -1 && errno != EINTR) {
			if (errno != EAGAIN && errno != EWOULDBLOCK)
				return die(e, "failed to reach goproxy");
			if (nonblock) {
				if (in->len == 0)
					chunk_clear(in);
				return TLS_WANT_POLLIN;
			}
			return die(e, TLSP_NO_ANSWER);
		}
		if (n > 0)
			in->len += (size_t)n;
		if (!nonblock && tlsp_deadline_in(0) > deadline)
			return die(e, TLSP_NO_ANSWER);
	}

malformed:
	return die(e, "malformed message from goproxy");
}

/* Keeps why a direction failed; NULL from malloc(3) is "out of memory". */
static void
keep_text(char **text, const struct tlsp_string *error)
{
	free(*text);
	*text = strndup(error->data, error->len);
}

/* The direction from the peer has ended, or not. */
static int
input_reply(struct tls *ctx, const struct tlsp_input_reply *reply)
{
	switch (reply->ending) {
	case TLSP_ENDING_OPEN:
		return 0;
	case TLSP_ENDING_CLOSE_NOTIFY:
		ctx->state |= TLS_EOF;
		return 0;
	case TLSP_ENDING_EOF:
		ctx->state |= TLS_EOF | TLS_EOF_NO_CLOSE_NOTIFY;
		return 0;
	case TLSP_ENDING_FAILED:
		ctx->state |= TLS_READ_FAILED;
		keep_text(&ctx->failure, &reply->error);
		return 0;
	}
	return -1;
}

/*
 * Acts on a message after the handshake. Returns 0, or -1 for one that does
 * not answer the request.
 */
static int
act(struct tls *ctx, const uint8_t *message, size_t len, unsigned int number)
{
	union {
		struct tlsp_input_reply input_reply;
		struct tlsp_write_reply write_reply;
		struct tlsp_output_failed_reply output_failed_reply;
		struct tlsp_shutdown_reply shutdown_reply;
	} m;
	struct tls_engine *e = ctx->engine;

	if (number != (e->asked | 0x80) ||
	    tlsp_wire_decode(message, len, 0, number, &m) == -1)
		return -1;
	e->asked = 0;
	switch (number) {
	case TLSP_INPUT_REPLY:
		if (input_reply(ctx, &m.input_reply) == -1)
			return -1;
		return chunk_take(&e->plaintext, &e->frames,
		    &m.input_reply.plaintext, 4 + len);
	case TLSP_WRITE_REPLY:
		if (m.write_reply.error.len > 0) {
			e->write_failed = 1;
			keep_text(&e->write_failure, &m.write_reply.error);
		}
		return 0;
	case TLSP_OUTPUT_FAILED_REPLY:
		keep_text(&e->write_failure, &m.output_failed_reply.error);
		return 0;
	}
	return 0; /* SHUTDOWN_REPLY, which has nothing to say */
}

/* The same before its end: 0, 1 where the handshake has failed, or -1. */
static int
act_in_handshake(struct tls *ctx, const uint8_t *message, size_t len,
    unsigned int number)
{
	struct tlsp_need need;
	struct tls_engine *e = ctx->engine;

	if (number == TLSP_NEED) {
		if (e->asked == TLSP_OUTPUT_FAILED ||
		    tlsp_wire_decode(message, len, 0, number, &need) == -1)
			return -1;
		e->asked = 0;
		return 0;
	}
	e->asked = 0;
	switch (tls_frame(ctx, message, len)) {
	case 0:
		e->established = 1;
		return 0;
	case 1: /* and it was answered */
		e->asked = TLSP_SIGN_CALLBACK_REPLY;
		return 0;
	}
	return 1;
}

/*
 * Waits for the answer to what was asked, and acts on it. Returns 0 when there
 * is nothing to wait for (any more), TLS_WANT_POLLIN, or -1 where the engine is
 * dead or the handshake has failed, then with the error set.
 */
static int
answer(struct tls *ctx)
{
	struct tls_engine *e = ctx->engine;
	const tlsp_deadline deadline = tlsp_deadline_in(TLSP_ANSWER_TIMEOUT);
	struct tlsp_output output;
	unsigned int version, number;
	const uint8_t *message, *mem;
	size_t len = 0;
	int rv;

	while (e->asked != 0) {
		if ((rv = receive(e, deadline, &len)) != 0)
			return rv;
		mem = e->frames.mem;
		message = mem + e->frames.at + 4;
		e->answered += 4 + len;
		if (e->answered > ANSWER_MAX ||
		    tlsp_wire_header(message, len, &version, &number) == -1)
			rv = -1;
		else if (number == TLSP_OUTPUT) {
			rv = tlsp_wire_decode(message, len, 0, number, &output);
			if (rv == 0 && !e->write_failed)
				rv = chunk_take(&e->output, &e->frames,
				    &output.records, 4 + len);
		} else if (e->established)
			rv = act(ctx, message, len, number);
		else
			rv = act_in_handshake(ctx, message, len, number);
		if (rv == -1)
			return die(e, "malformed message from goproxy");
		/* Unless it was taken as it was. */
		if (e->frames.mem == mem)
			chunk_use(&e->frames, 4 + len);
		if (rv == 1)
			return -1;
	}
	/* In lockstep nothing follows. */
	return e->frames.len > 0 ? die(e, "malformed message from goproxy") : 0;
}

/* Sets the error of a direction to the peer that has failed. */
static int
set_write_failure(struct tls *ctx, const char *operation)
{
	struct tls_engine *e = ctx->engine;
	struct tlsp_output_failed failed = { 0 };
	int rv;

	if (e->dead == NULL && e->write_failure == NULL) {
		failed.errnum = (uint32_t)e->write_errnum;
		if (ask(e, TLSP_OUTPUT_FAILED, &failed, NULL, 0) == 0 &&
		    is_want(rv = answer(ctx)))
			return rv;
	}
	return tls_set_failure(&ctx->error, operation,
	    e->dead != NULL ? e->dead : e->write_failure);
}

/* Calls. */

int
tls_engine_handshake(struct tls *ctx)
{
	struct tls_engine *e = ctx->engine;
	struct tlsp_output_failed failed = { 0 };
	int rv;

	while (e->dead == NULL) {
		rv = answer(ctx);
		if (rv == 0) {
			rv = flush(ctx);
			if (rv == 0 && e->established)
				return 0;
			if (rv == 0)
				rv = read_record(ctx);
		} else if (rv == -1 && e->dead == NULL) {
			/* The alert; what does not go now goes later. */
			(void)flush(ctx);
			return -1;
		}
		if (is_want(rv))
			return rv;
		if (e->dead != NULL)
			break;
		if (rv == 0) {
			(void)ask_input(e);
			continue;
		}
		if (e->established)
			return set_write_failure(ctx, "handshake");
		failed.errnum = (uint32_t)e->write_errnum;
		(void)ask(e, TLSP_OUTPUT_FAILED, &failed, NULL, 0);
	}
	return tls_set_failure(&ctx->error, "handshake", e->dead);
}

ssize_t
tls_engine_read(struct tls *ctx, void *buf, size_t len)
{
	struct tls_engine *e = ctx->engine;
	int rv, written;

	if (len == 0)
		return 0;
	for (;;) {
		if (e->plaintext.len > 0) {
			if (len > e->plaintext.len)
				len = e->plaintext.len;
			memcpy(buf, e->plaintext.mem + e->plaintext.at, len);
			chunk_use(&e->plaintext, len);
			return (ssize_t)len;
		}
		if ((ctx->state & TLS_READ_FAILED) != 0)
			return tls_set_failure(&ctx->error, "read",
			    ctx->failure);
		if ((ctx->state & TLS_EOF) != 0)
			return 0;
		if (e->dead != NULL)
			return tls_set_failure(&ctx->error, "read", e->dead);
		if (is_want(rv = answer(ctx)))
			return rv;
		if (rv == -1)
			continue;
		/* Reading does not depend on it, up to a limit. */
		written = flush(ctx);
		if (e->plaintext.len > 0 || e->dead != NULL ||
		    (ctx->state & (TLS_READ_FAILED | TLS_EOF)) != 0)
			continue;
		if (is_want(written) && e->output.len > OUTPUT_LIMIT)
			return written;
		if (is_want(rv = read_record(ctx)))
			return rv;
		if (rv == 0)
			(void)ask_input(e);
	}
}

ssize_t
tls_engine_write(struct tls *ctx, const void *buf, size_t len)
{
	struct tls_engine *e = ctx->engine;
	struct tlsp_write message = { 0 };
	struct iovec part = { .iov_base = (void *)buf };
	ssize_t n;
	int rv;

	if (len < e->owed)
		return tls_set_failure(&ctx->error, "write",
		    "error:1404C07F:SSL routines:ST_OK:bad write retry");
	for (;;) {
		if (e->dead == NULL && is_want(rv = answer(ctx)))
			return rv;
		if (e->dead != NULL || (ctx->state & TLS_READ_FAILED) != 0)
			return tls_set_failure(&ctx->error, "write",
			    e->dead != NULL ? e->dead : ctx->failure);
		if (is_want(rv = flush(ctx)))
			return rv;
		if (rv == -1)
			return set_write_failure(ctx, "write");
		if (e->owed > 0) {
			n = (ssize_t)e->owed;
			e->owed = 0;
			return n;
		}
		if (len > TLSP_WIRE_CHUNK_MAX)
			len = TLSP_WIRE_CHUNK_MAX;
		part.iov_len = len;
		if (ask(e, TLSP_WRITE, &message, &part, 1) == 0)
			e->owed = len;
	}
}

int
tls_engine_close(struct tls *ctx)
{
	struct tls_engine *e = ctx->engine;
	struct tlsp_shutdown message = { 0 };
	int rv;

	if ((ctx->state & TLS_HANDSHAKE_COMPLETE) == 0) {
		/* The alert of a handshake that has failed. */
		rv = flush(ctx);
		return is_want(rv) ? rv : 0;
	}
	for (;;) {
		if (e->dead == NULL &&
		    (is_want(rv = answer(ctx)) || is_want(rv = flush(ctx))))
			return rv;
		if ((ctx->state & (TLS_CLOSING | TLS_READ_FAILED)) != 0 ||
		    e->dead != NULL || e->write_failed)
			break;
		if (ask(e, TLSP_SHUTDOWN, &message, NULL, 0) == 0)
			ctx->state |= TLS_CLOSING;
	}
	if (e->dead != NULL)
		rv = tls_set_failure(&ctx->error, "shutdown", e->dead);
	else if ((ctx->state & TLS_READ_FAILED) != 0)
		rv = tls_set_failure(&ctx->error, "shutdown", ctx->failure);
	else if (e->write_failed)
		rv = set_write_failure(ctx, "shutdown");
	else
		rv = 0;
	if (is_want(rv))
		return rv;
	e->owed = 0;
	ctx->state |= TLS_CLOSED;
	ctx->state &= ~(uint32_t)TLS_CLOSING;
	return rv;
}

int
tls_engine_channel(const struct tls *ctx)
{
	return tlsp_handle_fd(&ctx->engine->channel);
}

/* What tls_proxy.h has. */

int
tls_engine_set_nonblock(struct tls *ctx, int nonblock)
{
	if (ctx->engine == NULL) {
		tls_set_errorx(ctx, TLS_ERROR_INVALID_CONTEXT,
		    "connection has no engine");
		return -1;
	}
	ctx->engine->nonblock = nonblock != 0;
	return 0;
}

int
tls_engine_fd(struct tls *ctx)
{
	if (ctx->engine == NULL || ctx->engine->asked == 0)
		return -1;
	return ctx->engine->channel.fd;
}
