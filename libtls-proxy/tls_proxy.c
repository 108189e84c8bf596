/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tls_internal.h"

static void
copy_string(char *to, size_t size, const struct tlsp_string *from)
{
	/* The text of a goproxy of another release may be longer. */
	(void)snprintf(to, size, "%.*s", (int)from->len,
	    (const char *)from->data);
}

int
tls_proxy_info(struct tls_proxy_info *info, size_t size, const char **errstr)
{
	struct tls_proxy_info all = { 0 };
	struct tlsp_info_reply reply;
	uint8_t buf[TLSP_REPLY_MAX];
	const char *text;
	int saved = errno, rv;

	rv = tlsp_info(&reply, buf, &text);
	errno = saved;
	if (rv == -1) {
		if (errstr != NULL)
			*errstr = text;
		return -1;
	}
	copy_string(all.release, sizeof(all.release), &reply.release);
	all.workers = reply.workers;
	all.deaths = reply.deaths;
	all.configs = reply.configs;
	all.keys = reply.keys;
	all.signatures = reply.signatures;
	all.refused = reply.refused;
	copy_string(all.refused_last, sizeof(all.refused_last),
	    &reply.refused_last);
	if (size > sizeof(all)) {
		memset((char *)info + sizeof(all), 0, size - sizeof(all));
		size = sizeof(all);
	}
	memcpy(info, &all, size);
	return 0;
}
