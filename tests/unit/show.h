/*
 * show.h - for show.c and large.c: a message as SHOW displays it
 */
#define FUZZ_INCLUDED
#include "../fuzz/show.c"

#include "unit.h"

/* Shows a message on a page of so many columns, as the parent of the decoder puts it there. */
static void
show_to_text(struct text *to, struct span whole, unsigned columns, bool utf8)
{
    const struct client terminal_of = {.utf8 = utf8};
    char *decoded = NULL;
    size_t length = 0;
    FILE *out = open_memstream(&decoded, &length);

    if (!CHECK(out != NULL))
        exit(1);
    show_message(whole, out, columns);
    fclose(out);
    text_clear(to);
    put_visible(&terminal_of, to, (struct span){decoded, decoded + length});
    free(decoded);
}
