/* SPDX-License-Identifier: ISC */
/*
 * A worker that asks anything: what becomes a request must be what its header
 * promises, and every answer to it a message.
 */

#include <sys/socket.h>

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fuzzer.h"
#include "tls_internal.h"

static volatile uint8_t sink;

static void
require(int cond)
{
	if (!cond)
		abort();
}

static void
touch(const void *buf, size_t len)
{
	const uint8_t *p = buf;
	size_t i;

	for (i = 0; i < len; i++)
		sink ^= p[i];
}

static void
touch_string(const char *s)
{
	if (s == NULL)
		return;
	require(*s != '\0');
	touch(s, strlen(s));
}

static void
check_facts(const struct tls_request_facts *f, struct tls *ctx)
{
	size_t i;

	require(f->context == ctx);
	touch_string(f->servername);
	touch_string(f->peer_address);
	touch_string(f->verdict);
	touch_string(f->key_hash);
	for (i = 0; i < f->alpn_len; i += 1 + (size_t)f->alpn[i])
		require(f->alpn[i] > 0 && f->alpn[i] < f->alpn_len - i);
	touch(f->alpn, f->alpn_len);
	touch(f->schemes, f->nschemes * sizeof(*f->schemes));
	touch(f->versions, f->nversions * sizeof(*f->versions));
	for (i = 0; i < f->nchain; i++)
		touch(f->chain[i].der, f->chain[i].len);
	touch(f->session_id, f->session_id_len);
	touch(f->session, f->session_len);
	touch(f->digest, f->digest_len);
	switch (f->kind) {
	case TLS_REQUEST_VERIFY:
		require(f->depth >= 0 && (size_t)f->depth < f->nchain);
		break;
	case TLS_REQUEST_SESSION:
		require(f->operation >= TLS_SESSION_STORE &&
			f->operation <= TLS_SESSION_REMOVE);
		break;
	case TLS_REQUEST_CERTIFICATE:
	case TLS_REQUEST_STAPLE:
	case TLS_REQUEST_SIGN:
		break;
	default:
		abort();
	}
}

static void
answer(struct tls_request *request, unsigned int how, const void *data,
    size_t len)
{
	int rv = -1;

	switch (how % 6) {
	case 0:
		rv = tls_request_default(request);
		break;
	case 1:
		rv = tls_request_accept(request);
		break;
	case 2:
		rv = tls_request_refuse(request, "reason");
		break;
	case 3:
		rv = tls_request_answer(request, data, len);
		break;
	case 4:
		rv = tls_request_answer_pair(request, how);
		break;
	}
	require(rv == 0 || rv == -1);
	if (rv == -1)
		tls_request_free(request);
}

/* What comes out at the worker's end. */
static void
check_answers(int fd)
{
	static uint8_t buf[TLSP_WIRE_MESSAGE_MAX];
	union {
		struct tlsp_ask_certificate_reply certificate;
		struct tlsp_ask_verify_reply verify;
		struct tlsp_ask_session_reply session;
		struct tlsp_ask_staple_reply staple;
		struct tlsp_ask_sign_reply sign;
	} m;
	unsigned int version, number;
	size_t none = 0;
	ssize_t n;

	while ((n = tlsp_channel_recv(fd, buf, sizeof(buf), NULL, &none,
		    MSG_DONTWAIT)) > 0) {
		require(
		    tlsp_wire_header(buf, (size_t)n, &version, &number) == 0);
		require(number >= TLSP_ASK_CERTIFICATE_REPLY &&
			number <= TLSP_ASK_SIGN_REPLY);
		require(tlsp_wire_decode(buf, (size_t)n, 0, number, &m) == 0);
	}
}

/* Takes up to n bytes off the input. */
static struct tlsp_string
take(const uint8_t **data, size_t *size, size_t n)
{
	struct tlsp_string s;

	if (n > *size)
		n = *size;
	s.data = (const char *)*data;
	s.len = n;
	*data += n;
	*size -= n;
	return s;
}

