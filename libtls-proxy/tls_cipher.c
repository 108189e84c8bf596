/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "tls_cipher.h"

/*
 * A suite has one trait of each kind; one without encryption has no class. In
 * a selection no trait of a kind stands for any.
 */
#define BITS(first, last) (((1U << ((last) + 1)) - 1) & ~((1U << (first)) - 1))

#define KX_RSA		  (1U << 0)
#define KX_DHE		  (1U << 1)
#define KX_ECDHE	  (1U << 2)
#define KX_TLS13	  (1U << 3)
#define KX		  BITS(0, 3)

#define AU_RSA		  (1U << 4)
#define AU_ECDSA	  (1U << 5)
#define AU_NULL		  (1U << 6)
#define AU_TLS13	  (1U << 7)
#define AU		  BITS(4, 7)

#define ENC_NULL	  (1U << 8)
#define ENC_RC4		  (1U << 9)
#define ENC_3DES	  (1U << 10)
#define ENC_AES128	  (1U << 11)
#define ENC_AES256	  (1U << 12)
#define ENC_AES128GCM	  (1U << 13)
#define ENC_AES256GCM	  (1U << 14)
#define ENC_CAMELLIA128	  (1U << 15)
#define ENC_CAMELLIA256	  (1U << 16)
#define ENC_CHACHA20	  (1U << 17)
#define ENC		  BITS(8, 17)

#define MAC_MD5		  (1U << 18)
#define MAC_SHA1	  (1U << 19)
#define MAC_SHA256	  (1U << 20)
#define MAC_SHA384	  (1U << 21)
#define MAC_AEAD	  (1U << 22)
#define MAC		  BITS(18, 22)

#define SSLV3		  (1U << 23) /* and TLS 1.0 and 1.1 */
#define TLS12		  (1U << 24)
#define TLS13		  (1U << 25)
#define PROTOCOL	  BITS(23, 25)

#define LOW		  (1U << 26)
#define MEDIUM		  (1U << 27)
#define HIGH		  (1U << 28)
#define CLASS		  BITS(26, 28)

static const uint32_t kinds[] = { KX, AU, ENC, MAC, PROTOCOL, CLASS };

struct suite {
	const char *name;
	uint16_t id;
	int strength; /* in bits */
	uint32_t traits;
};

/*
 * In LibreSSL's order of preference on a machine with AES instructions, from
 * which every selection starts: TLS 1.3 first, then by strength; in each class
 * ECDHE first, AES before all else, and in the end what is anonymous, lacks
 * forward secrecy or is RC4.
 */
