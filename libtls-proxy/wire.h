/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

/*
 * The messages that the library and the supervisor send or receive, as
 * goproxy-protocol(7) lists them; scripts/check-protocol compares the rows.
 * Structures, numbers and the field tables all come from these rows, so that
 * a message is changed in one place.
 */

#ifndef TLSP_WIRE_H
#define TLSP_WIRE_H

#include <stddef.h>
#include <stdint.h>

#define TLSP_WIRE_VERSION      1
#define TLSP_WIRE_HEADER       4	 /* version:u16 number:u16 */
#define TLSP_WIRE_MESSAGE_MAX  65536	 /* on a SEQPACKET channel */
#define TLSP_WIRE_FRAME_MAX    (1 << 20) /* on a data channel */
#define TLSP_WIRE_DOCUMENT_MAX (64 << 20)
#define TLSP_WIRE_CHUNK_MAX    65536 /* records or plaintext to an engine */
#define TLSP_WIRE_FDS_MAX      6

/* clang-format off */
/* M(NAME, name, number, sender, channel, fds min, fds max, F(name, type, field) ...) */
#define TLSP_MESSAGES(M, F)						       \
	M(HELLO, hello, 0x0001, library, control, 1, 1, )		       \
	M(HELLO_REPLY, hello_reply, 0x0081, keeper, draft, 0, 0,	       \
	    F(hello_reply, str, release))				       \
	M(INFO, info, 0x0050, library, control, 1, 1, )			       \
	M(INFO_REPLY, info_reply, 0x00d0, keeper, reply, 0, 0,		       \
	    F(info_reply, str, release) F(info_reply, u32, workers)	       \
	    F(info_reply, u32, deaths) F(info_reply, u32, configs)	       \
	    F(info_reply, u32, keys) F(info_reply, u64, signatures)	       \
	    F(info_reply, u64, refused) F(info_reply, str, refused_last))      \
	M(REPORT, report, 0x0060, library, control, 1, 1, )		       \
	M(WORKER_STATE, worker_state, 0x0062, worker, report, 0, 0,	       \
	    F(worker_state, u64, age) F(worker_state, u64, full)	       \
	    F(worker_state, u64, resumed) F(worker_state, u64, failed)	       \
	    F(worker_state, u64, broken)				       \
	    F(worker_state, u32, connections)				       \
	    F(worker_state, u32, causes))				       \
	M(CONNECTION_STATE, connection_state, 0x0063, worker, report, 0, 0,    \
	    F(connection_state, u8, role) F(connection_state, u8, state)       \
	    F(connection_state, u8, transport)				       \
	    F(connection_state, u64, age) F(connection_state, str, version)    \
	    F(connection_state, str, cipher) F(connection_state, str, alpn)    \
	    F(connection_state, str, servername)			       \
	    F(connection_state, str, common_name)			       \
	    F(connection_state, str, address)				       \
	    F(connection_state, u8, resumed)				       \
	    F(connection_state, u64, received)				       \
	    F(connection_state, u64, sent))				       \
	M(FAILURE_STATE, failure_state, 0x0064, worker, report, 0, 0,	       \
	    F(failure_state, str, cause) F(failure_state, u64, count))	       \
	M(ADD_KEY, add_key, 0x0002, library, draft, 2, 2, )		       \
	M(ADD_KEY_REPLY, add_key_reply, 0x0082, keeper, reply, 0, 0,	       \
	    F(add_key_reply, str, error) F(add_key_reply, u32, slot))	       \
	M(DROP_KEY, drop_key, 0x0003, library, draft, 0, 0,		       \
	    F(drop_key, u32, slot))					       \
	M(CHECK_CERT, check_cert, 0x0016, library, draft, 2, 2, )	       \
	M(CHECK_CERT_REPLY, check_cert_reply, 0x0096, keeper, reply, 0, 0,     \
	    F(check_cert_reply, str, error) F(check_cert_reply, str, hash))    \
	M(DECRYPT_KEY, decrypt_key, 0x0017, library, draft, 2, 2,	       \
	    F(decrypt_key, bytes, password))				       \
	M(DECRYPT_KEY_REPLY, decrypt_key_reply, 0x0097, keeper, reply, 0, 0,   \
	    F(decrypt_key_reply, str, error)				       \
	    F(decrypt_key_reply, bytes, key))				       \
	M(ADD_SIGNER, add_signer, 0x0041, library, draft, 3, 3, )	       \
	M(ADD_SIGNER_REPLY, add_signer_reply, 0x00c1, keeper, reply, 0, 0,     \
	    F(add_signer_reply, str, error) F(add_signer_reply, str, hash)     \
	    F(add_signer_reply, u32, slot))				       \
	M(SIGN_RAW, sign_raw, 0x0042, library, draft, 1, 1,		       \
	    F(sign_raw, u32, slot) F(sign_raw, u8, padding)		       \
	    F(sign_raw, bytes, input))					       \
	M(SIGN_RAW_REPLY, sign_raw_reply, 0x00c2, keeper, reply, 0, 0,	       \
	    F(sign_raw_reply, str, error) F(sign_raw_reply, bytes, signature)) \
	M(ATTACH_KEY, attach_key, 0x0049, library, draft, 3, 3,		       \
	    F(attach_key, u32, config))					       \
	M(ATTACH_KEY_REPLY, attach_key_reply, 0x00c9, keeper, reply, 0, 0,     \
	    F(attach_key_reply, str, error) F(attach_key_reply, u32, slot))    \
	M(COMMIT, commit, 0x0004, library, draft, 2, 2,			       \
	    F(commit, u8, isolation))					       \
	M(COMMIT_REPLY, commit_reply, 0x0084, keeper, config, 0, 0,	       \
	    F(commit_reply, str, error))				       \
	M(SETTINGS, settings, 0x0005, library, document, 0, 0,		       \
	    F(settings, u8, role) F(settings, u32, protocols)		       \
	    F(settings, bytes, ciphers) F(settings, bytes, groups)	       \
	    F(settings, u8, prefer_client) F(settings, u8, verify_client)      \
	    F(settings, u32, verify_depth) F(settings, bytes, ca)	       \
	    F(settings, u8, check_crl) F(settings, bytes, crl)		       \
	    F(settings, bytes, alpn) F(settings, bytes, session_id)	       \
	    F(settings, u32, session_lifetime) F(settings, u32, requests)      \
	    F(settings, u32, request_timeout))				       \
	M(KEYPAIR, keypair, 0x0006, library, document, 0, 0,		       \
	    F(keypair, u32, slot) F(keypair, bytes, certificate))	       \
	M(STAPLE, staple, 0x000c, library, document, 0, 0,		       \
	    F(staple, u32, pair) F(staple, bytes, response))		       \
	M(TICKET_KEY, ticket_key, 0x000d, library, document, 0, 0,	       \
	    F(ticket_key, u32, revision) F(ticket_key, bytes, key))	       \
	M(OPEN, open, 0x0018, library, config, 1, 1, )			       \
	M(ALPN, alpn, 0x004b, library, document, 0, 0,			       \
	    F(alpn, bytes, protocols))					       \
	M(START, start, 0x0007, library, config, 2, 6,			       \
	    F(start, u8, verify) F(start, str, servername))		       \
	M(UPDATE, update, 0x000e, library, config, 1, 1, )		       \
	M(OCSP, ocsp, 0x000f, library, config, 2, 2,			       \
	    F(ocsp, u64, connection))					       \
	M(OCSP_REPLY, ocsp_reply, 0x008f, worker, reply, 0, 0,		       \
	    F(ocsp_reply, str, error) F(ocsp_reply, str, result)	       \
	    F(ocsp_reply, i64, response_status)				       \
	    F(ocsp_reply, i64, cert_status) F(ocsp_reply, i64, crl_reason)     \
	    F(ocsp_reply, i64, this_update) F(ocsp_reply, i64, next_update)    \
	    F(ocsp_reply, i64, revocation_time))			       \
	M(STATUS, status, 0x0008, library, config, 1, 1,		       \
	    F(status, u64, connection))					       \
	M(STATUS_REPLY, status_reply, 0x0088, worker, reply, 0, 0,	       \
	    F(status_reply, u8, ending) F(status_reply, str, error))	       \
	M(ESTABLISHED, established, 0x0009, worker, data, 0, 0,		       \
	    F(established, u64, connection) F(established, str, version)       \
	    F(established, str, cipher) F(established, u32, cipher_strength)   \
	    F(established, str, alpn) F(established, str, servername)	       \
	    F(established, u8, resumed) F(established, u8, peer)	       \
	    F(established, str, hash) F(established, str, subject)	       \
	    F(established, str, issuer) F(established, str, common_name)       \
	    F(established, i64, not_before) F(established, i64, not_after)     \
	    F(established, bytes, chain) F(established, bytes, names)	       \
	    F(established, str, ocsp_url) F(established, str, ocsp_result)     \
	    F(established, i64, ocsp_response_status)			       \
	    F(established, i64, ocsp_cert_status)			       \
	    F(established, i64, ocsp_crl_reason)			       \
	    F(established, i64, ocsp_this_update)			       \
	    F(established, i64, ocsp_next_update)			       \
	    F(established, i64, ocsp_revocation_time))			       \
	M(SIGN_CALLBACK, sign_callback, 0x0040, worker, data, 0, 0,	       \
	    F(sign_callback, str, hash) F(sign_callback, u8, padding)	       \
	    F(sign_callback, bytes, input))				       \
	M(SIGN_CALLBACK_REPLY, sign_callback_reply, 0x00c0, library, data,     \
	    0, 0,							       \
	    F(sign_callback_reply, bytes, signature))			       \
	M(FAILED, failed, 0x000a, worker, data, 0, 2,			       \
	    F(failed, str, error))					       \
	M(CLOSE, close, 0x000b, library, data, 1, 1,			       \
	    F(close, mark, mark))					       \
	M(CLOSE_REPLY, close_reply, 0x008b, worker, reply, 1, 2,	       \
	    F(close_reply, u8, ending) F(close_reply, str, error))	       \
	M(RESUME, resume, 0x0037, library, data, 1, 2,			       \
	    F(resume, mark, mark))					       \
	M(ASK_CERTIFICATE, ask_certificate, 0x0043, worker, requests, 0, 0,    \
	    F(ask_certificate, u64, request)				       \
	    F(ask_certificate, u32, config)				       \
	    F(ask_certificate, str, servername)				       \
	    F(ask_certificate, bytes, alpn)				       \
	    F(ask_certificate, bytes, schemes)				       \
	    F(ask_certificate, bytes, versions)				       \
	    F(ask_certificate, str, address))				       \
	M(ASK_CERTIFICATE_REPLY, ask_certificate_reply, 0x00c3, library, requests, 0, 1,\
	    F(ask_certificate_reply, u64, request)			       \
	    F(ask_certificate_reply, u8, action)			       \
	    F(ask_certificate_reply, u32, number)			       \
	    F(ask_certificate_reply, str, error))			       \
	M(ASK_VERIFY, ask_verify, 0x0044, worker, requests, 0, 0,	       \
	    F(ask_verify, u64, request) F(ask_verify, u32, depth)	       \
	    F(ask_verify, str, verdict) F(ask_verify, bytes, chain))	       \
	M(ASK_VERIFY_REPLY, ask_verify_reply, 0x00c4, library, requests, 0, 0, \
	    F(ask_verify_reply, u64, request)				       \
	    F(ask_verify_reply, str, error))				       \
	M(ASK_SESSION, ask_session, 0x0045, worker, requests, 0, 0,	       \
	    F(ask_session, u64, request) F(ask_session, u8, operation)	       \
	    F(ask_session, bytes, id) F(ask_session, bytes, session)	       \
	    F(ask_session, u32, lifetime))				       \
	M(ASK_SESSION_REPLY, ask_session_reply, 0x00c5, library, requests, 0, 0,\
	    F(ask_session_reply, u64, request)				       \
	    F(ask_session_reply, bytes, session))			       \
	M(ASK_STAPLE, ask_staple, 0x0046, worker, requests, 0, 0,	       \
	    F(ask_staple, u64, request) F(ask_staple, str, hash))	       \
	M(ASK_STAPLE_REPLY, ask_staple_reply, 0x00c6, library, requests, 0, 0, \
	    F(ask_staple_reply, u64, request)				       \
	    F(ask_staple_reply, u8, action)				       \
	    F(ask_staple_reply, bytes, response))			       \
	M(ASK_SIGN, ask_sign, 0x0047, worker, requests, 0, 0,		       \
	    F(ask_sign, u64, request) F(ask_sign, str, hash)		       \
	    F(ask_sign, u16, scheme) F(ask_sign, bytes, digest))	       \
	M(ASK_SIGN_REPLY, ask_sign_reply, 0x00c7, library, requests, 0, 0,     \
	    F(ask_sign_reply, u64, request)				       \
	    F(ask_sign_reply, bytes, signature))			       \
	M(CANCEL, cancel, 0x0048, worker, requests, 0, 0,		       \
	    F(cancel, u64, request))					       \
	M(ENGINE, engine, 0x0030, library, config, 1, 3,		       \
	    F(engine, u8, verify) F(engine, str, servername))		       \
	M(INPUT, input, 0x0031, library, data, 0, 0,			       \
	    F(input, u8, end) F(input, u32, errnum) F(input, bytes, record))    \
	M(INPUT_REPLY, input_reply, 0x00b1, worker, data, 0, 0,		       \
	    F(input_reply, u8, ending) F(input_reply, str, error)	       \
	    F(input_reply, bytes, plaintext))				       \
	M(WRITE, write, 0x0032, library, data, 0, 0,			       \
	    F(write, bytes, plaintext))					       \
	M(WRITE_REPLY, write_reply, 0x00b2, worker, data, 0, 0,		       \
	    F(write_reply, str, error))					       \
	M(OUTPUT_FAILED, output_failed, 0x0033, library, data, 0, 0,	       \
	    F(output_failed, u32, errnum))				       \
	M(OUTPUT_FAILED_REPLY, output_failed_reply, 0x00b3, worker, data, 0, 0,\
	    F(output_failed_reply, str, error))				       \
	M(SHUTDOWN, shutdown, 0x0034, library, data, 0, 0, )		       \
	M(SHUTDOWN_REPLY, shutdown_reply, 0x00b4, worker, data, 0, 0, )	       \
	M(OUTPUT, output, 0x0035, worker, data, 0, 0,			       \
	    F(output, bytes, records))					       \
	M(NEED, need, 0x0036, worker, data, 0, 0, )			       \
	M(SPAWN, spawn, 0x0020, keeper, supervisor, 1, 1, )
