/*
 * keys.h - keys, and what the line and the screen show then
 *
 * unit/editor.c gives them to the editor, live/client_typing.c types them at the client.
 */
#define UP "\033[A"
#define DOWN "\033[B"
#define RIGHT "\033[C"
#define LEFT "\033[D"

/* Keys for an empty line, and what it holds then, with | where the cursor is. */
struct keys {
    const char *what, *keys, *held;
};

static const struct keys keys_that_move[] = {
    {"typing", "LIST 1", "LIST 1|"},
    {"^A", "abc\001", "|abc"},
    {"^E", "abc\001\005", "abc|"},
    {"^B", "abc\002", "ab|c"},
    {"^B stops at the start", "a\002\002\002x", "x|a"},
    {"^F", "abc\001\006", "a|bc"},
    {"^F stops at the end", "a\006\006x", "ax|"},
    {"left, CSI", "abc" LEFT LEFT, "a|bc"},
    {"left, SS3", "abc\033OD", "ab|c"},
    {"right, CSI", "abc\001" RIGHT, "a|bc"},
    {"right, SS3", "abc\001\033OC", "a|bc"},
    {"Home, CSI H", "abc\033[H", "|abc"},
    {"Home, SS3 H", "abc\033OH", "|abc"},
    {"Home, 1~", "abc\033[1~", "|abc"},
    {"Home, 7~ of rxvt", "abc\033[7~", "|abc"},
    {"End, CSI F", "abc\001\033[F", "abc|"},
    {"End, SS3 F", "abc\001\033OF", "abc|"},
    {"End, 4~", "abc\001\033[4~", "abc|"},
    {"End, 8~ of rxvt", "abc\001\033[8~", "abc|"},
    {"Alt-B", "RETR 12 345\033b", "RETR 12 |345"},
    {"Alt-B twice", "RETR 12 345\033b\033b", "RETR |12 345"},
    {"Alt-F", "RETR 12\001\033f", "RETR| 12"},
    {"Alt-F over blanks", "RETR  12-5\001\033f\033f", "RETR  12-5|"},
    {"Ctrl-left of xterm", "RETR 12\033[1;5D", "RETR |12"},
    {"Ctrl-right of xterm", "RETR 12\001\033[1;5C", "RETR| 12"},
    {"Ctrl-left of old xterm", "RETR 12\033[5D", "RETR |12"},
    {"Ctrl-left of rxvt", "RETR 12\033Od", "RETR |12"},
    {"Ctrl-right of rxvt", "RETR 12\001\033Oc", "RETR| 12"},
    {"Alt-left of xterm", "RETR 12\033[1;3D", "RETR |12"},
    {"Shift-left is left", "RETR 12\033[1;2D", "RETR 1|2"},
    {"accents are one step", "a\xc3\xa9z" LEFT LEFT, "a|\xc3\xa9z"},
    {"wide characters", "\xe4\xbd\xa0\xe5\xa5\xbd\002", "\xe4\xbd\xa0|\xe5\xa5\xbd"},
    {"words of other scripts", "x \xe4\xbd\xa0\xe5\xa5\xbd \033b",
     "x |\xe4\xbd\xa0\xe5\xa5\xbd "},
};

static const struct keys keys_that_change[] = {
    {"typing in the middle", "ac\002b", "ab|c"},
    {"Backspace", "abc\177", "ab|"},
    {"^H", "abc\010", "ab|"},
    {"Backspace at the start", "\177a", "a|"},
    {"Delete", "abc\001\033[3~", "|bc"},
    {"Delete at the end", "abc\033[3~", "abc|"},
    {"^D with text", "abc\001\004", "|bc"},
    {"^D at the end of text", "abc\004", "abc|"},
    {"^K", "abcdef\002\002\013", "abcd|"},
    {"^U", "abcdef\002\002\025", "|ef"},
    {"^W", "RETR 1-5 ab-cd\027", "RETR 1-5 |"},
    {"^W over blanks", "RETR 12  \027", "RETR |"},
    {"Alt-D", "RETR 12\001\033d", "| 12"},
    {"Alt-Backspace", "RETR ab-cd\033\177", "RETR |"},
    {"Ctrl-Delete", "RETR 12\001\033[3;5~", "| 12"},
    {"Ctrl-Delete of rxvt", "RETR 12\001\033[3^", "| 12"},
    {"^Y", "abc\025x\031y", "xabcy|"},
    {"^Y with nothing killed", "ab\031", "ab|"},
    {"kills in a row to the left", "one two three\027\027\001\031", "two three|one "},
    {"kills in a row to the right", "one two three\001\033d\033d\005\031", " threeone two|"},
    {"kills in a row to both sides", "one two three\033b\027\013\031", "one two three|"},
    {"kills apart", "one two\027\002\002\013\031", "one |"},
    {"Backspace takes an accent", "a\xc3\xa9\177", "a|"},
    {"Backspace takes an emoji", "a\xf0\x9f\x98\x80\177", "a|"},
    {"Alt-D of an accented word", "\xc3\xa9t\xc3\xa9 x\001\033d", "| x"},
};