static const struct suite suites[] = {
	{ "TLS_AES_256_GCM_SHA384", 0x1302, 256,
	    KX_TLS13 | AU_TLS13 | ENC_AES256GCM | MAC_AEAD | TLS13 | HIGH },
	{ "TLS_CHACHA20_POLY1305_SHA256", 0x1303, 256,
	    KX_TLS13 | AU_TLS13 | ENC_CHACHA20 | MAC_AEAD | TLS13 | HIGH },
	{ "TLS_AES_128_GCM_SHA256", 0x1301, 128,
	    KX_TLS13 | AU_TLS13 | ENC_AES128GCM | MAC_AEAD | TLS13 | HIGH },
	{ "ECDHE-RSA-AES256-GCM-SHA384", 0xc030, 256,
	    KX_ECDHE | AU_RSA | ENC_AES256GCM | MAC_AEAD | TLS12 | HIGH },
	{ "ECDHE-ECDSA-AES256-GCM-SHA384", 0xc02c, 256,
	    KX_ECDHE | AU_ECDSA | ENC_AES256GCM | MAC_AEAD | TLS12 | HIGH },
	{ "ECDHE-RSA-AES256-SHA384", 0xc028, 256,
	    KX_ECDHE | AU_RSA | ENC_AES256 | MAC_SHA384 | TLS12 | HIGH },
	{ "ECDHE-ECDSA-AES256-SHA384", 0xc024, 256,
	    KX_ECDHE | AU_ECDSA | ENC_AES256 | MAC_SHA384 | TLS12 | HIGH },
	{ "ECDHE-RSA-AES256-SHA", 0xc014, 256,
	    KX_ECDHE | AU_RSA | ENC_AES256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ECDHE-ECDSA-AES256-SHA", 0xc00a, 256,
	    KX_ECDHE | AU_ECDSA | ENC_AES256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "DHE-RSA-AES256-GCM-SHA384", 0x009f, 256,
	    KX_DHE | AU_RSA | ENC_AES256GCM | MAC_AEAD | TLS12 | HIGH },
	{ "DHE-RSA-AES256-SHA256", 0x006b, 256,
	    KX_DHE | AU_RSA | ENC_AES256 | MAC_SHA256 | TLS12 | HIGH },
	{ "DHE-RSA-AES256-SHA", 0x0039, 256,
	    KX_DHE | AU_RSA | ENC_AES256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ECDHE-ECDSA-CHACHA20-POLY1305", 0xcca9, 256,
	    KX_ECDHE | AU_ECDSA | ENC_CHACHA20 | MAC_AEAD | TLS12 | HIGH },
	{ "ECDHE-RSA-CHACHA20-POLY1305", 0xcca8, 256,
	    KX_ECDHE | AU_RSA | ENC_CHACHA20 | MAC_AEAD | TLS12 | HIGH },
	{ "DHE-RSA-CHACHA20-POLY1305", 0xccaa, 256,
	    KX_DHE | AU_RSA | ENC_CHACHA20 | MAC_AEAD | TLS12 | HIGH },
	{ "DHE-RSA-CAMELLIA256-SHA256", 0x00c4, 256,
	    KX_DHE | AU_RSA | ENC_CAMELLIA256 | MAC_SHA256 | TLS12 | HIGH },
	{ "DHE-RSA-CAMELLIA256-SHA", 0x0088, 256,
	    KX_DHE | AU_RSA | ENC_CAMELLIA256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "AECDH-AES256-SHA", 0xc019, 256,
	    KX_ECDHE | AU_NULL | ENC_AES256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ADH-AES256-GCM-SHA384", 0x00a7, 256,
	    KX_DHE | AU_NULL | ENC_AES256GCM | MAC_AEAD | TLS12 | HIGH },
	{ "ADH-AES256-SHA256", 0x006d, 256,
	    KX_DHE | AU_NULL | ENC_AES256 | MAC_SHA256 | TLS12 | HIGH },
	{ "ADH-AES256-SHA", 0x003a, 256,
	    KX_DHE | AU_NULL | ENC_AES256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ADH-CAMELLIA256-SHA256", 0x00c5, 256,
	    KX_DHE | AU_NULL | ENC_CAMELLIA256 | MAC_SHA256 | TLS12 | HIGH },
	{ "ADH-CAMELLIA256-SHA", 0x0089, 256,
	    KX_DHE | AU_NULL | ENC_CAMELLIA256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "AES256-GCM-SHA384", 0x009d, 256,
	    KX_RSA | AU_RSA | ENC_AES256GCM | MAC_AEAD | TLS12 | HIGH },
	{ "AES256-SHA256", 0x003d, 256,
	    KX_RSA | AU_RSA | ENC_AES256 | MAC_SHA256 | TLS12 | HIGH },
	{ "AES256-SHA", 0x0035, 256,
	    KX_RSA | AU_RSA | ENC_AES256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "CAMELLIA256-SHA256", 0x00c0, 256,
	    KX_RSA | AU_RSA | ENC_CAMELLIA256 | MAC_SHA256 | TLS12 | HIGH },
	{ "CAMELLIA256-SHA", 0x0084, 256,
	    KX_RSA | AU_RSA | ENC_CAMELLIA256 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ECDHE-RSA-AES128-GCM-SHA256", 0xc02f, 128,
	    KX_ECDHE | AU_RSA | ENC_AES128GCM | MAC_AEAD | TLS12 | HIGH },
	{ "ECDHE-ECDSA-AES128-GCM-SHA256", 0xc02b, 128,
	    KX_ECDHE | AU_ECDSA | ENC_AES128GCM | MAC_AEAD | TLS12 | HIGH },
	{ "ECDHE-RSA-AES128-SHA256", 0xc027, 128,
	    KX_ECDHE | AU_RSA | ENC_AES128 | MAC_SHA256 | TLS12 | HIGH },
	{ "ECDHE-ECDSA-AES128-SHA256", 0xc023, 128,
	    KX_ECDHE | AU_ECDSA | ENC_AES128 | MAC_SHA256 | TLS12 | HIGH },
	{ "ECDHE-RSA-AES128-SHA", 0xc013, 128,
	    KX_ECDHE | AU_RSA | ENC_AES128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ECDHE-ECDSA-AES128-SHA", 0xc009, 128,
	    KX_ECDHE | AU_ECDSA | ENC_AES128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "DHE-RSA-AES128-GCM-SHA256", 0x009e, 128,
	    KX_DHE | AU_RSA | ENC_AES128GCM | MAC_AEAD | TLS12 | HIGH },
	{ "DHE-RSA-AES128-SHA256", 0x0067, 128,
	    KX_DHE | AU_RSA | ENC_AES128 | MAC_SHA256 | TLS12 | HIGH },
	{ "DHE-RSA-AES128-SHA", 0x0033, 128,
	    KX_DHE | AU_RSA | ENC_AES128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "DHE-RSA-CAMELLIA128-SHA256", 0x00be, 128,
	    KX_DHE | AU_RSA | ENC_CAMELLIA128 | MAC_SHA256 | TLS12 | HIGH },
	{ "DHE-RSA-CAMELLIA128-SHA", 0x0045, 128,
	    KX_DHE | AU_RSA | ENC_CAMELLIA128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "AECDH-AES128-SHA", 0xc018, 128,
	    KX_ECDHE | AU_NULL | ENC_AES128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ADH-AES128-GCM-SHA256", 0x00a6, 128,
	    KX_DHE | AU_NULL | ENC_AES128GCM | MAC_AEAD | TLS12 | HIGH },
	{ "ADH-AES128-SHA256", 0x006c, 128,
	    KX_DHE | AU_NULL | ENC_AES128 | MAC_SHA256 | TLS12 | HIGH },
	{ "ADH-AES128-SHA", 0x0034, 128,
	    KX_DHE | AU_NULL | ENC_AES128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ADH-CAMELLIA128-SHA256", 0x00bf, 128,
	    KX_DHE | AU_NULL | ENC_CAMELLIA128 | MAC_SHA256 | TLS12 | HIGH },
	{ "ADH-CAMELLIA128-SHA", 0x0046, 128,
	    KX_DHE | AU_NULL | ENC_CAMELLIA128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "AES128-GCM-SHA256", 0x009c, 128,
	    KX_RSA | AU_RSA | ENC_AES128GCM | MAC_AEAD | TLS12 | HIGH },
	{ "AES128-SHA256", 0x003c, 128,
	    KX_RSA | AU_RSA | ENC_AES128 | MAC_SHA256 | TLS12 | HIGH },
	{ "AES128-SHA", 0x002f, 128,
	    KX_RSA | AU_RSA | ENC_AES128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "CAMELLIA128-SHA256", 0x00ba, 128,
	    KX_RSA | AU_RSA | ENC_CAMELLIA128 | MAC_SHA256 | TLS12 | HIGH },
	{ "CAMELLIA128-SHA", 0x0041, 128,
	    KX_RSA | AU_RSA | ENC_CAMELLIA128 | MAC_SHA1 | SSLV3 | HIGH },
	{ "ECDHE-RSA-RC4-SHA", 0xc011, 128,
	    KX_ECDHE | AU_RSA | ENC_RC4 | MAC_SHA1 | SSLV3 | LOW },
	{ "ECDHE-ECDSA-RC4-SHA", 0xc007, 128,
	    KX_ECDHE | AU_ECDSA | ENC_RC4 | MAC_SHA1 | SSLV3 | LOW },
	{ "AECDH-RC4-SHA", 0xc016, 128,
	    KX_ECDHE | AU_NULL | ENC_RC4 | MAC_SHA1 | SSLV3 | LOW },
	{ "ADH-RC4-MD5", 0x0018, 128,
	    KX_DHE | AU_NULL | ENC_RC4 | MAC_MD5 | SSLV3 | LOW },
	{ "RC4-SHA", 0x0005, 128,
	    KX_RSA | AU_RSA | ENC_RC4 | MAC_SHA1 | SSLV3 | LOW },
	{ "RC4-MD5", 0x0004, 128,
	    KX_RSA | AU_RSA | ENC_RC4 | MAC_MD5 | SSLV3 | LOW },
	{ "ECDHE-RSA-DES-CBC3-SHA", 0xc012, 112,
	    KX_ECDHE | AU_RSA | ENC_3DES | MAC_SHA1 | SSLV3 | MEDIUM },
	{ "ECDHE-ECDSA-DES-CBC3-SHA", 0xc008, 112,
	    KX_ECDHE | AU_ECDSA | ENC_3DES | MAC_SHA1 | SSLV3 | MEDIUM },
	{ "EDH-RSA-DES-CBC3-SHA", 0x0016, 112,
	    KX_DHE | AU_RSA | ENC_3DES | MAC_SHA1 | SSLV3 | MEDIUM },
	{ "AECDH-DES-CBC3-SHA", 0xc017, 112,
	    KX_ECDHE | AU_NULL | ENC_3DES | MAC_SHA1 | SSLV3 | MEDIUM },
	{ "ADH-DES-CBC3-SHA", 0x001b, 112,
	    KX_DHE | AU_NULL | ENC_3DES | MAC_SHA1 | SSLV3 | MEDIUM },
	{ "DES-CBC3-SHA", 0x000a, 112,
	    KX_RSA | AU_RSA | ENC_3DES | MAC_SHA1 | SSLV3 | MEDIUM },
	{ "ECDHE-RSA-NULL-SHA", 0xc010, 0,
	    KX_ECDHE | AU_RSA | ENC_NULL | MAC_SHA1 | SSLV3 },
	{ "ECDHE-ECDSA-NULL-SHA", 0xc006, 0,
	    KX_ECDHE | AU_ECDSA | ENC_NULL | MAC_SHA1 | SSLV3 },
	{ "AECDH-NULL-SHA", 0xc015, 0,
	    KX_ECDHE | AU_NULL | ENC_NULL | MAC_SHA1 | SSLV3 },
	{ "NULL-SHA256", 0x003b, 0,
	    KX_RSA | AU_RSA | ENC_NULL | MAC_SHA256 | TLS12 },
	{ "NULL-SHA", 0x0002, 0,
	    KX_RSA | AU_RSA | ENC_NULL | MAC_SHA1 | SSLV3 },
	{ "NULL-MD5", 0x0001, 0, KX_RSA | AU_RSA | ENC_NULL | MAC_MD5 | SSLV3 },
};