/* clang-format on */

/* Borrowed from the message's buffer after decoding; never owned. */
struct tlsp_string {
	const void *data;
	size_t len;
};

enum tlsp_field_type {
	TLSP_TYPE_end,
	TLSP_TYPE_u8,
	TLSP_TYPE_u16,
	TLSP_TYPE_u32,
	TLSP_TYPE_u64,
	TLSP_TYPE_i64,
	TLSP_TYPE_str,
	TLSP_TYPE_bytes,
	TLSP_TYPE_mark, /* no fields: the message is one byte, its number */
};

typedef uint8_t tlsp_u8;
typedef uint16_t tlsp_u16;
typedef uint32_t tlsp_u32;
typedef uint64_t tlsp_u64;
typedef int64_t tlsp_i64;
typedef struct tlsp_string tlsp_str;
typedef struct tlsp_string tlsp_bytes;
typedef uint8_t tlsp_mark;

enum tlsp_message_number {
#define F(name, type, field)
#define M(NAME, name, number, sender, channel, min, max, fields)               \
	TLSP_##NAME = number,
	TLSP_MESSAGES(M, F)
#undef F
#undef M
};

/* ISO C has no empty structure: hence end_. */
#define F(name, type, field) tlsp_##type field;
#define M(NAME, name, number, sender, channel, min, max, fields)               \
	struct tlsp_##name {                                                   \
		fields uint8_t end_;                                           \
	};