static uint32_t
take_number(const uint8_t **data, size_t *size)
{
	struct tlsp_string s = take(data, size, 1);

	return s.len == 0 ? 0 : *(const uint8_t *)s.data;
}

/* Strings with a length in front, as wide as a byte. */
static struct tlsp_string
take_bytes(const uint8_t **data, size_t *size)
{
	return take(data, size, take_number(data, size));
}

/* A message that can be decoded, of what is left of the input. */
static size_t
make(uint8_t *buf, size_t room, unsigned int kind, const uint8_t *data,
    size_t size)
{
	static const unsigned int numbers[] = { TLSP_ASK_CERTIFICATE,
		TLSP_ASK_VERIFY, TLSP_ASK_SESSION, TLSP_ASK_STAPLE,
		TLSP_ASK_SIGN, TLSP_CANCEL };
	union {
		struct tlsp_ask_certificate certificate;
		struct tlsp_ask_verify verify;
		struct tlsp_ask_session session;
		struct tlsp_ask_staple staple;
		struct tlsp_ask_sign sign;
		struct tlsp_cancel cancel;
	} m;
	const unsigned int number = numbers[kind % 6];

	memset(&m, 0, sizeof(m));
	switch (number) {
	case TLSP_ASK_CERTIFICATE:
		m.certificate.request = take_number(&data, &size);
		m.certificate.servername = take_bytes(&data, &size);
		m.certificate.address = take_bytes(&data, &size);
		m.certificate.alpn = take_bytes(&data, &size);
		m.certificate.schemes = take_bytes(&data, &size);
		m.certificate.versions = take(&data, &size, size);
		break;
	case TLSP_ASK_VERIFY:
		m.verify.request = take_number(&data, &size);
		m.verify.depth = take_number(&data, &size);
		m.verify.verdict = take_bytes(&data, &size);
		m.verify.chain = take(&data, &size, size);
		break;
	case TLSP_ASK_SESSION:
		m.session.request = take_number(&data, &size);
		m.session.operation = (uint8_t)take_number(&data, &size);
		m.session.id = take_bytes(&data, &size);
		m.session.session = take(&data, &size, size);
		break;
	case TLSP_ASK_STAPLE:
		m.staple.hash = take(&data, &size, size);
		break;
	case TLSP_ASK_SIGN:
		m.sign.hash = take_bytes(&data, &size);
		m.sign.digest = take(&data, &size, size);
		break;
	case TLSP_CANCEL:
		m.cancel.request = take_number(&data, &size);
		break;
	}
	return tlsp_wire_encode(buf, room, number, &m);
}

/*
 * One byte for how to answer, one for what to ask (0 to 127 a message that is
 * well-formed, else any bytes, and 192 on with a descriptor), the rest for it.
 */
int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct tls *ctx;
	static int fd = -1;
	static uint8_t buf[TLSP_WIRE_MESSAGE_MAX];
	struct tls_request *request;
	uint8_t how, kind;
	size_t len;

	if (ctx == NULL) {
		require((ctx = tls_server()) != NULL);
		require((ctx->config = tls_config_new()) != NULL);
		require((fd = tls_requests_enter(ctx)) != -1);
	}
	if (size < 3 || size > sizeof(buf) / 2)
		return 0;
	how = *data++;
	kind = *data++;
	size -= 2;
	if (kind < 128) {
		len = make(buf, sizeof(buf), kind, data, size);
		if (len > sizeof(buf))
			return 0;
	} else {
		memcpy(buf, data, size);
		len = size;
	}
	if (len == 0)
		return 0;
	require(tlsp_channel_send(fd, buf, len, &fd, kind >= 192 ? 1 : 0,
		    tlsp_deadline_in(1000)) == 0);
	while ((request = tls_request_next(ctx)) != NULL) {
		check_facts(tls_request_facts(request), ctx);
		answer(request, how, data, size);
	}
	check_answers(fd);
	return 0;
}
