/* SPDX-License-Identifier: ISC */
/*
 * Whatever an engine answers, the library gives a result that tls.h has, and
 * no more plaintext or records than it was sent. For libFuzzer, or fuzzer.c.
 */

#include <sys/socket.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzzer.h"
#include "tls_internal.h"

static void
expect(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz_engine: %s\n", what);
	abort();
}

/* A committed configuration, whose other end is here. */
static struct tlsp_config_channel *config_channel;
static int config_end;

/* The keeper's part. */
static void *
commit(void *arg)
{
	struct tlsp_commit_reply reply = { 0 };
	uint8_t buf[256];
	int draft = *(int *)arg, fds[2];
	size_t len, nfds = 2;

	expect(tlsp_channel_recv(draft, buf, sizeof(buf), fds, &nfds, 0) > 0 &&
		   nfds == 2,
	    "no COMMIT");
	close(fds[0]);
	config_end = fds[1];
	len = tlsp_wire_encode(buf, sizeof(buf), TLSP_COMMIT_REPLY, &reply);
	expect(send(config_end, buf, len, 0) == (ssize_t)len, "send");
	return NULL;
}

static void
open_config(void)
{
	struct tls_error error = { 0 };
	struct tlsp_handle handle;
	pthread_t thread;
	int pair[2];

	expect(tlsp_channel_pair(SOCK_SEQPACKET, pair) == 0, "socketpair");
	tlsp_handle_set(&handle, pair[0]);
	expect(pthread_create(&thread, NULL, commit, &pair[1]) == 0, "thread");
	config_channel = tlsp_draft_commit(&handle, (const uint8_t *)"", 0,
	    TLSP_ISOLATION_PROCESS, 0, &error);
	expect(config_channel != NULL, "no configuration");
	pthread_join(thread, NULL);
	tlsp_handle_close(&handle);
	close(pair[1]);
}

/* What the engine says, a piece each time that something is due. */
struct script {
	int fd; /* the worker's end of the data channel */
	const uint8_t *data;
	size_t size;
	size_t sent; /* bounds what can come out */
	size_t written;
	unsigned int turns;
	unsigned int seen; /* so that a sanitizer knows of each byte */
	int refuse;	   /* whether records cannot be written */
};

static void
say(struct script *s)
{
	static uint8_t sink[1 << 17];
	size_t n = s->size;

	while (recv(s->fd, sink, sizeof(sink), MSG_DONTWAIT) > 0)
		;
	if (s->size >= 4 && tlsp_get_u32(s->data) < s->size - 4)
		n = 4 + tlsp_get_u32(s->data);
	if (n == 0 || s->turns++ > 200) {
		shutdown(s->fd, SHUT_WR);
		return;
	}
	if (send(s->fd, s->data, n, MSG_DONTWAIT | MSG_NOSIGNAL) == -1)
		return;
	s->data += n;
	s->size -= n;
	s->sent += n;
}

static ssize_t
read_cb(struct tls *ctx, void *buf, size_t len, void *arg)
{
	static const uint8_t header[] = { 23, 3, 3, 0, 9 };
	struct script *s = arg;

	(void)ctx;
	say(s);
	if (len == sizeof(header))
		memcpy(buf, header, len);
	else
		memset(buf, 7, len);
	return s->turns % 7 == 6 ? TLS_WANT_POLLIN : (ssize_t)len;
}

static ssize_t
write_cb(struct tls *ctx, const void *buf, size_t len, void *arg)
{
	struct script *s = arg;

	(void)ctx;
	if (s->refuse) {
		errno = EPIPE;
		return -1;
	}
	s->seen ^= ((const uint8_t *)buf)[0] ^ ((const uint8_t *)buf)[len - 1];
	if (s->turns++ % 5 == 4)
		return TLS_WANT_POLLOUT;
	if (len > 1 && s->turns % 3 == 0)
		len /= 2;
	s->written += len;
	expect(s->written <= s->sent, "records from nowhere");
	return (ssize_t)len;
}

