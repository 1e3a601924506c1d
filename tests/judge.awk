# judge.awk - compares the output of a program with a conversation; run.sh describes its lines
#
# The first file holds the wanted lines, each after S, N S, E or never. The second one holds the
# output in decimal bytes: standard output, a line "errors", standard error. Variables: kind (server
# or client), status (the exit status), exit_wanted. If there is a difference, prints it and exits
# with 1.

BEGIN {
    for (i = 0; i < 256; i++)
        shown[i] = i >= 32 && i < 127 ? sprintf("%c", i) : sprintf("\\0%03o", i)
    shown[9] = "\\t"
    shown[10] = "\\n"
    shown[13] = "\\r"
    shown[92] = "\\\\"
    stream = "S"
}

function fail(text)
{
    print text
    failed = 1
}

# Stores a complete line.
function received(line)
{
    lines[stream, ++count[stream]] = line
    line_so_far = ""
}

# Returns true if a text matches a pattern, in which * stands for anything.
function matches(pattern, text,    parts, n, i, at)
{
    n = split(pattern, parts, "*")
    if (n < 2)
        return pattern == text
    if (substr(text, 1, length(parts[1])) != parts[1])
        return 0
    text = substr(text, length(parts[1]) + 1)
    for (i = 2; i < n; i++) {
        if (parts[i] == "")
            continue
        if ((at = index(text, parts[i])) == 0)
            return 0
        text = substr(text, at + length(parts[i]))
    }
    at = length(text) - length(parts[n]) + 1
    return at > 0 && substr(text, at) == parts[n]
}

# The same for a pattern that may end in a $word, which stands for a unique-id.
function matches_id(pattern, text,    word, id, other)
{
    if (!match(pattern, /\$[a-z]+$/))
        return matches(pattern, text)
    word = substr(pattern, RSTART)
    pattern = substr(pattern, 1, RSTART - 1)
    id = substr(text, length(pattern) + 1)
    if (substr(text, 1, length(pattern)) != pattern || id !~ /^[!-~]+$/ || length(id) > 70)
        return 0
    if (!(word in known)) {
        for (other in known)
            if (known[other] == id)
                return 0
        known[word] = id
        print word, id >>"words"
    }
    return known[word] == id
}

FILENAME == "wanted" {
    what = $1
    repeat = 1
    if (what ~ /^[0-9]/) {
        repeat = what
        what = $2
    }
    text = substr($0, index($0, what " ") + length(what) + 1)
    while (repeat-- > 0)
        wants[what, ++wanted[what]] = text
    next
}

$1 == "errors" {
    if (line_so_far != "")
        received(line_so_far " (no line end)")
    stream = "E"
    next
}

{
    for (i = 1; i <= NF; i++) {
        if ($i == 10 && (kind == "client" || stream == "E"))
            received(line_so_far)
        else if ($i == 10 && before == 13)
            received(substr(line_so_far, 1, length(line_so_far) - 2))
        else
            line_so_far = line_so_far shown[$i]
        before = $i
    }
}

END {
    if (line_so_far != "")
        received(line_so_far " (no line end)")
    while ((getline < "words") > 0)     # of earlier sessions
        known[$1] = $2

    if (status == 124)
        fail("it took too long")
    else if (status > 124 || (exit_wanted != "" && status != exit_wanted) ||
             (exit_wanted == "" && kind == "client" && status != 0))
        fail("exit status: " status (exit_wanted == "" ? "" : ", wanted: " exit_wanted))

    for (i = 1; i <= count["E"]; i++)
        if (lines["E", i] ~ /Sanitizer|runtime error:/)
            fail(lines["E", i])

    if (kind == "server")
        all_in_order()
    else
        some_in_order("S", "standard output")
    some_in_order("E", "standard error")
    for (i = 1; i <= wanted["never"]; i++)
        for (key in lines)
            if (matches_id(wants["never", i], lines[key]))
                fail("never wanted: " wants["never", i] "\n    received: " lines[key])

    if (failed)
        for (i = 1; i <= count["E"]; i++)
            print "standard error: " lines["E", i]
    exit failed
}

# The output has exactly the wanted lines. Shows the first difference.
function all_in_order(    i, j)
{
    for (i = 1; i <= wanted["S"] || i <= count["S"]; i++) {
        if (i <= wanted["S"] && i <= count["S"] && matches_id(wants["S", i], lines["S", i]))
            continue
        fail("line " i " of " 0 + count["S"] " lines from the server (" 0 + wanted["S"] " wanted):")
        for (j = i > 2 ? i - 2 : 1; j < i; j++)
            print "    both:   " lines["S", j]
        print "    wanted: " (i <= wanted["S"] ? wants["S", i] : "nothing more")
        print "    got:    " (i <= count["S"] ? lines["S", i] : "nothing more")
        return
    }
}

# Each wanted line occurs, in this order. Shows the first one that is missing, and the output.
function some_in_order(stream, name,    i, j)
{
    for (i = j = 1; i <= wanted[stream]; i++) {
        while (j <= count[stream] && !matches_id(wants[stream, i], lines[stream, j]))
            j++
        if (j++ <= count[stream])
            continue
        fail("missing on " name ": " wants[stream, i])
        for (j = 1; stream == "S" && j <= count[stream]; j++)
            print "    " j ": " lines[stream, j]
        return
    }
}