TLSP_MESSAGES(M, F)
#undef F
#undef M

enum tlsp_role {
	TLSP_ROLE_CLIENT = 1,
	TLSP_ROLE_SERVER = 2,
};

enum tlsp_isolation {
	TLSP_ISOLATION_PROCESS = 0,
	TLSP_ISOLATION_CONFIG = 1,
	TLSP_ISOLATION_CONNECTION = 2,
};

enum tlsp_verify {
	TLSP_VERIFY_CERT = 1,
	TLSP_VERIFY_NAME = 2,
	TLSP_VERIFY_TIME = 4,
	TLSP_VERIFY_STAPLE = 8,
};

/* The slot of a key that only the application can reach. */
#define TLSP_SLOT_APPLICATION 0xffffffff

enum tlsp_certificate_action {
	TLSP_CERTIFICATE_DEFAULT = 0,
	TLSP_CERTIFICATE_PAIR = 1,
	TLSP_CERTIFICATE_NEW = 2,
	TLSP_CERTIFICATE_REFUSE = 3,
};

/* What ends the records that INPUT brings. */
enum tlsp_input_end {
	TLSP_INPUT_RECORD = 0,
	TLSP_INPUT_EOF = 1,
	TLSP_INPUT_FAILED = 2,
};

enum tlsp_ending {
	TLSP_ENDING_UNKNOWN = 0,
	TLSP_ENDING_OPEN = 1,
	TLSP_ENDING_CLOSE_NOTIFY = 2,
	TLSP_ENDING_EOF = 3,
	TLSP_ENDING_FAILED = 4,
};

