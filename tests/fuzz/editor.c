/*
 * editor.c - any bytes typed at the line editor; a model of a terminal reads its output
 *
 * The screen shows the line with the cursor in the right column, no unknown escape sequence is
 * sent, and all limits hold. The first byte of an input chooses the width, the second the number of
 * messages. 0xFF is an instruction, chosen by the highest bits of the next byte: 00 is a timeout,
 * 01 repaints, 10 prints a notice above the line, 11 changes the width of the terminal.
 *
 * fuzz.h describes how to run it. unit/editor.c includes this file and replays tests/corpus/editor.
 */
int client_main(int argc, char **argv);
#define main client_main
#include "../../client.c"
#undef main

#include "fuzz.h"
#include "../live/screen.h"

static struct editor editor;
static struct screen screen;

/* Message numbers with gaps, some with an unknown size. */
static size_t
fuzz_message(void *context, size_t above, int64_t *octets)
{
    size_t last = *(size_t *)context;

    *octets = above % 3 == 0 ? -1 : (int64_t)(above * above * 97);
    return above < last ? above + 1 + (above % 7 == 3) : 0;
}

/* Writes the painted text to the screen model, which must know every sequence. Clears the text. */
static void
fuzz_show(struct text *paint)
{
    screen_write(&screen, paint->bytes, paint->length);
    DEMAND(screen.foreign == 0);
    text_clear(paint);
}

/* The line is printable, and the cursor is between two characters. */
static void
check_line(const struct editor *e)
{
    bool met = e->cursor == 0;

    DEMAND(e->length <= TYPED_MAX && strlen(e->line) == e->length && e->cursor <= e->length);
    DEMAND(strlen(e->killed) <= TYPED_MAX && strlen(e->query) <= QUERY_MAX);
    DEMAND(e->history_count <= HISTORY_MAX && e->recalled <= e->history_count);
    for (size_t at = 0; at < e->length && !e->hidden;) {
        uint32_t code;
        int bytes = utf8_read((const unsigned char *)e->line + at, e->length - at, &code);

        DEMAND(bytes > 0 && code != '\t' && code != '\n' && !must_escape(code, 0));
        DEMAND(character_columns(code) > 0);
        at += (size_t)bytes;
        met = met || at == e->cursor;
    }
    DEMAND(met || e->hidden);
}

/* The row of the cursor shows the part of prompt and line that is in view. */
static void
check_screen(const struct editor *e, const struct screen *s)
{
    struct text row = {NULL, 0, 0};
    size_t under = editor_row(e, &row), field = s->columns - 1, column = 0, next, width;
    size_t total = columns_from(0, text_span(&row));

    DEMAND(!s->pending);
    DEMAND(s->column <= under && s->column < s->columns);

    size_t view = under - s->column;    /* the column of the row at the left edge */
    bool before = field >= 6 && view > 0, behind = field >= 6 && total > view + field;
    size_t left = view + before, right = view + field - behind, seen = 0;

    if (before)
        DEMAND(strcmp(s->cell[s->row][0], "<") == 0);
    if (behind)
        DEMAND(strcmp(s->cell[s->row][field - 1], ">") == 0);
    for (size_t at = 0; at < row.length; at = next, column += width) {
        next = next_place(row.bytes, at);
        width = columns_from(0, (struct span){row.bytes + at, row.bytes + next});
        if (column >= left && column + width <= right) {
            const char *cell = s->cell[s->row][column - view];
            size_t bytes = next - at, kept = strlen(cell);

            DEMAND(kept <= bytes);
            DEMAND(kept == bytes || kept > CELL - 6 || (kept == 0 && row.bytes[at] == ' '));
            DEMAND(memcmp(cell, row.bytes + at, kept) == 0);
            if (width == 2)
                DEMAND(s->cell[s->row][column - view + 1][0] == '\1');
            seen += width;
        } else if (column == under) {
            DEMAND(width > field);      /* under the cursor, but too wide */
        }
    }
    /* Nothing else is on the row. */
    size_t used = 0;
    for (size_t i = 0; i < s->columns; i++)
        used += s->cell[s->row][i][0] != '\0' && strcmp(s->cell[s->row][i], " ") != 0;
    DEMAND(used <= seen + before + behind);
    text_free(&row);
}

/* Paints and checks the screen. */
static void
fuzz_paint(struct editor *e)
{
    static struct text paint;

    editor_paint(e, &paint);
    fuzz_show(&paint);
    check_screen(e, &screen);
}

/* The width of a character on the screen model; -1: a control character. */
static int
fuzz_width(uint32_t code)
{
    return code < ' ' || (code >= 0x7f && code < 0xa0) ? -1 : (int)character_columns(code);
}

static void
fuzz_end(struct editor *e)
{
    for (size_t i = 0; i < e->history_count; i++)
        free(e->history[i]);
    text_free(&e->above);
    e->history_count = 0;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t widths[] = {80, 20, 10, 3, 2, 5, 7, 8, 12, 40, 132, 200};
    static struct text paint;
    size_t last = 12;
    struct editor *e = &editor;

    if (size < 2)
        return 0;
    size_t columns = widths[data[0] % sizeof widths];
    last = data[1] > 250 ? 20000 : data[1];
    memset(e, 0, sizeof *e);
    e->next_message = fuzz_message;
    e->context = &last;
    editor_start(e, false);
    editor_resize(e, columns);
    e->ascii = data[1] % 16 == 3;
    screen_init(&screen, columns, fuzz_width);
    fuzz_paint(e);

    for (size_t i = 2; i < size; i++) {
        enum verdict verdict = MORE;

        if (data[i] == 0xff && i + 1 < size) {
            i++;
            switch (data[i] >> 6) {
            case 0:
                while (editor_patience(e) != WAIT_FOREVER)
                    editor_timeout(e);
                break;
            case 1:
                break;
            case 2:
                text_puts(&paint, "\r\033[J* notice\r\n");
                fuzz_show(&paint);
                break;
            case 3:             /* a terminal that clears the screen then */
                columns = widths[data[i] % sizeof widths];
                screen_init(&screen, columns, fuzz_width);
                screen.row = e->painted / columns;
                screen.row = screen.row < SCREEN_ROWS ? screen.row : SCREEN_ROWS - 1;
                editor_resize(e, columns);
                if (!e->hidden)
                    fuzz_paint(e);
                break;
            }
        } else {
            verdict = editor_feed(e, data[i]);
        }
        check_line(e);
        switch (verdict) {
        case LINE:
        case INTERRUPT:
            if (!e->hidden) {
                editor_finish(e, verdict == LINE ? "" : "^C", &paint);
                fuzz_show(&paint);
                DEMAND(screen.column == 0);
            }
            bool secret = e->hidden || is_secret(e->line);
            editor_start(e, !e->hidden && strcmp(e->line, "PASS") == 0);
            DEMAND(!secret || e->killed[0] == '\0');
            if (!e->hidden)
                fuzz_paint(e);
            break;
        case END:
            fuzz_end(e);
            return 0;
        default:
            if (e->hidden)
                break;
            if (e->length > 0 && data[i] % 4 != 0 && i + 1 < size && e->above.length == 0)
                break;          /* several bytes at a time, as they come from a terminal */
            fuzz_paint(e);
        }
    }
    if (!e->hidden)
        fuzz_paint(e);
    fuzz_end(e);
    return 0;
}
