/* SPDX-License-Identifier: ISC */
/* Copyright (c) 2026 The libtls-proxy authors */

#include <ctype.h>
#include <string.h>

#include "httpd_escape.h"

void
escape_html(FILE *out, const char *s)
{
	for (; *s != '\0'; s++) {
		switch (*s) {
		case '&':
			fputs("&amp;", out);
			break;
		case '<':
			fputs("&lt;", out);
			break;
		case '>':
			fputs("&gt;", out);
			break;
		case '"':
			fputs("&quot;", out);
			break;
		case '\'':
			fputs("&#39;", out);
			break;
		default:
			/* A control character is nothing that HTML has. */
			fputc(iscntrl((unsigned char)*s) ? '?' : *s, out);
		}
	}
}

void
escape_url(FILE *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (isalnum((unsigned char)*s) ||
		    strchr("-._~/!$()*+,;=@", *s) != NULL)
			fputc(*s, out);
		else
			fprintf(out, "%%%02X", (unsigned char)*s);
	}
}

void
escape_log(FILE *out, const char *s)
{
	for (; *s != '\0'; s++) {
		if (*s == '"' || *s == '\\')
			fprintf(out, "\\%c", *s);
		else if (*s >= ' ' && *s < 0x7f)
			fputc(*s, out);
		else
			fprintf(out, "\\x%02X", (unsigned char)*s);
	}
}
