/* SPDX-License-Identifier: ISC */
/*
 * The library as a worker sees it that asks what no worker asks: nothing of it
 * becomes a request, and what follows is not lost.
 */

#include <sys/socket.h>

#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"
#include "tls_internal.h"

static struct tls *ctx;
static int worker; /* its end of the channel */

union message {
#define F(name, type, field)
#define M(NAME, name, number, sender, channel, min, max, fields)               \
	struct tlsp_##name name;
	TLSP_MESSAGES(M, F)
#undef F
#undef M
};

static int
start(void **state)
{
	(void)state;
	CHECK((ctx = tls_server()) != NULL);
	CHECK((ctx->config = tls_config_new()) != NULL);
	CHECK((worker = tls_requests_enter(ctx)) != -1);
	return 0;
}

static int
stop(void **state)
{
	(void)state;
	tls_free(ctx);
	close(worker);
	return 0;
}

static void
say(unsigned int number, const void *message, size_t cut, size_t nfds)
{
	uint8_t buf[4096];
	size_t len;

	len = tlsp_wire_encode(buf, sizeof(buf), number, message);
	CHECK(len > cut && len <= sizeof(buf));
	CHECK_INT(tlsp_channel_send(worker, buf, len - cut, &worker, nfds,
		      tlsp_deadline_in(1000)),
	    0);
}

static struct tlsp_ask_staple
good_question(void)
{
	struct tlsp_ask_staple m = { 0 };

	m.request = 5;
	m.hash = tlsp_string("hash");
	return m;
}

/* After all that was said a question is a request, and the only one. */
static void
check_alive(void)
{
	struct tlsp_ask_staple m = good_question();
	struct tls_request *request;
	uint8_t buf[64];
	size_t none = 0;

	say(TLSP_ASK_STAPLE, &m, 0, 0);
	CHECK((request = tls_request_next(ctx)) != NULL);
	CHECK_STR(tls_request_facts(request)->key_hash, "hash");
	CHECK_INT(tls_request_default(request), 0);
	CHECK(tls_request_next(ctx) == NULL);
	CHECK(tlsp_channel_recv(worker, buf, sizeof(buf), NULL, &none,
		  MSG_DONTWAIT) > 0);
}

/* Every message of the protocol but the questions. */
static void
other_messages(void **state)
{
	static const unsigned int numbers[] = {
#define F(name, type, field)
#define M(NAME, name, number, sender, channel, min, max, fields) number,
		TLSP_MESSAGES(M, F)
#undef F
#undef M
	};
	union message m;
	size_t i;

	(void)state;
	memset(&m, 0, sizeof(m));
	for (i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		if (numbers[i] >= TLSP_ASK_CERTIFICATE &&
		    numbers[i] <= TLSP_ASK_SIGN)
			continue;
		say(numbers[i], &m, 0, 0);
		check_alive();
	}
}

static void
malformed(void **state)
{
	static const struct {
		const char *name, *alpn;
		size_t alpn_len;
		const char *schemes, *versions;
	} certificates[] = {
		{ "name without an end", "\x05h2", 3, "", "" },
		{ "empty name", "\x02h2\x00", 4, "", "" },
		{ "half a scheme", "", 0, "123", "" },
		{ "half a version", "", 0, "", "1" },
	};
	static const struct {
		const char *name, *chain;
		size_t len;
		uint32_t depth;
	} chains[] = {
		{ "no certificate", "", 0, 0 },
		{ "no such depth", "\0\0\0\1x", 5, 1 },
		{ "negative depth", "\0\0\0\1x", 5, 0xffffffff },
		{ "too short", "\0\0\0\2x", 5, 0 },
		{ "huge", "\xff\xff\xff\xffx", 5, 0 },
		{ "a length in part", "\0\0\0\1x\0\0", 7, 0 },
	};
	static const uint8_t operations[] = { 0, 4, 255 };
	struct tlsp_ask_certificate c;
	struct tlsp_ask_verify v;
	struct tlsp_ask_session s;
	struct tlsp_ask_staple good = good_question();
	size_t i;

	(void)state;
	for (i = 0; i < sizeof(certificates) / sizeof(certificates[0]); i++) {
		h_case = certificates[i].name;
		memset(&c, 0, sizeof(c));
		c.alpn.data = certificates[i].alpn;
		c.alpn.len = certificates[i].alpn_len;
		c.schemes = tlsp_string(certificates[i].schemes);
		c.versions = tlsp_string(certificates[i].versions);
		say(TLSP_ASK_CERTIFICATE, &c, 0, 0);
		check_alive();
	}
	for (i = 0; i < sizeof(chains) / sizeof(chains[0]); i++) {
		h_case = chains[i].name;
		memset(&v, 0, sizeof(v));
		v.depth = chains[i].depth;
		v.chain.data = chains[i].chain;
		v.chain.len = chains[i].len;
		say(TLSP_ASK_VERIFY, &v, 0, 0);
		check_alive();
	}
	for (i = 0; i < sizeof(operations); i++) {
		h_case = "operation";
		memset(&s, 0, sizeof(s));
		s.operation = operations[i];
		say(TLSP_ASK_SESSION, &s, 0, 0);
		check_alive();
	}
	h_case = "a byte is missing";
	say(TLSP_ASK_STAPLE, &good, 1, 0);
	check_alive();
	h_case = "a descriptor";
	i = (size_t)h_fds();
	say(TLSP_ASK_STAPLE, &good, 0, 1);
	check_alive();
	CHECK_INT(h_fds(), i);
	h_case = NULL;
}