static const struct keys keys_of_no_use[] = {
    {"Alt and the blank", "a\033 b", "ab|"},
    {"function keys of xterm", "a\033OP\033[15~\033[1;5P\033[24~b", "ab|"},
    {"function keys of the console", "a\033[[A\033[[Eb", "ab|"},
    {"page keys, Insert, Shift-Tab", "a\033[5~\033[6~\033[2~\033[Zb", "ab|"},
    {"a mouse report", "a\033[<0;12;13Mb", "ab|"},
    {"a cursor report", "a\033[12;40Rb", "ab|"},
    {"a report of a mode", "a\033[?2004;1$yb", "ab|"},
    {"focus reports", "a\033[I\033[Ob", "ab|"},
    {"a key of CSI u", "a\033[97;5ub", "ab|"},
    {"a long sequence", "a\033[1;2;3;4;5;6;7777777777777777777777mb", "ab|"},
    {"Alt with any letter", "a\033xb", "ab|"},
    {"Alt with an accent", "a\033\xc3\xa9" "b", "ab|"},
    {"ESC inside a sequence begins another", "abc\033[1;\033[D", "ab|c"},
    {"control inside a sequence counts", "abc\033[1;\001x", "x|abc"},
    {"Enter inside a sequence counts", "abc\033[0\rx", "x|"},
    {"a colour report, ended by BEL", "a\033]11;rgb:0/0/0\007b", "ab|"},
    {"a colour report, ended by ST", "a\033]11;rgb:0/0/0\033\\b", "ab|"},
    {"a device report", "a\033P1$r0m\033\\b", "ab|"},
    {"Enter inside a report counts", "abc\033]0\rx", "x|"},
    {"unknown control characters", "a\026\017\034b", "ab|"},
    {"an arrow with a modifier of long ago", "ab\033O5D", "ab|"},
};

static const struct keys keys_refused[] = {
    {"stray continuation", "a\x80\xbfz", "az|"},
    {"a character cut short", "a\xc3z", "az|"},
    {"a character cut short by Backspace", "ab\xe4\xbd\177", "a|"},
    {"overlong", "a\xc0\xaf\xe0\x80\xafz", "az|"},
    {"surrogate", "a\xed\xa0\x80z", "az|"},
    {"beyond Unicode", "a\xf4\x90\x80\x80\xf8\x88\x80\x80\x80z", "az|"},
    {"C1 encoded", "a\xc2\x9b" "31mz", "a31mz|"},
    {"C1 raw", "a\x9b" "31mz", "a31mz|"},
    {"a right-to-left override", "a\xe2\x80\xaez", "az|"},
    {"a line separator", "a\xe2\x80\xa8z", "az|"},
    {"a combining mark", "a\xcc\x81z", "az|"},
    {"a joiner", "\xf0\x9f\x98\x80\xe2\x80\x8dz", "\xf0\x9f\x98\x80z|"},
};

static const struct keys keys_pasted[] = {
    {"a paste is text", "a\033[200~bc\033[201~d", "abcd|"},
    {"Tab in a paste is a blank", "\033[200~RE\tx\033[201~", "RE x|"},
    {"controls in a paste are dropped", "\033[200~a\001b\032c\177d\033[201~", "abcd|"},
    {"a sequence in a paste is no key", "ab\033[200~x\033[Dy\033[201~", "abxy|"},
    {"a false end in a paste", "\033[200~a\033[20b\033[20\033[201~c", "ac|"},
    {"an end without a start", "a\033[201~b", "ab|"},
    {"UTF-8 in a paste", "\033[200~\xc3\xa9\xff\xe4\xbd\xa0\033[201~", "\xc3\xa9\xe4\xbd\xa0|"},
};

