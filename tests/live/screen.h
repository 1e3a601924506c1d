/*
 * screen.h - a small model of a terminal's screen, for tests
 *
 * It understands what the client may send to a terminal: text, CR, LF, BEL, ESC [ K, ESC [ J, ESC [ n C,
 * ESC [ n A, ESC [ H ESC [ 2 J, and ESC [ ? 2004 h or l, with which a terminal marks what is pasted. All
 * else is noted as foreign. It wraps at the last column as xterm does, with the wrap pending until the next
 * character, and scrolls at the last row.
 */
#ifndef SCREEN_H
#define SCREEN_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

enum { SCREEN_ROWS = 24, SCREEN_COLUMNS = 512, CELL = 48 };

struct screen {
    size_t columns, row, column;
    bool pending;               /* the last column was written, the next character wraps */
    bool marks_paste;
    int wrapped, scrolled, bells, foreign;
    int (*width)(uint32_t code);
    /* "" is blank; "\1" is the right half of what stands to the left */
    char cell[SCREEN_ROWS][SCREEN_COLUMNS][CELL];
};

/* An opinion of its own about the characters that the tests use. */
static inline int
screen_width(uint32_t code)
{
    if (code < 0x20 || (code >= 0x7f && code < 0xa0))
        return -1;
    if ((code >= 0x300 && code < 0x370) || code == 0x200d || code == 0xfe0f || code == 0xe31)
        return 0;
    return (code >= 0x1100 && code < 0x1160) || (code >= 0x4e00 && code < 0xd7a4) || code >= 0x1f300 ? 2 : 1;
}

static inline void
screen_erase(struct screen *s, size_t row, size_t from)
{
    for (size_t i = from; i < s->columns; i++)
        s->cell[row][i][0] = '\0';
}

static inline void
screen_init(struct screen *s, size_t columns, int (*width)(uint32_t code))
{
    s->columns = columns;
    s->row = s->column = 0;
    s->pending = s->marks_paste = false;
    s->wrapped = s->scrolled = s->bells = s->foreign = 0;
    s->width = width;
    for (size_t row = 0; row < SCREEN_ROWS; row++)
        screen_erase(s, row, 0);
}

static inline void
screen_line_feed(struct screen *s)
{
    if (s->row + 1 < SCREEN_ROWS) {
        s->row++;
        return;
    }
    for (size_t row = 1; row < SCREEN_ROWS; row++)
        memcpy(s->cell[row - 1], s->cell[row], s->columns * CELL);
    screen_erase(s, SCREEN_ROWS - 1, 0);
    s->scrolled++;
}

static inline void
screen_character(struct screen *s, const char *octets, size_t length, uint32_t code)
{
    int width = s->width(code);

    if (width < 0 || (size_t)width > s->columns) {
        s->foreign++;
        return;
    }
    if (width == 0) {           /* onto the character before the cursor */
        size_t at = s->pending ? s->column : s->column - 1;

        if (s->column == 0 && !s->pending) {
            s->foreign++;
            return;
        }
        if (s->cell[s->row][at][0] == '\1')
            at--;
        char *cell = s->cell[s->row][at];
        if (strlen(cell) + length < CELL)
            memcpy(cell + strlen(cell), octets, length + 1);
        return;
    }
    if (s->pending || s->column + (size_t)width > s->columns) {
        s->wrapped++;
        s->column = 0;
        s->pending = false;
        screen_line_feed(s);
    }
    for (size_t i = s->column; i < s->column + (size_t)width; i++) {
        if (s->cell[s->row][i][0] == '\1')      /* half of a wide one is overwritten, the other half goes */
            s->cell[s->row][i - 1][0] = '\0';
        if (i + 1 < s->columns && s->cell[s->row][i + 1][0] == '\1')
            s->cell[s->row][i + 1][0] = '\0';
    }
    memcpy(s->cell[s->row][s->column], octets, length + 1);
    if (width == 2)
        strcpy(s->cell[s->row][s->column + 1], "\1");
    s->column += (size_t)width;
    if (s->column == s->columns) {
        s->column--;
        s->pending = true;
    }
}

/* Obeys an escape sequence. Returns its octets, or 1 when it is foreign. */
static inline size_t
screen_escape(struct screen *s, const char *text)
{
    size_t at = 2, number = 0, digits = 0;

    if (strncmp(text, "\033[?2004", 7) == 0 && (text[7] == 'h' || text[7] == 'l')) {
        s->marks_paste = text[7] == 'h';
        return 8;
    }
    if (text[1] != '[') {
        s->foreign++;
        return 1;
    }
    for (; text[at] >= '0' && text[at] <= '9'; at++, digits++)
        number = number * 10 + (size_t)(text[at] - '0');
    if (text[at] == 'K' && digits == 0)
        screen_erase(s, s->row, s->pending ? s->columns - 1 : s->column);
    else if (text[at] == 'J' && digits == 0) {
        screen_erase(s, s->row, s->column);
        for (size_t row = s->row + 1; row < SCREEN_ROWS; row++)
            screen_erase(s, row, 0);
    } else if (text[at] == 'J' && number == 2) {
        for (size_t row = 0; row < SCREEN_ROWS; row++)
            screen_erase(s, row, 0);
    } else if (text[at] == 'H' && digits == 0)
        s->row = s->column = 0;
    else if (text[at] == 'C' && number > 0) {
        if (s->column + number >= s->columns)
            s->foreign++;       /* nobody may count on being stopped at the edge */
        else
            s->column += number;
    } else if (text[at] == 'A' && number > 0) {
        s->row -= number < s->row ? number : s->row;
    } else {
        s->foreign++;
        return 1;
    }
    s->pending = false;
    return at + 1;
}

/* Writes octets, with a NUL behind them, to the screen. */
static inline void
screen_write(struct screen *s, const char *text, size_t length)
{
    for (size_t at = 0; at < length;) {
        unsigned char c = (unsigned char)text[at];
        size_t octets = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
        uint32_t code = c < 0x80 ? c : c & (0x7fU >> octets);
        char character[5] = "";

        if (c == '\033') {
            at += screen_escape(s, text + at);
            continue;
        }
        if (c == '\r') {
            s->column = 0;
            s->pending = false;
        } else if (c == '\n') {
            screen_line_feed(s);
        } else if (c == '\a') {
            s->bells++;
        } else if (c < 0x20 || c == 0x7f || (c >= 0x80 && c < 0xc2) || c > 0xf4 || at + octets > length) {
            s->foreign++;
        } else {
            for (size_t i = 1; i < octets; i++) {
                if (((unsigned char)text[at + i] & 0xc0) != 0x80)
                    s->foreign++;
                code = code << 6 | ((unsigned char)text[at + i] & 0x3f);
            }
            memcpy(character, text + at, octets);
            screen_character(s, character, octets, code);
            at += octets;
            continue;
        }
        at++;
    }
}

/* Writes what a row shows, without blanks at its end, into out. */
static inline const char *
screen_row(const struct screen *s, size_t row, char *out, size_t room)
{
    size_t length = 0, end = 0;

    for (size_t i = 0; i < s->columns; i++) {
        const char *cell = s->cell[row][i];
        size_t octets = strlen(cell);

        if (*cell == '\1')
            continue;
        if (length + octets + 2 > room)
            break;
        if (octets == 0)
            out[length++] = ' ';
        memcpy(out + length, cell, octets);
        length += octets;
        if (octets > 0 && strcmp(cell, " ") != 0)
            end = length;
    }
    out[end] = '\0';
    return out;
}

#endif