/* What a report says of a connection that is in its handshake. */
#define TLSP_STATE_HANDSHAKE 0

struct tlsp_field {
	enum tlsp_field_type type;
	size_t offset;
	const char *name;
};

/* A row of the table; fields ends with TLSP_TYPE_end. */
struct tlsp_message {
	uint16_t number;
	const char *name;
	size_t min_fds, max_fds;
	size_t size; /* of the structure */
	const struct tlsp_field *fields;
};

/* Returns the row of a number, or of a name; NULL if there is none. */
const struct tlsp_message *tlsp_wire_message(unsigned int number);
const struct tlsp_message *tlsp_wire_message_named(const char *name);

/*
 * Returns the length of the encoded message, and writes it to buf where size
 * suffices. Returns 0 if a string is too long for its u32 length or a str has
 * a NUL byte.
 */
size_t tlsp_wire_encode(uint8_t *buf, size_t size, unsigned int number,
    const void *message);

/*
 * Decodes exactly len bytes that must be the message with this number and
 * have come with nfds descriptors. Strings of *message point into buf.
 * Returns 0, or -1 with *message in an undefined state.
 */
int tlsp_wire_decode(const uint8_t *buf, size_t len, size_t nfds,
    unsigned int number, void *message);

/* Reads a header: its version and number; -1 if there are too few bytes. */
int tlsp_wire_header(const uint8_t *buf, size_t len, unsigned int *version,
    unsigned int *number);

uint32_t tlsp_get_u32(const uint8_t *buf);
void tlsp_put_u32(uint8_t *buf, uint32_t value);

/* A NUL-terminated string as a field; NULL is the empty string. */
struct tlsp_string tlsp_string(const char *s);

#endif