static const struct keys keys_of_history[] = {
    {"^P", "one\rtwo\r\020", "two|"},
    {"^P ^P", "one\rtwo\r\020\020", "one|"},
    {"^P stops at the oldest", "one\r\020\020\020", "one|"},
    {"up, CSI and SS3", "one\rtwo\r" UP "\033OA", "one|"},
    {"^N", "one\rtwo\r\020\020\016", "two|"},
    {"down comes back to the unfinished line", "one\rtwo\rthr" UP UP DOWN DOWN, "thr|"},
    {"down stops there", "one\rthr" UP DOWN DOWN, "thr|"},
    {"no repeats in a row", "one\rtwo\rtwo\rtwo\r" UP UP, "one|"},
    {"repeats not in a row", "one\rtwo\rone\r" UP UP UP, "one|"},
    {"no blank lines", "one\r  \r\r" UP, "one|"},
    {"a recalled line that was changed is a new one", "one\r" UP "x\r" UP UP, "one|"},
    {"no PASS", "one\rPASS geheim\r" UP, "one|"},
    {"no pass", "one\r  pAsS geheim\r" UP, "one|"},
    {"nothing that begins with PASS", "one\rPASSWORT geheim\r" UP, "one|"},
    {"no password that was killed before", "geheim\025PASS \031\rx\031", "x|"},
    {"no PASS with a tab before it", "one\r\033[200~\tPASS geheim\r\033[201~" UP, "one|"},
};

/* Lines that were typed before a search. */
static const char before_search[] = "RETR 1\rLIST\rRETR 22\rNOOP\r";

static const struct keys keys_of_search[] = {
    {"^R", "\022RE", "|RETR 22"},
    {"^R finds in the middle", "\022TR 1", "RE|TR 1"},
    {"^R in any case", "\022retr", "|RETR 22"},
    {"^R again", "\022RE\022", "|RETR 1"},
    {"^R beyond the oldest", "\022RE\022\022\022", "|RETR 1"},
    {"Backspace in a search", "\022RETR 1\177", "|RETR 22"},
    {"Backspace over an accent in a search", "\022T\xc3\xa9\177R 1", "RE|TR 1"},
    {"Backspace to nothing", "xy\022RE\177\177\177", "xy|"},
    {"^G", "xyz\002\022RE\007", "xy|z"},
    {"^G on an older line", UP "yz" LEFT "\022RE\022\007", "NOOPy|z"},
    {"another key is obeyed", "\022RE\005x", "RETR 22x|"},
    {"an arrow is obeyed", "\022TR" LEFT, "R|ETR 22"},
    {"up goes on from there", "\022LIST" UP, "RETR 1|"},
    {"down goes on from there", "new\022RETR 2" DOWN DOWN, "new|"},
    {"not found, the line stays", "new\022zzz\005", "new|"},
    {"not found at last, the last match stays", "\022REzzz\005", "RETR 22|"},
    {"^R with nothing typed", "ab\022\022\007", "ab|"},
    {"^R beyond the end of a paste", "\022RE\033[201~TR 1", "|RETR 1"},
};

static const struct keys keys_of_completion[] = {
    {"a command", "ret\t", "retr |"},
    {"every letter becomes small", "st\t", "stat |"},
    {"a command, in upper case", "RET\t", "RETR |"},
    {"the last letter decides", "Qu\t", "Quit |"},
    {"what commands share", "no\t", "noop |"},
    {"ambiguous stays", "r\t", "r|"},
    {"an extra command", "sho\t", "show |"},
    {"no such command", "xyz\t", "xyz|"},
    {"behind blanks", "  hel\t", "  help |"},
    {"in the middle", "ret 1\001\033f\t", "retr |1"},
    {"no arguments to complete", "NOOP \t", "NOOP |"},
    {"a message that is not there", "RETR 7\t", "RETR 7|"},
};

/* Keys for an empty line of a terminal, its row then, and the column of the cursor in it. */
static const struct screens {
    size_t columns;
    const char *keys, *row;
    size_t column;
} screens[] = {
    {80, "RETR 1", "pop3> RETR 1", 12},
    {80, "RETR 1\001", "pop3> RETR 1", 6},
    {80, "RETR 1\001\013", "pop3>", 6},
    {20, "0123456789abc", "pop3> 0123456789abc", 19},
    {20, "0123456789abcd", "<p3> 0123456789abcd", 19},
    {20, "0123456789abcdefg", "< 0123456789abcdefg", 19},
    {20, "0123456789abcdefg\001", "pop3> 0123456789ab>", 6},
    {10, "RETR 12", "< RETR 12", 9},
    {10, "RETR 12 15", "<TR 12 15", 9},
    {3, "abc", "bc", 2},
    {3, "abc\001", "ab", 0},
    {3, "\xe4\xbd\xa0\xe5\xa5\xbd", "\xe5\xa5\xbd", 2},
    {3, "\xe4\xbd\xa0\xe5\xa5\xbd" LEFT, "\xe5\xa5\xbd", 0},
    {2, "ab", "b", 1},
    {80, "RETR 1\rLIST\rxy\022RE", "search 'RE': RETR 1", 13},
    {80, "RETR 1\rLIST\rxy\022REQ", "no 'REQ': RETR 1", 10},
    {80, "\022", "search '':", 11},
    {80, "RETR 1\r\022R\177", "search '':", 11},
    {80, "r\t\t", "pop3> r", 7},
};