#define NSUITES (sizeof(suites) / sizeof(suites[0]))

static const struct {
	const char *name;
	uint32_t traits;
} keywords[] = {
	{ "ALL", ENC & ~ENC_NULL },
	{ "COMPLEMENTOFALL", ENC_NULL },
	{ "COMPLEMENTOFDEFAULT",
	    KX_DHE | KX_ECDHE | AU_NULL | (ENC & ~ENC_NULL) },
	{ "kRSA", KX_RSA },
	{ "kEDH", KX_DHE },
	{ "DH", KX_DHE },
	{ "kEECDH", KX_ECDHE },
	{ "ECDH", KX_ECDHE },
	{ "aRSA", AU_RSA },
	{ "aECDSA", AU_ECDSA },
	{ "ECDSA", AU_ECDSA },
	{ "aNULL", AU_NULL },
	{ "RSA", KX_RSA | AU_RSA },
	{ "DHE", KX_DHE | (AU & ~AU_NULL) },
	{ "EDH", KX_DHE | (AU & ~AU_NULL) },
	{ "ECDHE", KX_ECDHE | (AU & ~AU_NULL) },
	{ "EECDH", KX_ECDHE | (AU & ~AU_NULL) },
	{ "ADH", KX_DHE | AU_NULL },
	{ "AECDH", KX_ECDHE | AU_NULL },
	{ "NULL", ENC_NULL },
	{ "eNULL", ENC_NULL },
	{ "RC4", ENC_RC4 },
	{ "3DES", ENC_3DES },
	{ "AES", ENC_AES128 | ENC_AES256 | ENC_AES128GCM | ENC_AES256GCM },
	{ "AES128", ENC_AES128 | ENC_AES128GCM },
	{ "AES256", ENC_AES256 | ENC_AES256GCM },
	{ "AESGCM", ENC_AES128GCM | ENC_AES256GCM },
	{ "CAMELLIA", ENC_CAMELLIA128 | ENC_CAMELLIA256 },
	{ "CAMELLIA128", ENC_CAMELLIA128 },
	{ "CAMELLIA256", ENC_CAMELLIA256 },
	{ "CHACHA20", ENC_CHACHA20 },
	{ "MD5", MAC_MD5 },
	{ "SHA", MAC_SHA1 },
	{ "SHA1", MAC_SHA1 },
	{ "SHA256", MAC_SHA256 },
	{ "SHA384", MAC_SHA384 },
	{ "AEAD", MAC_AEAD },
	{ "SSLv3", SSLV3 },
	{ "TLSv1", SSLV3 },
	{ "TLSv1.2", TLS12 },
	{ "TLSv1.3", TLS13 },
	{ "LOW", LOW },
	{ "MEDIUM", MEDIUM },
	{ "HIGH", HIGH },
};

