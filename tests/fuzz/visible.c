/*
 * visible.c - visible() appends only printable text, for any input
 *
 * fuzz.h describes how to run it. unit/text.c includes this file.
 */
int client_main(int argc, char **argv);
#define main client_main
#include "../../client.c"
#undef main

#include "fuzz.h"

/* Valid UTF-8 without control characters except TAB and LF, and nothing that must be escaped. */
static void
check_visible(struct span s)
{
    uint32_t c, before = 0;

    for (int size; s.at < s.end; s.at += size, before = c) {
        size = utf8_read((const unsigned char *)s.at, span_length(s), &c);
        DEMAND(size > 0 && !must_escape(c, before));
        DEMAND(c == '\t' || c == '\n' || (c >= ' ' && c < 0x7f) || c >= 0xa0);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct text once = {NULL, 0, 0}, twice = {NULL, 0, 0}, pieces = {NULL, 0, 0};
    struct span whole = {(const char *)data, (const char *)data + size};

    visible(&once, whole);
    check_visible(text_span(&once));
    visible(&twice, text_span(&once));
    DEMAND(once.length == twice.length);
    DEMAND(once.length == 0 || memcmp(once.bytes, twice.bytes, once.length) == 0);

    /* The input in pieces that end at whole_end(). */
    for (struct span rest = whole; rest.at < rest.end; ) {
        struct span piece = rest;

        if (span_length(piece) > 64)
            piece.end = piece.at + 64;
        piece.end = piece.end == rest.end ? piece.end : whole_end(piece);
        DEMAND(piece.end > piece.at);
        visible(&pieces, piece);
        rest.at = piece.end;
    }
    check_visible(text_span(&pieces));

    text_clear(&pieces);
    visible_ascii(&pieces, text_span(&once));
    for (size_t i = 0; i < pieces.length; i++)
        DEMAND((unsigned char)pieces.bytes[i] < 0x7f);
    text_free(&once);
    text_free(&twice);
    text_free(&pieces);
    return 0;
}
