<?php
// PHP's imap extension (the c-client library): fetches every message into got/, and writes the
// listing.
//
//   php imap.php HOST PORT USER PASSWORD yes|no      (yes: deletes them)

[, $host, $port, $user, $password, $delete] = $argv;
$box = imap_open("{{$host}:$port/pop3/notls}INBOX", $user, $password) or exit(1);
$listing = '';
for ($n = 1; $n <= imap_num_msg($box); $n++) {
    $listing .= "$n " . imap_fetch_overview($box, $n)[0]->size . "\n";
    imap_savebody($box, "got/$n", $n, '') or exit(1);
    $delete === 'no' or imap_delete($box, $n) or exit(1);
}
file_put_contents('listing', $listing);
imap_close($box, $delete === 'yes' ? CL_EXPUNGE : 0) or exit(1);