#define CIPHERS_SECURE "TLSv1.3:TLSv1.2+AEAD+ECDHE:TLSv1.2+AEAD+DHE"
#define CIPHERS_COMPAT "HIGH:!aNULL"
#define CIPHERS_LEGACY "HIGH:MEDIUM:!aNULL"
#define CIPHERS_ALL    "ALL:!aNULL:!eNULL"
/* For "DEFAULT" in front of more; alone it is libtls's name. */
#define CIPHERS_OPENSSL "ALL:!aNULL:!eNULL"

#define SEPARATORS	":,; "
#define WORD                                                                   \
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._="

struct entry {
	const struct suite *suite;
	int active;
};

/* All suites that have not been killed, in the order of the moment. */
struct selection {
	struct entry list[NSUITES];
	size_t n;
	int tls13_seen; /* whether the string spoke about TLS 1.3 */
	int security_level;
};

enum rule {
	RULE_ADD,    /* activates what isn't active, behind all else */
	RULE_REMOVE, /* '-': back in front, whence it can be added again */
	RULE_MOVE,   /* '+': puts what is active behind all else */
	RULE_KILL,   /* '!': for good */
};

static const struct suite *
suite_find(uint16_t id)
{
	size_t i;

	for (i = 0; i < NSUITES; i++) {
		if (suites[i].id == id)
			return &suites[i];
	}
	return NULL;
}