static size_t
put_frame(uint8_t *buf, size_t size, unsigned int number, const void *message)
{
	size_t len;

	len = tlsp_wire_encode(buf + 4, size - 4, number, message);
	expect(len > 0 && len <= size - 4, "a message cannot be encoded");
	tlsp_put_u32(buf, (uint32_t)len);
	return 4 + len;
}

static size_t
put_established(uint8_t *buf, size_t size)
{
	struct tlsp_established facts = { .connection = 1 };

	return put_frame(buf, size, TLSP_ESTABLISHED, &facts);
}

/* A connection with this end of its engine in s. */
static struct tls *
open_engine(struct script *s)
{
	uint8_t request[256];
	size_t nfds = 1;
	struct tls *ctx;

	if (config_channel == NULL)
		open_config();
	expect((ctx = tls_new(TLS_SERVER_CONN)) != NULL, "no memory");
	expect((ctx->config = tls_config_new()) != NULL, "no memory");
	tlsp_config_channel_ref(config_channel);
	ctx->channel = config_channel;
	expect(tls_engine_start(ctx, read_cb, write_cb, s) == 0, "start");
	expect(tlsp_channel_recv(config_end, request, sizeof(request), &s->fd,
		   &nfds, 0) > 0 &&
		   nfds == 1,
	    "no ENGINE");
	return ctx;
}

static void
establish(struct tls *ctx, const struct script *s)
{
	uint8_t frame[512];
	ssize_t n = (ssize_t)put_established(frame, sizeof(frame));

	expect(send(s->fd, frame, (size_t)n, 0) == n, "send");
	expect(tls_handshake(ctx) == 0, "no handshake");
}

/* The first byte says whether a handshake comes before the rest. */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static uint8_t buf[1 << 17];
	struct script s = { .fd = -1 };
	size_t got = 0;
	struct tls *ctx;
	ssize_t n = 0;
	int i, done;

	if (size == 0)
		return 0;
	ctx = open_engine(&s);
	expect(tls_engine_set_nonblock(ctx, 1) == 0, "nonblock");
	s.data = data + 1;
	s.size = size - 1;
	if (data[0] & 1)
		establish(ctx, &s);
	for (i = 0; i < 40; i++) {
		say(&s);
		done = (ctx->state & TLS_HANDSHAKE_COMPLETE) != 0;
		switch (((data[0] >> 1) + i) & 3) {
		case 0:
		case 1:
			n = tls_read(ctx, buf, sizeof(buf));
			if (n > 0)
				got += (size_t)n;
			expect(got <= s.sent, "plaintext from nowhere");
			break;
		case 2:
			n = tls_write(ctx, buf, (size_t)i * 1000 + 40000);
			expect(n <= i * 1000 + 40000, "too much written");
			break;
		case 3:
			if (done && i < 30)
				continue;
			n = tls_close(ctx);
			break;
		}
		expect(n >= TLS_WANT_POLLOUT, "a result without a meaning");
		expect((n == -1) == (tls_error(ctx) != NULL) ||
			   (ctx->state & TLS_HANDSHAKE_FAILED) != 0,
		    "an error without a text");
	}
	tls_free(ctx);
	close(s.fd);
	return 0;
}

#ifdef FUZZ_STANDALONE

