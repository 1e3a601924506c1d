/*
 * editor.c - any octets typed at the line editor, its painting read by the model of a screen
 *
 * What is painted is what is in the buffer, the cursor is where it belongs, nothing foreign is sent, no bound
 * is passed. The first octet of an input chooses the width, the second how many messages there are. 0xFF is
 * an instruction, by the highest bits of the octet behind it: 00 lets time pass, 01 repaints, 10 prints a
 * notice above the line, 11 gives the terminal another width.
 *
 * fuzz.h says how to run it. unit/client.c, which includes this file, replays tests/corpus/editor.
 */
int client_main(int argc, char **argv);
#define main client_main
#include "../../client.c"
#undef main

#include "fuzz.h"
#include "../live/screen.h"

static struct editor editor;
static struct screen screen;

/* Numbers with gaps, some of unknown size. */
static size_t
fuzz_message(void *context, size_t above, int64_t *octets)
{
    size_t last = *(size_t *)context;

    *octets = above % 3 == 0 ? -1 : (int64_t)(above * above * 97);
    return above < last ? above + 1 + (above % 7 == 3) : 0;
}

static void
fuzz_show(const char *octets, size_t length)
{
    static char text[EDITOR_PAINT + 1];

    DEMAND(length <= EDITOR_PAINT);
    memcpy(text, octets, length);
    text[length] = '\0';
    screen_write(&screen, text, length);
    DEMAND(screen.foreign == 0);
}

/* The buffer is text that may be shown, and the cursor is between two characters of it. */
static void
demand_buffer(const struct editor *e)
{
    size_t at = 0;
    bool met = e->cursor == 0;

    DEMAND(e->length <= EDITOR_LINE && strlen(e->text) == e->length && e->cursor <= e->length);
    while (at < e->length) {
        uint32_t code;
        size_t octets = utf8_decode(e->text + at, &code);

        DEMAND(octets > 0 && character_width(code) >= 0);
        DEMAND(character_width(code) > 0 || at > 0);
        at += octets;
        met = met || (at == e->cursor && (at == e->length || text_next(e->text, text_previous(e->text, at)) == at));
    }
    DEMAND(met);
    DEMAND(strlen(e->killed) <= EDITOR_LINE && strlen(e->query) <= EDITOR_QUERY);
    DEMAND(e->history.end <= EDITOR_SHELF && e->undo.end <= EDITOR_SHELF && e->history.lines <= EDITOR_HISTORY);
    DEMAND(e->recalled <= e->history.end);
    DEMAND((e->history.end == 0) == (e->history.lines == 0) && (e->undo.end == 0) == (e->undo.lines == 0));
}

/* The row of the cursor shows the prompt and, column by column, the part of the text that is in view. */
static void
demand_screen(const struct editor *e, const struct screen *s)
{
    char prompt[EDITOR_QUERY + 64];
    size_t column = 0, start, field, at, total = 0, under = 0, width;

    editor_prompt(e, prompt, sizeof prompt);
    for (at = 0; prompt[at] != '\0'; at = text_next(prompt, at)) {
        size_t octets = strlen(s->cell[s->row][column]);

        DEMAND(octets == 0 || octets >= CELL - 4 || memcmp(s->cell[s->row][column], prompt + at, octets) == 0);
        column += text_width(prompt, at);
    }
    start = column;
    field = s->columns - 1 - start;
    DEMAND(start < s->columns && field >= 1);
    DEMAND(!s->pending);

    for (at = 0; at < e->length; at = text_next(e->text, at)) {
        if (at == e->cursor)
            under = total;
        total += text_width(e->text, at);
    }
    if (e->cursor == e->length)
        under = total;
    DEMAND(under >= e->view && s->column == start + under - e->view && s->column < s->columns);

    bool before = field >= 6 && e->view > 0, behind = field >= 6 && total > e->view + field;
    size_t left = e->view + before, right = e->view + field - behind, seen = 0;

    if (before)
        DEMAND(strcmp(s->cell[s->row][start], "<") == 0);
    if (behind)
        DEMAND(strcmp(s->cell[s->row][start + field - 1], ">") == 0);
    for (at = 0, column = 0; at < e->length; at = text_next(e->text, at), column += width) {
        width = text_width(e->text, at);
        if (column >= left && column + width <= right) {
            const char *cell = s->cell[s->row][start + column - e->view];
            size_t octets = text_next(e->text, at) - at, kept = strlen(cell);

            DEMAND(kept <= octets && (kept == octets || kept > CELL - 6 || (kept == 0 && e->text[at] == ' ')));
            DEMAND(memcmp(cell, e->text + at, kept) == 0);
            if (width == 2)
                DEMAND(s->cell[s->row][start + column - e->view + 1][0] == '\1');
            seen += width;
        } else if (at == e->cursor) {
            DEMAND(width > field);      /* the character under the cursor is in sight, if it can be */
        }
    }
    /* And nothing else stands there. */
    size_t used = 0;
    for (size_t i = start; i < s->columns; i++)
        used += s->cell[s->row][i][0] != '\0' && strcmp(s->cell[s->row][i], " ") != 0;
    DEMAND(used <= seen + before + behind);
}