static int
matches(const struct suite *suite, uint32_t traits)
{
	uint32_t want;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		want = traits & kinds[i];
		if (want != 0 && (want & suite->traits) == 0)
			return 0;
	}
	return 1;
}

/* What moves keeps its order, and so does what stays. */
static void
apply(struct selection *s, enum rule rule, uint32_t traits)
{
	struct entry hits[NSUITES], rest[NSUITES], entry;
	size_t nhits = 0, nrest = 0, i;

	for (i = 0; i < s->n; i++) {
		entry = s->list[i];
		if (!matches(entry.suite, traits) ||
		    (rule == RULE_ADD && entry.active) ||
		    (rule == RULE_REMOVE && !entry.active) ||
		    (rule == RULE_MOVE && !entry.active)) {
			rest[nrest++] = entry;
		} else if (rule != RULE_KILL) {
			entry.active = rule != RULE_REMOVE;
			hits[nhits++] = entry;
		}
	}
	s->n = 0;
	if (rule == RULE_REMOVE) {
		for (i = 0; i < nhits; i++)
			s->list[s->n++] = hits[i];
	}
	for (i = 0; i < nrest; i++)
		s->list[s->n++] = rest[i];
	if (rule != RULE_REMOVE) {
		for (i = 0; i < nhits; i++)
			s->list[s->n++] = hits[i];
	}
}

/* Strongest first; in a class of strength the order stays. */
static void
sort_by_strength(struct selection *s)
{
	static const uint32_t strengths[] = {
		ENC_AES256 | ENC_AES256GCM | ENC_CAMELLIA256 | ENC_CHACHA20,
		ENC_AES128 | ENC_AES128GCM | ENC_CAMELLIA128 | ENC_RC4,
		ENC_3DES,
		ENC_NULL,
	};
	size_t i;

	for (i = 0; i < sizeof(strengths) / sizeof(strengths[0]); i++)
		apply(s, RULE_MOVE, strengths[i]);
}