/* A worker cannot cancel what another connection asks. */
static void
another_connection(void **state)
{
	struct tlsp_ask_staple m = good_question();
	struct tlsp_cancel cancel = { .request = m.request };
	struct tls_request *request;
	uint8_t buf[64];
	size_t none = 0;
	int other;

	(void)state;
	CHECK((other = tls_requests_enter(ctx)) != -1);
	say(TLSP_ASK_STAPLE, &m, 0, 0);
	CHECK((request = tls_request_next(ctx)) != NULL);
	CHECK_INT(tlsp_wire_encode(buf, sizeof(buf), TLSP_CANCEL, &cancel), 12);
	CHECK_INT(
	    tlsp_channel_send(other, buf, 12, NULL, 0, tlsp_deadline_in(1000)),
	    0);
	CHECK(tls_request_next(ctx) == NULL);
	CHECK_INT(tls_request_default(request), 0);
	CHECK_INT(tlsp_channel_recv(other, buf, sizeof(buf), NULL, &none,
		      MSG_DONTWAIT),
	    -1);
	CHECK(tlsp_channel_recv(worker, buf, sizeof(buf), NULL, &none,
		  MSG_DONTWAIT) > 0);
	close(other);
}

/* A worker that has gone: what it has asked is cancelled, and that is all. */
static void
gone_worker(void **state)
{
	struct tlsp_ask_staple m = good_question();
	struct tls_request *request;
	struct pollfd pfd = { .fd = tls_request_fd(ctx), .events = POLLIN };
	int fds = h_fds(), seen;

	(void)state;
	for (seen = 0; seen < 2; seen++) {
		say(TLSP_ASK_STAPLE, &m, 0, 0);
		CHECK((request = tls_request_next(ctx)) != NULL);
		close(worker);
		if (seen)
			CHECK(tls_request_next(ctx) == NULL);
		CHECK_INT(tls_request_default(request), -1);
		CHECK_STR(tls_request_error(request), "request was cancelled");
		tls_request_free(request);
		CHECK(tls_request_next(ctx) == NULL);
		CHECK_INT(poll(&pfd, 1, 0), 0);
		CHECK_INT(h_fds(), fds - 2);
		CHECK((worker = tls_requests_enter(ctx)) != -1);
		m = good_question();
	}
}

/* A call does not read for ever what is no request. */
static void
flood(void **state)
{
	struct tlsp_ask_staple m = good_question();
	struct tlsp_cancel cancel = { .request = 1 };
	struct tls_request *request;
	int i;

	(void)state;
	for (i = 0; i < 257; i++)
		say(TLSP_CANCEL, &cancel, 0, 0);
	say(TLSP_ASK_STAPLE, &m, 0, 0);
	CHECK(tls_request_next(ctx) == NULL);
	CHECK((request = tls_request_next(ctx)) != NULL);
	tls_request_free(request);
}

static const struct CMUnitTest tests[] = {
	cmocka_unit_test_setup_teardown(other_messages, start, stop),
	cmocka_unit_test_setup_teardown(malformed, start, stop),
	cmocka_unit_test_setup_teardown(another_connection, start, stop),
	cmocka_unit_test_setup_teardown(gone_worker, start, stop),
	cmocka_unit_test_setup_teardown(flood, start, stop),
};

static const struct h_peer peers[] = { { NULL, NULL } };

H_MAIN(tests, peers)