/* Paints, and looks at the screen. Now and then it also paints into a room that is too small. */
static void
fuzz_paint(struct editor *e)
{
    static char out[EDITOR_PAINT];
    char small[64];
    struct editor *copy;
    size_t room = e->length % sizeof small;

    fuzz_show(out, editor_paint(e, out, sizeof out));
    demand_screen(e, &screen);
    if (e->length % 16 == 5 && (copy = malloc(sizeof *copy)) != NULL) {
        memcpy(copy, e, sizeof *copy);
        copy->list = copy->did == COMPLETED;
        DEMAND(editor_paint(copy, small, room) <= room);
        free(copy);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t widths[] = {80, 20, 10, 3, 2, 5, 7, 8, 12, 40, 132, 200};
    static const struct completer_command more[] = {{"SHOW", UINT_MAX}, {"HELP", 0}, {NULL, 0}};
    static char out[2 * EDITOR_PAINT];
    size_t last = 12;
    struct completer completer = {.extra = more, .next_message = fuzz_message, .context = &last};
    struct editor *e = &editor;

    if (size < 2)
        return 0;
    size_t columns = widths[data[0] % sizeof widths];
    last = data[1] > 250 ? 20000 : data[1];
    editor_init(e, data[1] % 5 == 0 ? "\xe4\xbd\xa0> " : "pop3> ", &completer, columns);
    screen_init(&screen, columns, character_width);
    fuzz_paint(e);

    for (size_t i = 2; i < size; i++) {
        enum verdict verdict = MORE;

        if (data[i] == 0xff && i + 1 < size) {
            i++;
            switch (data[i] >> 6) {
            case 0:
                if (editor_wants_timeout(e))
                    editor_escape_timeout(e);
                DEMAND(!editor_wants_timeout(e));
                break;
            case 1:
                break;
            case 2:
                fuzz_show(out, editor_hide(e, out, sizeof out));
                fuzz_show("* notice\r\n", 10);
                break;
            case 3:             /* a terminal that does not keep its rows: a clear screen */
                columns = widths[data[i] % sizeof widths];
                screen_init(&screen, columns, character_width);
                screen.row = e->painted / columns < SCREEN_ROWS ? e->painted / columns : SCREEN_ROWS - 1;
                editor_resize(e, columns);
                break;
            }
        } else {
            verdict = editor_feed(e, data[i]);
        }
        demand_buffer(e);
        switch (verdict) {
        case LINE:
        case INTERRUPT:
            fuzz_show(out, editor_finish(e, verdict == LINE ? "" : "^C", out, sizeof out));
            DEMAND(screen.column == 0);
            bool secret = is_secret(e->text);
            editor_start(e);
            DEMAND(!secret || e->killed[0] == '\0');
            fuzz_paint(e);
            break;
        case END:
            return 0;
        default:
            if (e->text[0] != '\0' && data[i] % 4 != 0 && i + 1 < size && e->parts == 0 && !e->list)
                break;          /* several octets at a time, as they come from a terminal */
            fuzz_paint(e);
        }
    }
    fuzz_paint(e);
    return 0;
}