/* Narrows a selection to what has these traits too; -1 if nothing can. */
static int
narrow(uint32_t *selected, uint32_t traits)
{
	uint32_t have, more, all = 0;
	size_t i;

	for (i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		have = *selected & kinds[i];
		more = traits & kinds[i];
		if (have != 0 && more != 0 && (have & more) == 0)
			return -1;
		all |= have == 0 ? more : more == 0 ? have : have & more;
	}
	*selected = all;
	return 0;
}

static int
is_word(const char *word, size_t len, const char *name)
{
	return strncmp(word, name, len) == 0 && name[len] == '\0';
}

/* Narrows a selection to a word; -1 if that means nothing, or leaves none. */
static int
add_word(struct selection *s, uint32_t *traits, const char *word, size_t len)
{
	size_t i;

	for (i = 0; i < NSUITES; i++) {
		if (!is_word(word, len, suites[i].name))
			continue;
		/* The other traits are enough, and no protocol is asked for. */
		if (narrow(traits, suites[i].traits & ~PROTOCOL) == -1)
			return -1;
		if (suites[i].traits & TLS13)
			s->tls13_seen = 1;
		return 0;
	}
	for (i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++) {
		if (is_word(word, len, keywords[i].name))
			return narrow(traits, keywords[i].traits);
	}
	return -1;
}

/* What follows an '@'. */
static int
apply_command(struct selection *s, const char *word, size_t len)
{
	static const char seclevel[] = "SECLEVEL=";
	const size_t prefix = sizeof(seclevel) - 1;

	if (is_word(word, len, "STRENGTH")) {
		sort_by_strength(s);
		return 0;
	}
	if (len == prefix + 1 && strncmp(word, seclevel, prefix) == 0 &&
	    word[prefix] >= '0' && word[prefix] <= '5') {
		s->security_level = word[prefix] - '0';
		return 0;
	}
	return -1;
}

static enum rule
read_rule(const char **p)
{
	switch (**p) {
	case '-':
		(*p)++;
		return RULE_REMOVE;
	case '+':
		(*p)++;
		return RULE_MOVE;
	case '!':
		(*p)++;
		return RULE_KILL;
	default:
		return RULE_ADD;
	}
}

/*
 * Reads words that '+' joins, and ends behind the last. Returns 1; 0 if they
 * are to be ignored; -1 if there is no word where one must be.
 */
static int
read_words(struct selection *s, const char **p, uint32_t *traits)
{
	size_t len;

	*traits = 0;
	for (;;) {
		if ((len = strspn(*p, WORD)) == 0)
			return -1;
		if (add_word(s, traits, *p, len) == -1)
			return 0;
		*p += len;
		if (**p != '+')
			break;
		(*p)++;
	}
	if ((*traits & PROTOCOL) == TLS13)
		s->tls13_seen = 1;
	return 1;
}

/* Applies the rules of a string; -1 if it is not valid. */
static int
apply_string(struct selection *s, const char *p)
{
	enum rule rule;
	uint32_t traits;

	for (;;) {
		p += strspn(p, SEPARATORS);
		if (*p == '\0')
			return 0;
		if (*p == '@') {
			p++;
			if (apply_command(s, p, strspn(p, WORD)) == -1)
				return -1;
			p += strcspn(p, SEPARATORS);
			continue;
		}
		rule = read_rule(&p);
		switch (read_words(s, &p, &traits)) {
		case -1:
			return -1;
		case 0:
			p += strcspn(p, SEPARATORS);
			break;
		default:
			/* The next rule needs no separator: "HIGH!aNULL". */
			apply(s, rule, traits);
		}
	}
}