/* A message that may be due, as a frame. */
static size_t
make_frame(uint8_t *buf, size_t size)
{
	static const unsigned int numbers[] = { TLSP_OUTPUT, TLSP_NEED,
		TLSP_INPUT_REPLY, TLSP_WRITE_REPLY, TLSP_SHUTDOWN_REPLY,
		TLSP_OUTPUT_FAILED_REPLY, TLSP_FAILED };
	static uint8_t text[20000];
	union {
		struct tlsp_output output;
		struct tlsp_need need;
		struct tlsp_input_reply input_reply;
		struct tlsp_write_reply write_reply;
		struct tlsp_failed failed;
	} m;
	unsigned int number =
	    numbers[fuzz_below(sizeof(numbers) / sizeof(numbers[0]))];
	struct tlsp_string any = { text, fuzz_below(8) == 0
					     ? fuzz_below(sizeof(text))
					     : fuzz_below(40) };

	memset(text, 'x', sizeof(text));
	memset(&m, 0, sizeof(m));
	if (fuzz_below(10) == 0)
		return put_established(buf, size);
	if (number == TLSP_OUTPUT)
		m.output.records = any;
	else if (number == TLSP_INPUT_REPLY) {
		m.input_reply.ending =
		    (uint8_t)(fuzz_below(4) == 0 ? fuzz_below(6)
						 : TLSP_ENDING_OPEN);
		m.input_reply.plaintext = any;
	} else if (number != TLSP_NEED && number != TLSP_SHUTDOWN_REPLY &&
		   fuzz_below(3) == 0)
		m.failed.error = any;
	return put_frame(buf, size, number, &m);
}

static size_t
make_input(uint8_t *buf, size_t size)
{
	size_t len = 1, i, n;

	buf[0] = (uint8_t)fuzz_random();
	for (n = 1 + fuzz_below(12); n > 0 && size - len > 21000; n--)
		len += make_frame(buf + len, size - len);
	for (i = fuzz_below(3) == 0 ? 1 + fuzz_below(3) : 0; i > 0; i--)
		buf[1 + fuzz_below(len - 1)] = (uint8_t)fuzz_random();
	return len;
}

/* Records for as long as the library takes them, and no answer. */
#define FLOOD_MAX ((size_t)64 << 20)

static void *
pour(void *arg)
{
	static uint8_t buf[TLSP_WIRE_CHUNK_MAX + 64], data[TLSP_WIRE_CHUNK_MAX];
	const struct tlsp_output output = { .records = { data, sizeof(data) } };
	const struct tlsp_output byte = { .records = { data, 1 } };
	const struct tlsp_write_reply reply = { 0 };
	struct script *s = arg;
	size_t len, total = 0;
	uint8_t request[256];

	expect(recv(s->fd, request, sizeof(request), 0) > 0, "no WRITE");
	if (s->refuse) {
		len = put_frame(buf, sizeof(buf), TLSP_OUTPUT, &byte);
		len += put_frame(buf + len, sizeof(buf) - len, TLSP_WRITE_REPLY,
		    &reply);
		expect(send(s->fd, buf, len, 0) == (ssize_t)len, "send");
		expect(recv(s->fd, request, sizeof(request), 0) > 0,
		    "no OUTPUT_FAILED");
	}
	len = put_frame(buf, sizeof(buf), TLSP_OUTPUT, &output);
	while (total < FLOOD_MAX &&
	       send(s->fd, buf, len, MSG_NOSIGNAL) == (ssize_t)len)
		total += len;
	expect(total < FLOOD_MAX, "a flood was taken");
	return NULL;
}

/* An engine that never answers ends, also where its records are dropped. */
static void
flood(int nonblock, int refuse)
{
	struct script s = { .fd = -1, .refuse = refuse };
	pthread_t thread;
	struct tls *ctx;
	ssize_t n;

	ctx = open_engine(&s);
	establish(ctx, &s);
	expect(tls_engine_set_nonblock(ctx, nonblock) == 0, "nonblock");
	expect(pthread_create(&thread, NULL, pour, &s) == 0, "thread");
	do
		n = tls_write(ctx, "x", 1);
	while (n == TLS_WANT_POLLIN);
	expect(n == -1, "no error");
	pthread_join(thread, NULL);
	tls_free(ctx);
	close(s.fd);
}

void
fuzz_round(void)
{
	static uint8_t buf[300000];
	static int floods;

	if (floods < 4) {
		flood(floods & 1, floods & 2);
		floods++;
	}
	fuzz_run(buf, make_input(buf, sizeof(buf)));
}

#endif