static const char *
expand(const char *ciphers)
{
	static const struct {
		const char *name;
		const char *ciphers;
	} names[] = {
		{ "default", CIPHERS_SECURE },
		{ "secure", CIPHERS_SECURE },
		{ "compat", CIPHERS_COMPAT },
		{ "legacy", CIPHERS_LEGACY },
		{ "all", CIPHERS_ALL },
		{ "insecure", CIPHERS_ALL },
	};
	size_t i;

	if (ciphers == NULL)
		return CIPHERS_SECURE;
	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strcasecmp(ciphers, names[i].name) == 0)
			return names[i].ciphers;
	}
	return ciphers;
}

/* Returns 0, or -1 if the string is not valid or activates nothing. */
static int
evaluate(struct selection *s, const char *expanded)
{
	static const char openssl[] = "DEFAULT";
	const size_t prefix = sizeof(openssl) - 1;
	size_t i;

	memset(s, 0, sizeof(*s));
	s->security_level = TLS_SECURITY_LEVEL_DEFAULT;
	for (s->n = 0; s->n < NSUITES; s->n++)
		s->list[s->n].suite = &suites[s->n];
	/* A prefix of the string, not a word of its own. */
	if (strncmp(expanded, openssl, prefix) == 0) {
		if (apply_string(s, CIPHERS_OPENSSL) == -1)
			return -1;
		expanded += prefix;
	}
	if (apply_string(s, expanded) == -1)
		return -1;
	for (i = 0; i < s->n; i++) {
		if (s->list[i].active)
			return 0;
	}
	return -1;
}

int
tls_cipher_list(const char *ciphers, uint16_t **ids, size_t *nids,
    const char **expanded)
{
	const struct suite *suite;
	struct selection s;
	uint16_t *list;
	size_t i, n = 0;

	*expanded = expand(ciphers);
	if (evaluate(&s, *expanded) == -1) {
		errno = EINVAL;
		return -1;
	}
	if ((list = calloc(NSUITES, sizeof(*list))) == NULL)
		return -1;
	for (i = 0; i < s.n; i++) {
		suite = s.list[i].suite;
		/* A string from before TLS 1.3 doesn't mean to exclude it. */
		if (s.list[i].active ||
		    (!s.tls13_seen && (suite->traits & TLS13) != 0))
			list[n++] = suite->id;
	}
	*ids = list;
	*nids = n;
	return 0;
}

int
tls_cipher_security_level(const char *ciphers)
{
	struct selection s;

	if (evaluate(&s, expand(ciphers)) == -1)
		return -1;
	return s.security_level;
}

int
tls_cipher_permitted(uint16_t id, int security_level)
{
	static const int minimum[] = { 0, 80, 112, 128, 192, 256 };
	/* What else is forbidden from the level on. */
	static const uint32_t forbidden[] = { 0, AU_NULL | MAC_MD5, ENC_RC4,
		KX_RSA, MAC_SHA1, 0 };
	const struct suite *suite;
	int level;

	if ((suite = suite_find(id)) == NULL)
		return 0;
	for (level = 0; level <= security_level && level <= 5; level++) {
		if (suite->strength < minimum[level] ||
		    (suite->traits & forbidden[level]) != 0)
			return 0;
	}
	return 1;
}

const char *
tls_cipher_name(uint16_t id)
{
	const struct suite *suite = suite_find(id);

	return suite == NULL ? NULL : suite->name;
}

int
tls_cipher_strength(uint16_t id)
{
	const struct suite *suite = suite_find(id);

	return suite == NULL ? 0 : suite->strength;
}

#define CURVES_DEFAULT "X25519MLKEM768,X25519,P-256,P-384"

/* The TLS groups by the short, long and NIST names of their objects. */
static const struct {
	const char *name;
	uint16_t id;
} known_groups[] = {
	{ "X25519MLKEM768", 4588 },
	{ "X25519", 29 },
	{ "P-256", 23 },
	{ "prime256v1", 23 },
	{ "P-384", 24 },
	{ "secp384r1", 24 },
	{ "P-521", 25 },
	{ "secp521r1", 25 },
	{ "brainpoolP256r1", 26 },
	{ "brainpoolP384r1", 27 },
	{ "brainpoolP512r1", 28 },
	{ "sect163k1", 1 },
	{ "K-163", 1 },
	{ "sect163r1", 2 },
	{ "sect163r2", 3 },
	{ "B-163", 3 },
	{ "sect193r1", 4 },
	{ "sect193r2", 5 },
	{ "sect233k1", 6 },
	{ "K-233", 6 },
	{ "sect233r1", 7 },
	{ "B-233", 7 },
	{ "sect239k1", 8 },
	{ "sect283k1", 9 },
	{ "K-283", 9 },
	{ "sect283r1", 10 },
	{ "B-283", 10 },
	{ "sect409k1", 11 },
	{ "K-409", 11 },
	{ "sect409r1", 12 },
	{ "B-409", 12 },
	{ "sect571k1", 13 },
	{ "K-571", 13 },
	{ "sect571r1", 14 },
	{ "B-571", 14 },
	{ "secp160k1", 15 },
	{ "secp160r1", 16 },
	{ "secp160r2", 17 },
	{ "secp192k1", 18 },
	{ "prime192v1", 19 },
	{ "P-192", 19 },
	{ "secp224k1", 20 },
	{ "secp224r1", 21 },
	{ "P-224", 21 },
	{ "secp256k1", 22 },
};

/*
 * LibreSSL's setter takes the name of any object. These are no groups: curves
 * that TLS doesn't have, and algorithms. Other objects are unknown here.
 */
static const char no_groups[] =
    "X448 Ed25519 Ed448 secp112r1 secp112r2 secp128r1 secp128r2 prime192v2 "
    "prime192v3 prime239v1 prime239v2 prime239v3 sect113r1 sect113r2 "
    "sect131r1 sect131r2 c2pnb163v1 c2pnb163v2 c2pnb163v3 c2pnb176v1 "
    "c2tnb191v1 c2tnb191v2 c2tnb191v3 c2pnb208w1 c2tnb239v1 c2tnb239v2 "
    "c2tnb239v3 c2pnb272w1 c2pnb304w1 c2tnb359v1 c2pnb368w1 c2tnb431r1 "
    "brainpoolP160r1 brainpoolP160t1 brainpoolP192r1 brainpoolP192t1 "
    "brainpoolP224r1 brainpoolP224t1 brainpoolP256t1 brainpoolP320r1 "
    "brainpoolP320t1 brainpoolP384t1 brainpoolP512t1 id-ecPublicKey RSA "
    "rsa rsaEncryption DSA dsaEncryption dhKeyAgreement MD5 md5 SHA1 sha1 "
    "SHA224 sha224 SHA256 sha256 SHA384 sha384 SHA512 sha512";

/* Gives the group, or 0 for an object that is none; -1 if it is unknown. */
static int
find_curve(const char *name, size_t len)
{
	const char *p;
	size_t i, n;

	for (i = 0; i < sizeof(known_groups) / sizeof(known_groups[0]); i++) {
		if (is_word(name, len, known_groups[i].name))
			return known_groups[i].id;
	}
	for (p = no_groups; *p != '\0'; p += strspn(p, " ")) {
		n = strcspn(p, " ");
		if (n == len && memcmp(p, name, len) == 0)
			return 0;
		p += n;
	}
	return -1;
}

int
tls_curve_list(const char *curves, uint16_t **groups, size_t *n, char *bad,
    size_t badsize)
{
	uint16_t *list = NULL;
	size_t len, count = 1;
	const char *p;
	int group, rv = 0;

	if (curves == NULL || strcasecmp(curves, "default") == 0)
		curves = CURVES_DEFAULT;
	for (p = curves; *p != '\0'; p++)
		count += *p == ',' || *p == ':';
	if ((list = calloc(count, sizeof(*list))) == NULL)
		return -1;
	count = 0;
	for (p = curves;; p += len + 1) {
		p += strspn(p, " \t");
		len = strcspn(p, ",:");
		if ((group = find_curve(p, len)) == -1) {
			if (badsize > 0) {
				if (len >= badsize)
					len = badsize - 1;
				memcpy(bad, p, len);
				bad[len] = '\0';
			}
			rv = -1;
			goto err;
		}
		if (group == 0)
			rv = 1;
		list[count++] = (uint16_t)group;
		if (p[len] == '\0')
			break;
	}
	if (rv != 0)
		goto err;
	*groups = list;
	*n = count;
	return 0;

err:
	free(list);
	if (rv == -1)
		errno = EINVAL;
	return rv;
}
